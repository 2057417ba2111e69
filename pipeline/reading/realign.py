"""Decoding text of two bytes a character around broken bytes.

A byte that is lost or wrong shifts the pairs after it: up to the end of the line every character
would be another one. So a line that does not decode is cut into characters anew: the way with the
fewest bytes left out and the fewest rare characters.
"""

import functools

from pipeline.reading.alphabets import is_common_wide, is_wide_sign

REALIGNED = ("gb18030", "big5hkscs", "cp932", "cp949", "euc_jp")
LONGEST_CHARACTER = {"gb18030": 4, "euc_jp": 3}
LEFT_OUT_COST = 8
RARE_COST = 2
# What is looked at so closely in one text; beyond it the pairs stay as they fall.
LINE_BYTES_MAX = 64 << 10
TEXT_BYTES_MAX = 512 << 10


def realigned(data: bytes, codec: str) -> str:
    """Decode; a run of bytes that belong to no character is one U+FFFD."""
    budget = TEXT_BYTES_MAX
    lines = []
    for line in data.split(b"\n"):
        try:
            lines.append(line.decode(codec))
        except UnicodeDecodeError:
            if len(line) <= min(budget, LINE_BYTES_MAX):
                budget -= len(line)
                lines.append(_cheapest(line, codec))
            else:
                lines.append(line.decode(codec, "replace"))
    return "\n".join(lines)


def _cheapest(line: bytes, codec: str) -> str:
    longest = LONGEST_CHARACTER.get(codec, 2)
    costs = [0] + [LEFT_OUT_COST * (at + 1) for at in range(len(line))]
    steps: list[tuple[int, str]] = [(0, ""), *((1, "") for _ in line)]
    for at in range(len(line)):
        if costs[at] + LEFT_OUT_COST < costs[at + 1]:
            costs[at + 1], steps[at + 1] = costs[at] + LEFT_OUT_COST, (1, "")
        for length in range(1, 2 if line[at] < 0x80 else longest + 1):
            character, cost = _character(line[at : at + length], codec)
            end = at + length
            if character and end <= len(line) and costs[at] + cost <= costs[end]:
                costs[end], steps[end] = costs[at] + cost, (length, character)
    return _walked(steps)


def _walked(steps: list[tuple[int, str]]) -> str:
    pieces: list[str] = []
    at = len(steps) - 1
    while at:
        length, character = steps[at]
        if character or not pieces or pieces[-1] != "\ufffd":
            pieces.append(character or "\ufffd")
        at -= length
    return "".join(reversed(pieces))


@functools.lru_cache(1 << 16)
def _character(data: bytes, codec: str) -> tuple[str, int]:
    """Return the one character that the bytes are, '' if they are none, and its cost."""
    try:
        text = data.decode(codec)
    except UnicodeDecodeError:
        return "", 0
    if len(text) != 1:
        return "", 0
    common = text < "\x80" or is_common_wide(text) or is_wide_sign(text)
    return text, 0 if common else RARE_COST
