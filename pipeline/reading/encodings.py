"""Which encoding bytes are in, and their text: one decision for every reader.

Order of evidence: byte order mark; the encoding that the user states; UTF-8, damaged or not; escape
sequences (ISO 2022, HZ); the encoding that a page or a header declares, unless the text it gives
fits no language; the guess of `encoding_guess`, with a score. What none of them reads is refused.
"""

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ConfigError
from pipeline.reading.encoding_guess import SCORE_MIN, guess_wide, guesses, is_certain, judge
from pipeline.reading.encoding_sample import HEAD_BYTES, EncodingSample, sample_of
from pipeline.reading.realign import REALIGNED, realigned
from pipeline.reading.streams import SAMPLE_BYTES, DamagedInput

BYTE_ORDER_MARKS = (  # UTF-32 first: its little-endian mark begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# U+FFFD where the mark of the text, and not the codec's name, says which byte comes first.
WIDE_REPLACEMENTS = {
    "utf-16": tuple("\ufffd".encode(f"utf-16-{end}") for end in ("le", "be")),
    "utf-32": tuple("\ufffd".encode(f"utf-32-{end}") for end in ("le", "be")),
}
# Encodings of seven bits; each is known by what begins its first character of two bytes.
SEVEN_BIT = (
    (re.compile(rb"\x1b\$[@B]|\x1b\$\([DOPQ]|\x1b\(I"), "iso2022_jp_ext"),
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr"),
    (re.compile(rb"~\{(?:[\x21-\x77][\x21-\x7e])+~\}"), "hz"),
)
# Letters of UTF-16 look like these where their script is at U+0100 to U+1FFF.
CONTROLS = bytes({*range(32)} - {*b"\t\n\r\f\x1b"})
CONTROL_SHARE_MAX = 0.05
NUL_SHARE_MAX = 0.02
# Share of broken bytes among non-ASCII ones up to which bytes count as damaged UTF-8.
DAMAGED_UTF8_MAX = 0.05
# Share of broken bytes among all up to which a few of them in what is otherwise ASCII are damage.
STRAY_BYTES_MAX = 0.001
# Share of replacement characters that a text may have; above it is not read.
REPLACED_MAX = 0.01
# Below it a declared encoding of one byte a character is doubted.
DECLARED_FIT_MIN = 0.97
NAMED_GUESSES = 4
STATE_IT = '--set ingest.encoding=NAME, or encoding = "NAME" of the source'


class UnknownEncoding(Exception):
    """No encoding fits, or none fits so well that it could be told from the others."""


@dataclass(frozen=True)
class Encoding:
    """A codec and why it was taken; `score` (0 to 1) where it is a guess."""

    codec: str
    evidence: str  # mark, stated, utf-8, escapes, declared or guessed
    score: float | None = None


def encoding_of(
    chunks: Iterable[bytes], stated: str | None = None, declared: str | None = None
) -> Encoding:
    """Decide on all bytes of a text, in one pass and bounded memory.

    `stated` is the user's word, `declared` the codec named by the text itself or by who sent it.
    Raises UnknownEncoding.
    """
    sample = sample_of(chunks)
    for mark, codec in BYTE_ORDER_MARKS:
        if sample.head.startswith(mark):
            return Encoding(codec, "mark")
    if stated:
        return Encoding(stated, "stated")
    if sample.nul_bytes or _has_controls(sample.head):
        if wide := guess_wide(sample.head):
            return Encoding(wide.codec, "guessed", wide.score)
        if sample.nul_bytes > NUL_SHARE_MAX * sample.size:
            raise UnknownEncoding(
                f"{sample.nul_bytes} of {sample.size} bytes are NUL, and the file is no UTF-16 or "
                f"UTF-32 of any language; it seems to hold no text"
            )
    if not sample.broken_bytes:
        seven_bit = _seven_bit(sample) if not sample.beyond_ascii else None
        return Encoding(seven_bit, "escapes") if seven_bit else Encoding("utf-8", "utf-8")
    if sample.broken_bytes <= DAMAGED_UTF8_MAX * sample.beyond_ascii:
        return Encoding("utf-8", "utf-8")
    if declared and (encoding := _declared(sample, declared)):
        return encoding
    return _guessed(sample)


def is_doubtful(data: bytes) -> bool:
    """Tell whether bytes may be other than UTF-8 even where they are valid UTF-8."""
    if b"\0" in data or b"\x1b" in data or (b"~" in data and b"~{" in data):
        return True  # UTF-16 without a mark, ISO 2022, HZ
    return _has_controls(data[:HEAD_BYTES])


def _has_controls(head: bytes) -> bool:
    return len(head) - len(head.translate(None, CONTROLS)) > CONTROL_SHARE_MAX * len(head)


def _seven_bit(sample: EncodingSample) -> str | None:
    for pattern, codec in SEVEN_BIT:
        if pattern.search(sample.head) or pattern.search(sample.data):
            text = (sample.head if pattern.search(sample.head) else sample.data).decode(
                codec, "replace"
            )
            if text.count("\ufffd") <= 1 and (codec != "hz" or judge(text, codec).fit > SCORE_MIN):
                return codec
    return None


def _declared(sample: EncodingSample, codec: str) -> Encoding | None:
    text = sample.data.decode(codec, "replace")
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    if text.count("\ufffd") > REPLACED_MAX * beyond_ascii + 1:
        return None
    judged = judge(text, codec)
    if judged.fit >= DECLARED_FIT_MIN:
        return Encoding(codec, "declared")
    others = guesses(sample.data)
    if is_certain(others) and others[0].text != judged.text:
        return Encoding(others[0].codec, "guessed", others[0].score)
    return Encoding(codec, "declared", judged.score)


def _guessed(sample: EncodingSample) -> Encoding:
    ranked = guesses(sample.data, wide_head=sample.head)
    if is_certain(ranked):
        return Encoding(ranked[0].codec, "guessed", round(ranked[0].score, 3))
    if sample.broken_bytes <= STRAY_BYTES_MAX * sample.size:
        return Encoding("utf-8", "utf-8")
    scores = [(guess.codec, f"{guess.score:.2f}") for guess in ranked[:NAMED_GUESSES]]
    likely = ", ".join(f"{codec} {score}" for codec, score in scores if score != "0.00")
    raise UnknownEncoding(
        f"{sample.broken_bytes} of {sample.beyond_ascii} non-ASCII bytes are not valid UTF-8, and "
        + (
            f"no encoding stands out (likeliest: {likely}; wanted {SCORE_MIN} and no rival); "
            f"split a file of two encodings, or state it: {STATE_IT}"
            if likely
            else f"no encoding makes text of them; if it is text, state its own: {STATE_IT}"
        )
    )


def decode(data: bytes, codec: str) -> tuple[str, int]:
    """Return the text and how many characters U+FFFD stand in it for bytes that do not fit."""
    try:
        return data.decode(codec), 0
    except UnicodeDecodeError:
        text = realigned(data, codec) if codec in REALIGNED else data.decode(codec, "replace")
    return text, replacements(text, data, codec)


def replacements(text: str, data: bytes, codec: str) -> int:
    """Count the characters U+FFFD of a decoded text that its bytes do not have themselves."""
    count = text.count("\ufffd")
    if not count or not codec.startswith(("utf", "gb18030")):
        return count
    forms = WIDE_REPLACEMENTS.get(codec) or ("\ufffd".encode(codec.removesuffix("-sig")),)
    return max(count - sum(data.count(form) for form in forms), 0)


def refuse_damage(replaced: int, characters: int, codec: str) -> None:
    """Raise UnknownEncoding where more than 1 % of a text could not be decoded."""
    if replaced > REPLACED_MAX * characters:
        raise UnknownEncoding(
            f"{replaced} of {characters} characters are not valid {codec}, wanted at most "
            f"{REPLACED_MAX:.0%}; mend the text, or state its encoding: {STATE_IT}"
        )


def text_of(
    data: bytes, stated: str | None = None, declared: str | None = None
) -> tuple[str, Encoding, int]:
    """Return (text, encoding, characters replaced) of bytes that are held whole.

    Raises DamagedInput for what cannot be read.
    """
    if not stated and (text := _utf8_text(data)) is not None:
        mark = data.startswith(codecs.BOM_UTF8)
        return text, Encoding("utf-8-sig", "mark") if mark else Encoding("utf-8", "utf-8"), 0
    try:
        encoding = encoding_of([data], stated, declared)
        text, replaced = decode(data, encoding.codec)
        refuse_damage(replaced, len(text), encoding.codec)
    except UnknownEncoding as error:
        damage = DamagedInput("undecodable", str(error))
        damage.leftover = data[:SAMPLE_BYTES]
        raise damage from error
    return (
        text.removeprefix("\ufeff") if encoding.evidence == "stated" else text,
        encoding,
        replaced,
    )


def notes_of(encoding: Encoding, replaced: int) -> dict[str, Any]:
    """Return what a document's `meta` says of how it was decoded: guesses and damage alone."""
    notes: dict[str, Any] = {}
    if encoding.score is not None:
        notes = {"encoding": encoding.codec, "encoding_score": round(encoding.score, 3)}
    return notes | ({"replaced_characters": replaced} if replaced else {})


def _utf8_text(data: bytes) -> str | None:
    """Return the text of valid UTF-8 that can be nothing else; None for all that is doubtful."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    telling = data if len(text) == len(data) else data[:HEAD_BYTES]
    return None if b"\0" in data or is_doubtful(telling) else text


def known_codec(label: str) -> str | None:
    """Return the Python codec of text that a label names, None if it names none."""
    try:
        codec = codecs.lookup(label.strip())
    except (LookupError, ValueError):  # ValueError: a label with a NUL
        return None
    return codec.name if codec._is_text_encoding else None  # 'hex' and 'rot13' are none


def require_codec(label: str | None, key: str) -> None:
    """Raise ConfigError naming `key` if a stated encoding is unknown."""
    if label is not None and known_codec(label) is None:
        raise ConfigError(
            f"{key}: {label!r}, wanted the name of an encoding, such as gb18030, big5, cp1251, "
            f"cp1256 or utf-16-le"
        )
