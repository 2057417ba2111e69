"""How unlike language a text's Latin letters are: bits per pair of neighbouring letters.

PAIR_BITS says how surprising each letter is after the one before it in English technical prose
(add-one smoothed counts over CPython's documentation), in half bits. English takes about 3.5
bits per pair, other languages up to seven, letters drawn or typed at random more than that.
"""

import functools

import numpy as np
import polars as pl

from pipeline.characters import BYTES, OFFSETS, text_buffers
from pipeline.compiled import numba

LEAST_PAIRS = 150  # fewer say nothing
LEVELS_PER_BIT = 2
_TABLE = """
ta9ckheratf685tcp665bdifcm 8jbg4ppp95p6km9epbbh6ppp7p 6rbl5rr79ra7kl5hoah59rrrir
acia2ppp4npbnl9ppj8e8inncp ag86baehfsqa96nac568oce8cu 8lom8ako4okamo3ho8la6oooeo
ahgn3jb87nn8e7dhn88a6lnnnn 5rrr1prn7rrkhn6rrdleirrrjr cb9bb9btjthaa46dnc66tcthtf
fkhk0kkkkkkkkkekkkkkakkkkk bkfk1ici7kkfkdi9kc8iakckkk 6nia4blr6po6lm7hrj998hgr8r
59mm2oqq9qmlai76qicd9qqqhq 7k767g6hapmcee7ism75bdnqdn f8b8f7gsesfb94c9s5b89calnl
6qkd5lqgaqk6lj78q5e6dqoqao iiiiiiiiiiiiiiiiiiii0iiiii 6gdb4han6qiha97fsa89bifoas
bral4hpa6oicii99kp648rkrbr 7lfj5lt36ttfhm8jt89abogqat 9aad6ibq9qn676g9q766qqqqqq
3nnn2nnn6nnnfnannnlllnnnnn 7nni7nn43nndnb7nnabnnngnnk 7m4i5mmh8mmmkme4mme6mmjdgm
hgclclll8lled6a3ll65li7lll 6ggg1cgg7gggggcgggegggggeg
"""
PAIR_BITS = _TABLE.split()
_BITS = numba.types.Array(numba.float64, 2, "C", readonly=True)


def surprise(texts: pl.Series) -> pl.Series:
    """Mean bits per pair of ASCII letters in each text (float64); 0 where there are few."""
    data, rows = text_buffers(texts.to_arrow())
    return pl.Series("letter_surprise", _surprise(data, rows, _bits()))


@functools.cache
def _bits() -> np.ndarray:
    """Bits of the second letter after the first, 26 x 26."""
    levels = [[int(level, 36) for level in row] for row in PAIR_BITS]
    bits = np.array(levels, float) / LEVELS_PER_BIT
    bits.flags.writeable = False
    return bits


@numba.njit(numba.types.Array(numba.float64, 1, "C")(BYTES, OFFSETS, _BITS), cache=True)
def _surprise(data, rows, bits):  # type: ignore[no-untyped-def]
    found = np.zeros(len(rows) - 1)
    for row in range(len(rows) - 1):
        total, pairs, before = 0.0, 0, -1
        for at in range(rows[row], rows[row + 1]):
            letter = np.int64(data[at] | 32) - 97
            if 0 <= letter < 26:
                if before >= 0:
                    total += bits[before, letter]
                    pairs += 1
                before = letter
            else:
                before = -1
        if pairs >= LEAST_PAIRS:
            found[row] = total / pairs
    return found
