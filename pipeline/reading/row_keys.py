"""Whether rows go on counting, or name things, as the rows before them did."""

import itertools
import re
from collections.abc import Sequence

ROWS_MIN = 3  # fewer show no pattern
KEY_CHARACTERS_MIN = 6  # shorter words are met in prose
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
KEY = re.compile(r"[!-~]+")
SHAPE = str.maketrans(
    "0123456789" + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "9" * 10 + "a" * 52,
)
HEX_SHAPE = str.maketrans("0123456789abcdefABCDEF", "9" * 22)


def continues_keys(known: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether, in some column, all of `rows` go on with the keys of the `known` rows.

    Keys are whole numbers that always rise or always fall, or words of one shape (`d00017`, a
    UUID, a date). Prose that happens to stand in lines hardly ever does either.
    """
    if len(known) < ROWS_MIN:
        return False
    width = min(map(len, (*known, *rows)))
    return any(
        _continues([row[c] for row in known], [row[c] for row in rows]) for c in range(width)
    )


def _continues(known: list[str], values: list[str]) -> bool:
    if all(map(WHOLE_NUMBER.fullmatch, (*known, *values))):
        steps = _steps(known)
        sign = 1 if steps[0] > 0 else -1
        new_steps = _steps([known[-1], *values])
        longest = 2 * max(step * sign for step in steps)
        return all(step * sign > 0 for step in steps) and all(
            0 < step * sign <= longest for step in new_steps
        )
    if len(known[0]) < KEY_CHARACTERS_MIN or not all(map(KEY.fullmatch, (*known, *values))):
        return False
    unique = len({*known, *values}) == len(known) + len(values)
    return unique and any(
        len({value.translate(table) for value in (*known, *values)}) == 1
        for table in (SHAPE, HEX_SHAPE)
    )


def _steps(numbers: list[str]) -> list[int]:
    values = list(map(int, numbers))
    return [after - before for before, after in itertools.pairwise(values)]
