"""The page at `/`: talk or continuation, one model or several; nothing is from elsewhere.

One file without a request of its own: style and script stand in it, and what it shows of models it
asks the API for, so that it can be given to anybody. Its parts are in `assets/`.
"""

import base64
import functools
import hashlib
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = ("words.js", "api.js", "page.js")


@functools.cache
def render() -> str:
    """Return the page."""
    return _asset("page.html").replace("{style}", _style()).replace("{script}", _script())


@functools.cache
def policy() -> str:
    """Return the Content-Security-Policy: this page's own script and style, nothing else."""
    return (
        f"default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        f"form-action 'none'; frame-ancestors 'none'; "
        f"style-src '{_hash(_style())}'; script-src '{_hash(_script())}'"
    )


def _style() -> str:
    return _asset("page.css")


def _script() -> str:
    return "\n".join(_asset(name) for name in SCRIPTS)


def _asset(name: str) -> str:
    return (ASSETS / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
