"""How many pieces a vocabulary gets where nobody said.

The size is a function of the text alone, the same for both algorithms. It follows the square root
of the text (a vocabulary grows with text by about that power, Heaps 1978): 1 MB gives 1,024 pieces,
12 MB 4,096, 1 GB 32,768. Where the characters need more, as in Chinese, they get it and a quarter.
"""

import math
from collections.abc import Iterable

import numpy as np

AUTO = "auto"
BY_TEXT_MAX = 1 << 15  # more text than 1 GB: embeddings of a small model would be most of it
SIZE_MAX = 1 << 16  # ids of 16 bits
STEP = 128
MERGES_MIN = 128  # pieces of several characters, at least
CODE_POINTS = 0x110000
# Never pieces by their frequency: NUL, and what the trainer uses as marks of its own.
NO_PIECES = ("\0", "\t", "\u2585")


def character_counts(texts: Iterable[str]) -> np.ndarray:
    """Count the code points of texts; (CODE_POINTS,) int64."""
    counts = np.zeros(CODE_POINTS, np.int64)
    for text in texts:
        codes, times = np.unique(
            np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32), return_counts=True
        )
        counts[codes] += times
    return counts


def alphabet(counts: np.ndarray, coverage: float, apart: Iterable[str] = ()) -> int:
    """Return how many characters, the most frequent first, make up this share of a text.

    `apart` are those that are pieces of their own in any case. This is what the trainer counts.
    """
    counts = counts.copy()
    counts[[ord(character) for character in (*NO_PIECES, *apart)]] = 0
    descending = np.sort(counts[counts > 0])[::-1]
    if not len(descending):
        return 0
    covered = np.cumsum(descending) / descending.sum()
    return int(np.searchsorted(covered, coverage)) + 1 if coverage < 1 else len(descending)


def choose(needed: int, text_bytes: int) -> int:
    """Return a size for a corpus of so many bytes that needs at least `needed` pieces."""
    by_text = 1 << max(0, math.isqrt(max(0, text_bytes)) - 1).bit_length()
    room = needed + max(MERGES_MIN, needed // 4)
    room = -(-room // STEP) * STEP
    return max(min(by_text, BY_TEXT_MAX), min(room, max(SIZE_MAX, needed)))
