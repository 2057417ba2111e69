"""Which character encoding a file is in, found on a bounded sample, and decoding piece by piece.

Order of evidence: byte order mark, NUL bytes (UTF-16 without a mark), UTF-8, the share of the most
common Chinese characters (GB18030 against Big5), then charset-normalizer on the encodings below.
"""

import codecs
from collections.abc import Iterable, Iterator

import charset_normalizer

from pipeline.reading.streams import HEAD_BYTES, ByteStream, DamagedInput

BYTE_ORDER_MARKS = (  # UTF-32 first: its little-endian mark begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What charset-normalizer may answer. Other single-byte code pages (1250, 1257, ...) decode any
# Western file as well and would win against 1252 by chance.
LEGACY = ("gb18030", "big5hkscs", "cp932", "euc_jp", "cp949", "cp1251", "koi8_r", "cp1252")
# Simplified and traditional; they make up a fifth to a third of running Chinese text, and 1 to 2 %
# of another encoding's bytes read as Chinese.
COMMON_HANZI = (
    "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学"
    "這來國個說們為時會著過學對裡後麼經與"
)
COMMON_SHARE_MIN = 0.06
UTF16_PLAUSIBLE_MIN = 0.97
# Share of broken bytes among non-ASCII ones up to which a file counts as damaged UTF-8.
DAMAGED_UTF8_MAX = 0.05


class UnknownEncoding(Exception):
    """No encoding fits the sample."""


def detect_stream(stream: ByteStream) -> str:
    """Return the codec of a stream from its first 64 KiB; raise DamagedInput if none fits."""
    try:
        return detect(stream.head[:HEAD_BYTES], complete=stream.head_is_all)
    except UnknownEncoding as error:
        raise DamagedInput("undecodable", f"{error}; convert the file to UTF-8") from error


def detect(sample: bytes, *, complete: bool) -> str:
    """Return the Python codec name that the sample is in.

    `complete` says that the sample is the whole file, so that it may not end inside a character.
    Raises UnknownEncoding for damaged UTF-8 and for bytes that are no text.
    """
    for mark, codec in BYTE_ORDER_MARKS:
        if sample.startswith(mark):
            return codec
    if b"\0" in sample and (wide := _utf16_without_mark(sample)):
        return wide
    if _decodes(sample, "utf-8", complete):
        return "utf-8"
    _refuse_damaged_utf8(sample)
    return _chinese(sample, complete) or _legacy(sample)


def _decodes(sample: bytes, codec: str, complete: bool) -> bool:
    try:
        codecs.getincrementaldecoder(codec)().decode(sample, final=complete)
    except UnicodeDecodeError:
        return False
    return True


def _utf16_without_mark(sample: bytes) -> str | None:
    even = sample[: len(sample) // 2 * 2]
    for codec in ("utf-16-le", "utf-16-be"):
        try:
            text = codecs.getincrementaldecoder(codec)().decode(even)
        except UnicodeDecodeError:
            continue
        plausible = sum(map(_is_plausible, text))
        if "\0" not in text and plausible >= UTF16_PLAUSIBLE_MIN * len(text):
            return codec
    return None


def _is_plausible(character: str) -> bool:
    """Tell whether a character is common in text at all (a sample's worth of calls, no more)."""
    code = ord(character)
    return (
        character in "\t\n\r"
        or 0x20 <= code < 0x7F
        or 0xA0 <= code < 0x0530
        or 0x2010 <= code <= 0x2122
        or 0x3000 <= code <= 0x30FF
        or 0x4E00 <= code <= 0x9FFF
        or 0xAC00 <= code <= 0xD7A3
        or 0xFF00 <= code <= 0xFFEF
    )


def _refuse_damaged_utf8(sample: bytes) -> None:
    broken = len(sample) - len(sample.decode("utf-8", "ignore").encode())
    beyond_ascii = len(sample) - len(sample.decode("ascii", "ignore"))
    if broken <= DAMAGED_UTF8_MAX * beyond_ascii:
        raise UnknownEncoding(f"{broken} of {beyond_ascii} non-ASCII bytes are not valid UTF-8")


def _chinese(sample: bytes, complete: bool) -> str | None:
    best, best_share = None, COMMON_SHARE_MIN
    for codec in ("gb18030", "big5hkscs"):
        if not _decodes(sample, codec, complete):
            continue
        text = sample.decode(codec, "ignore")
        hanzi = sum(character >= "\u3400" for character in text)
        share = sum(map(text.count, COMMON_HANZI)) / max(hanzi, 1)
        if share > best_share:
            best, best_share = codec, share
    return best


def _legacy(sample: bytes) -> str:
    match = charset_normalizer.from_bytes(sample, cp_isolation=list(LEGACY)).best()
    if match is None:
        raise UnknownEncoding(f"none of UTF-8, UTF-16, {', '.join(LEGACY)} fits")
    return match.encoding


def decoded(chunks: Iterable[bytes], codec: str) -> Iterator[str]:
    """Decode chunk by chunk; bytes that do not fit end it in DamagedInput with their offset."""
    decoder = codecs.getincrementaldecoder(codec)()
    offset = 0
    try:
        for chunk in chunks:
            yield decoder.decode(chunk)
            offset += len(chunk)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise DamagedInput(
            "undecodable", f"not {codec} near byte {offset + error.start}: {error.reason}"
        ) from error
