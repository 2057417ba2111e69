"""Tables of code points and text as buffers."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.characters import (
    DIGIT,
    IGNORED,
    LETTER,
    OTHER,
    PUNCTUATION,
    SPACE,
    SYMBOL,
    UNSPACED,
    begins_ideograph,
    character_classes,
    class_of,
    decode,
    folding,
    text_buffers,
)
from pipeline.compiled import njit


@pytest.mark.parametrize(
    ("characters", "kind"),
    [
        ("aÉжक한\u0301", LETTER), ("1²Ⅷ９", DIGIT), ("水か々〇กམ", UNSPACED),
        (" \n\t\u3000\u0085", SPACE), ("._“。【", PUNCTUATION), ("+€^≈", SYMBOL),
        ("\u200b\ufeff\u202e", IGNORED), ("\x00\ue000", OTHER),
    ],
)  # fmt: skip
def test_characters_have_the_class_a_reader_would_give(characters, kind):
    assert {int(character_classes()[ord(c)]) for c in characters} == {kind}


def test_folding_is_idempotent():
    table = folding()

    inside = table[table < len(table)]  # some compatibility ideographs fold to another plane
    assert np.array_equal(table[inside], inside)


@njit()
def walk(data, classes):
    codes, kinds, at = [], [], 0
    while at < len(data):
        code, at = decode(data, at)
        codes.append(code)
        kinds.append(class_of(classes, code))
    return codes, kinds


def test_bytes_decode_to_the_characters_they_encode():
    text = "aé水𠀀😀\U0010fffd"
    data, rows = text_buffers(pa.chunked_array([["skip"], [text]]).slice(1, 1))
    codes, kinds = walk(data[rows[0] : rows[1]], character_classes())

    assert "".join(map(chr, codes)) == text
    assert kinds == [LETTER, LETTER, UNSPACED, UNSPACED, SYMBOL, OTHER]


@njit()
def begin(data, places):
    return [begins_ideograph(data, at) for at in places]


def test_bytes_tell_ideographs_from_all_else():
    codes = [c for c in range(0x20, 0x10000) if not 0xD800 <= c < 0xE000]
    data, rows = text_buffers(pa.array(map(chr, codes), pa.large_string()))
    told = {code for code, yes in zip(codes, begin(data, rows[:-1]), strict=True) if yes}

    assert told == set(range(0x4000, 0xA000)) - set(range(0x4DC0, 0x4E00))  # hexagrams
    assert {int(character_classes()[code]) for code in told} == {UNSPACED}
