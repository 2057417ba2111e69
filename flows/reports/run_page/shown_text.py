"""Text of strangers on a page: short, without characters that a page cannot hold."""

import re

from pipeline.reading.addresses import without_secrets

ELLIPSIS = "…"
SECRET_CHARACTERS = 4096  # looked at beyond the cut: half a login is no address any more
# Controls but for line ends and tabs, halves of surrogate pairs, and what is no character.
UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def shown(text: object, characters: int = 200) -> str:
    """Return a text cut to a length in characters; secrets in addresses in it are hidden."""
    whole = without_secrets(str(text)[: characters + SECRET_CHARACTERS])
    cut = whole if len(whole) <= characters else whole[: characters - 1] + ELLIPSIS
    return UNSHOWABLE.sub("\ufffd", cut)


def one_line(text: object, characters: int = 200) -> str:
    """Return the same on one line."""
    return " ".join(shown(text, characters).split())
