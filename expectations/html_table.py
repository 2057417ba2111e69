"""Tables of our pages: columns where there is room, a card per row where there is not."""

import re
from collections.abc import Iterable, Sequence
from html import escape

SHORT_CHARACTERS = 24  # fits beside its column's name at 390 pixels
CLASS = ' class="number"'
BREAKS = re.compile(
    r"([_./:,=-])(?=[^\W\d])"
)  # places where a long name may go on in the next line


def html_table(head: Sequence[str], rows: Iterable[str]) -> str:
    """Return a table with these column names; `rows` are made by `table_row` with the same."""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="scroll"><table><tr class="head">{names}</tr>{"".join(rows)}</table></div>'


def table_row(
    head: Sequence[str], cells: Sequence[str], numbers: Iterable[int] = (), kind: str = ""
) -> str:
    """Return a row of HTML cells, each with its column's name for narrow screens.

    `numbers` are the places of cells that never wrap, `kind` is a class of the row.
    """
    whole = set(numbers)
    done = "".join(
        f'<td data-label="{escape(name)}"{CLASS if place in whole else ""}><div>{cell}</div></td>'
        for place, (name, cell) in enumerate(zip(head, cells, strict=True))
    )
    return f'<tr class="{kind}">{done}</tr>' if kind else f"<tr>{done}</tr>"


def breakable(name: str) -> str:
    """Return a name as HTML that may break after its separators, if it is a long one."""
    if len(name) <= SHORT_CHARACTERS:
        return escape(name)
    return "<wbr>".join(escape(part) for part in BREAKS.sub("\\1\n", name).split("\n"))
