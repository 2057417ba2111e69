"""Our pages as HTML: templates with everything escaped, one look, nothing from outside."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

TEMPLATES = Path(__file__).with_name("templates")
SHORT_CHARACTERS = 24  # fits beside its column's name at 390 pixels
# places where a long name may go on in the next line
BREAKS = re.compile(r"([_./:,=-])(?=[^\W\d])")


def render(template: str, folder: Path = TEMPLATES, **values: Any) -> str:
    """Return a page made of a template in `folder`; it may extend and import those beside here.

    A template that names a value which is not given raises jinja2's UndefinedError.
    """
    return _environment(folder).get_template(template).render(values)


def breakable(name: str) -> Markup:
    """Return a name as HTML that may break after its separators, if it is a long one."""
    if len(name) <= SHORT_CHARACTERS:
        return escape(name)
    return Markup("<wbr>").join(BREAKS.sub("\\1\n", name).split("\n"))


def code_spans(text: str) -> Markup:
    """Return a text as HTML in which what stands between backticks is code."""
    parts = text.split("`")
    whole = parts if len(parts) % 2 else [text]
    spans = (
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(whole)
    )
    return Markup("").join(spans)


@cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    environment.filters["code"] = code_spans
    return environment
