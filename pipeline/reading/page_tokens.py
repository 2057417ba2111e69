"""Tags of a page as bytes: where each ends, which it is, what its attributes say.

The tokenizer's states are those of the HTML standard (13.2.5) as far as tags need them.
"""

import numpy as np

from pipeline.compiled import njit
from pipeline.reading.page_tags import (
    ARIA_HIDDEN,
    ATTRIBUTE_KEYS,
    ATTRIBUTE_PLACES,
    CLASS,
    CLASS_WORD_PLACES,
    CLASS_WORD_ROWS,
    EXPANDED,
    HIDDEN,
    HIDDEN_WORD_PLACES,
    HIDDEN_WORD_ROWS,
    ID,
    ITEMPROP,
    REL,
    SLOTS,
    STYLE,
    TAG_KEYS,
    TAG_KINDS,
    TYPE,
)

# What the attributes of a tag say.
LEFT_OUT, CONCEALED, CHOICE = 1, 2, 4
# More attributes than that on one tag are taken out: the parser compares each with all others.
ATTRIBUTES_MAX = 256
LT, GT, SLASH, BANG, HYPHEN, SPACE = 60, 62, 47, 33, 45, 32
_EQUALS, _QUOTE, _APOSTROPHE, _UNDERSCORE, _COLON, _X, _Y = 61, 34, 39, 95, 58, 120, 121
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@njit()
def key_at(data, at):
    """Return the key of the name that begins at `at` and the place after it."""
    key, size, end = np.uint64(0), 0, len(data)
    while at < end:
        byte = data[at]
        if byte <= SPACE or byte in (GT, SLASH, _EQUALS):
            break
        if size < 7:
            if 65 <= byte <= 90:
                byte += np.uint8(32)
            key = key << np.uint64(8) | np.uint64(byte)
        size += 1
        at += 1
    return key | np.uint64(min(size, 255)) << np.uint64(56), at


@njit()
def kind_of(key):
    """Return flags and role of a tag, 0 for one that has none."""
    slot = np.int64(key * _MULTIPLIER >> np.uint64(54))
    while TAG_KEYS[slot]:
        if TAG_KEYS[slot] == key:
            return TAG_KINDS[slot]
        slot = (slot + 1) % SLOTS
    return np.int64(0)


@njit()
def _attribute_of(key):
    """Return which of ATTRIBUTES a name is, 0 if it is none of them."""
    slot = np.int64(key * _MULTIPLIER >> np.uint64(54))
    while ATTRIBUTE_KEYS[slot]:
        if ATTRIBUTE_KEYS[slot] == key:
            return ATTRIBUTE_PLACES[slot]
        slot = (slot + 1) % SLOTS
    return np.int64(0)


@njit()
def _next_attribute(data, at):
    """Return (name start, key, value start, value end, place after it); name start -1 at `>`.

    At the end of the data the name start is -2.
    """
    end = len(data)
    while at < end and (data[at] <= SPACE or data[at] == SLASH):
        at += 1
    if at >= end:
        return -2, np.uint64(0), at, at, at
    if data[at] == GT:
        return -1, np.uint64(0), at, at, at + 1
    name = at
    key, at = key_at(data, at + (data[at] == _EQUALS))  # an equals sign may begin a name
    after = at
    while at < end and data[at] <= SPACE:
        at += 1
    if at >= end or data[at] != _EQUALS:
        return name, key, after, after, after
    at += 1
    while at < end and data[at] <= SPACE:
        at += 1
    if at < end and (data[at] == _QUOTE or data[at] == _APOSTROPHE):
        quote, at = data[at], at + 1
        value = at
        while at < end and data[at] != quote:
            at += 1
        return name, key, value, at, min(at + 1, end)
    value = at
    while at < end and data[at] > SPACE and data[at] != GT:
        at += 1
    return name, key, value, at, at


@njit()
def read_attributes(data, at):
    """Return (place after the tag, what its attributes say of an inline element).

    The place is -1 where the data end inside the tag. Attributes beyond the limit become spaces.
    """
    says, count = 0, 0
    while True:
        name, key, value, value_end, after = _next_attribute(data, at)
        if name < 0:
            return (after if name == -1 else -1), says
        count += 1
        if count > ATTRIBUTES_MAX:
            data[name:after] = SPACE
        else:
            which = _attribute_of(key)
            if which:
                says |= _meaning(data, which, value, value_end)
        at = after


@njit()
def past_tag(data, at):
    """Return the place after a tag whose attributes nobody asks for, -1 where the data end in it.

    `at` is after its name. A tag of too many attributes is left to `read_attributes`.
    """
    end = len(data)
    named, parts, begin = False, 0, at  # named: what stands before could take a value
    while at < end:
        byte = data[at]
        if byte == GT:
            return at + 1 if parts <= ATTRIBUTES_MAX else read_attributes(data, begin)[0]
        at += 1
        if byte == _EQUALS and named:
            while at < end and data[at] <= SPACE:
                at += 1
            if at < end and (data[at] == _QUOTE or data[at] == _APOSTROPHE):
                quote, at = data[at], at + 1
                while at < end and data[at] != quote:
                    at += 1
                at += 1
            else:
                while at < end and data[at] > SPACE and data[at] != GT:
                    at += 1
            named = False
            parts += 1
        elif byte == SLASH:
            named = False
            parts += 1
        elif byte > SPACE:
            named = True
        else:
            parts += 1
    return -1


@njit()
def rename_attributes(data, at, every):
    """Rename the attributes of the tag whose name ends before `at` for which it is left out.

    With `every` those that conceal it too. The names stay as long as they are.
    """
    while True:
        name, key, _, _, after = _next_attribute(data, at)
        if name < 0:
            return
        which = _attribute_of(key)
        if which and (every or which <= EXPANDED):
            data[name] = _X
        at = after


@njit()
def _meaning(data, which, start, end):
    """Return what one attribute says of an inline element."""
    if which in (CLASS, ID):
        if which == CLASS and _has_word(
            data, start, end, HIDDEN_WORD_ROWS, HIDDEN_WORD_PLACES, True
        ):
            return CONCEALED
        return (
            LEFT_OUT
            if _has_word(data, start, end, CLASS_WORD_ROWS, CLASS_WORD_PLACES, False)
            else 0
        )
    if which in (REL, ITEMPROP):
        return LEFT_OUT
    if which == EXPANDED:
        return LEFT_OUT if end - start == 5 else 0  # "false"
    if which == HIDDEN:
        return CONCEALED
    if which == ARIA_HIDDEN:
        return CONCEALED if end - start == 4 else 0  # "true"
    if which == STYLE:
        return CONCEALED if _conceals(data, start, end) else 0
    if which == TYPE:  # checkbox, radio
        return CHOICE if end - start >= 5 and (data[start] | 32) in (99, 114) else 0
    return 0


@njit()
def _has_word(data, start, end, words, places, whole):
    """Tell whether a word of a class attribute begins with one of `words`, or is it."""
    begins = True
    for at in range(start, end):
        byte = data[at]
        if byte <= SPACE or byte in (_UNDERSCORE, HYPHEN):
            begins = True
            continue
        letter = np.int64(byte | 32) - 97
        if begins and 0 <= letter < 26:
            for row in range(places[letter], places[letter + 1]):
                size = _length_at(data, at, end, words, row)
                if size and not (whole and at + size < end and data[at + size] > SPACE):
                    return True
        begins = False
    return False


@njit()
def _length_at(data, at, end, words, row):
    """Return the length of word `row` if it stands at `at`, whatever the case, else 0."""
    size = 0
    while words[row, size]:
        if at + size >= end or data[at + size] | 32 != words[row, size] | 32:
            return 0
        size += 1
    return size


@njit()
def _conceals(data, start, end):
    """Tell whether a style says display: none or visibility: hidden."""
    named = False  # the last property's name ends in y
    for at in range(start, end):
        letter = data[at] | 32
        if data[at] == _COLON:
            named = at > start and data[at - 1] | 32 == _Y
        elif named and letter == 110 and end - at >= 4:  # n
            if data[at + 1] | 32 == 111 and data[at + 3] | 32 == 101:  # o, e
                return True
        elif named and letter == 104 and end - at >= 6 and data[at + 2] | 32 == 100:  # h, d
            return True
    return False
