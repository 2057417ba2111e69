"""Which texts can hold personal data at all: one cheap pass over their bytes."""

import numpy as np
import polars as pl

from pipeline.characters import BYTES, OFFSETS, text_buffers
from pipeline.compiled import kinds, njit

AT_SIGN, MANY_DIGITS, DOTTED_DIGITS, TWO_COLONS, ANYTHING = 1, 2, 4, 8, 16
DIGITS_LEAST = 7  # in a row, at most GAP bytes between two of them
GAP = 3  # a full-width digit has three bytes
COLON_GAP = 5
_AT, _DOT, _COLON = 64, 46, 58
_FLAGS = kinds.array(kinds.uint8, 1, "C")


def scan(texts: pl.Series) -> pl.Series:
    """Bits of the constants above for each text (uint8); ANYTHING is always set."""
    data, rows = text_buffers(texts.to_arrow())
    return pl.Series("found", _scan(data, rows))


@njit(_FLAGS(BYTES, OFFSETS))
def _scan(data, rows):
    flags = np.full(len(rows) - 1, ANYTHING, np.uint8)
    for row in range(len(rows) - 1):
        found, digits, dots = np.uint8(0), 0, 0
        last_digit = last_colon = np.int64(-100)
        for at in range(rows[row], rows[row + 1]):
            byte = data[at]
            # Digits of ASCII, and the last byte of full-width ones (EF BC 90 to EF BC 99).
            wide = 0x90 <= byte <= 0x99 and data[at - 1] == 0xBC if at > rows[row] else False
            if 48 <= byte <= 57 or wide:
                if at - last_digit > GAP + 1:
                    digits = dots = 0
                digits += 1
                last_digit = at
                if digits >= DIGITS_LEAST:
                    found |= MANY_DIGITS
                if dots >= 3:
                    found |= DOTTED_DIGITS
            elif byte == _DOT:
                dots += at - last_digit == 1
            elif byte == _AT:
                found |= AT_SIGN
            elif byte == _COLON:
                if at - last_colon <= COLON_GAP:
                    found |= TWO_COLONS
                last_colon = at
        flags[row] |= found
    return flags
