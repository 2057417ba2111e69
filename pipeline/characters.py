"""What each code point is, as small arrays that compiled loops index, and text as raw buffers.

Compiled loops elsewhere walk the UTF-8 bytes of an Arrow column once and look characters up here.
Planes above the second hold ideographs (2 and 3) or nothing that counts as text.
"""

import functools
import unicodedata
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from pipeline.compiled import kinds, njit

OTHER, LETTER, DIGIT, UNSPACED, SPACE, PUNCTUATION, SYMBOL, IGNORED = range(8)

# Scripts written without spaces between words: here every character counts as a word.
UNSPACED_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # CJK radicals
    (0x3005, 0x3007),  # 々〆〇
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3040, 0x30FF),  # kana
    (0x3100, 0x312F),  # bopomofo
    (0x31A0, 0x31FF),  # bopomofo and kana extensions
    (0x3400, 0x4DBF),  # ideographs, extension A
    (0x4E00, 0x9FFF),  # ideographs
    (0xA000, 0xA4CF),  # Yi
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0x1B000, 0x1B16F),  # kana supplement
)
UNSPACED_LANGUAGES = (
    "zh",
    "ja",
    "yue",
    "wuu",
    "th",
    "lo",
    "km",
    "my",
    "mnw",
    "shn",
    "bo",
    "dz",
    "ii",
)
TABLE_SIZE = 0x20000
LAST_IDEOGRAPHIC_PLANE_END = 0x40000
SPACE_CODE, LINE_FEED = 32, 10

# Argument types of compiled loops; Arrow's memory may not be written to.
BYTES = kinds.array(kinds.uint8, 1, "C", readonly=True)
OFFSETS = kinds.array(kinds.int64, 1, "C", readonly=True)
CODES = kinds.array(kinds.int32, 1, "C", readonly=True)
HASHES = kinds.array(kinds.uint64, 1, "C", readonly=True)

_CLASS_OF_CATEGORY = {
    "L": LETTER,
    "M": LETTER,  # marks belong to the letter before them
    "N": DIGIT,
    "Z": SPACE,
    "P": PUNCTUATION,
    "S": SYMBOL,
    "C": OTHER,
}


@functools.cache
def categories() -> tuple[str, ...]:
    """Return the Unicode category of each code point below 0x20000."""
    return tuple(map(unicodedata.category, map(chr, range(TABLE_SIZE))))


def by_category(value_of: Callable[[str], int], kind: type) -> np.ndarray:
    """Return what `value_of` says of the category of each code point below 0x20000."""
    values = {name: value_of(name) for name in set(categories())}
    return np.fromiter(map(values.__getitem__, categories()), kind, TABLE_SIZE)


@functools.cache
def character_classes() -> np.ndarray:
    """Class of each code point below 0x20000 (uint8, one of the eight constants above)."""
    classes = by_category(
        lambda name: IGNORED if name == "Cf" else _CLASS_OF_CATEGORY[name[0]], np.uint8
    )
    for first, last in UNSPACED_RANGES:
        block = classes[first : last + 1]
        block[(block == LETTER) | (first == 0x3005) | (first == 0x3021)] = UNSPACED
    for code in (*range(0x09, 0x0E), *range(0x1C, 0x20), 0x85):
        classes[code] = SPACE
    return classes


@functools.cache
def folding() -> np.ndarray:
    """Code point that stands for each one when texts are compared (int32; 0 means none).

    Lower case, compatibility form (full width to ASCII) where it is one character, every white
    space to U+0020, format and control characters to nothing.
    """
    classes = character_classes()
    table = np.fromiter(map(ord, _folded()), np.int32, TABLE_SIZE)
    unknown = by_category(lambda name: name in ("Co", "Cn"), np.bool_)
    table[np.isin(classes, (IGNORED, OTHER)) & ~unknown] = 0
    table[classes == SPACE] = SPACE_CODE
    return table


def _folded() -> Iterator[str]:
    """Yield the one character that each folds to, itself where that would be several.

    Most are folded at once, a line each: what is done to a character ends at its line.
    """
    characters = [chr(code) if code != LINE_FEED else " " for code in range(TABLE_SIZE)]
    folded = _compatible(_compatible("\n".join(characters)).lower()).split("\n")
    for character, form in zip(characters, folded, strict=True):
        yield form if _is_one(form) else _fold(character)


def _fold(character: str) -> str:
    forms = _compatible(character.lower()), _compatible(character)
    return next(filter(_is_one, forms), character)


def _is_one(text: str) -> bool:
    return len(text) == 1 and not text.isspace()


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def text_buffers(texts: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """UTF-8 bytes (uint8) and row offsets (int64, rows + 1) of a string column, without copying.

    The column must hold no nulls; a chunked one is combined first.
    """
    array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    if array.type != pa.large_string():
        array = array.cast(pa.large_string())
    assert array.null_count == 0, "contracts allow no null text"
    _, offsets, data = array.buffers()
    if offsets is None or len(array) == 0:
        return read_only(np.zeros(0, np.uint8)), read_only(np.zeros(1, np.int64))
    rows = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return read_only(np.frombuffer(data or b"", np.uint8)), read_only(rows)


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that nobody can write to: compiled loops are made for one kind of array."""
    view = array.view()
    view.flags.writeable = False
    return view


@njit(inline="always")
def decode(data, at):
    """Code point at byte `at` of valid UTF-8 and the position of the next one."""
    first = np.int64(data[at])
    if first < 0x80:
        return first, at + 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | (np.int64(data[at + 1]) & 0x3F), at + 2
    second = np.int64(data[at + 1]) & 0x3F
    third = np.int64(data[at + 2]) & 0x3F
    if first < 0xF0:
        return (first & 0x0F) << 12 | second << 6 | third, at + 3
    return (first & 0x07) << 18 | second << 12 | third << 6 | (
        np.int64(data[at + 3]) & 0x3F
    ), at + 4


@njit(inline="always")
def begins_ideograph(data, at):
    """Tell whether at byte `at` of UTF-8 an ideograph begins, U+4000 to U+9FFF, of three bytes.

    Most characters of Chinese are; loops that need not know which one save the decoding. The
    hexagrams among them, U+4DC0 to U+4DFF, are no ideographs: bytes E4 B7.
    """
    byte = np.int64(data[at])
    return 0xE4 <= byte <= 0xE9 and byte << 8 | np.int64(data[at + 1]) != 0xE4B7


@njit(inline="always")
def class_of(classes, code):
    """Class of a code point, those beyond the table included."""
    if code < TABLE_SIZE:
        return np.int64(classes[code])
    return UNSPACED if code < LAST_IDEOGRAPHIC_PLANE_END else OTHER


@njit(inline="always")
def mix(value):
    """Scramble 64 bits so that each input bit moves every output bit (the splitmix64 finisher)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
