"""Chinese that was read in a Western encoding: decoded again, kept if it then reads as Chinese.

Two replacement characters of UTF-8 that were read as GB 18030 show as 锟斤拷; they are written as
what they were, so that rules on unreadable text count them. ftfy undoes UTF-8 read as Latin-1 and
its relatives, not GB 18030 or Big5, and only for whole texts. Here every line is tried by itself,
so half a document can be repaired.

A quotation mark, apostrophe or dash written in GB 18030 and read as UTF-8 is two replacement
characters; in text of Latin letters its place tells which one it was.
"""

import re

import polars as pl

# Pairs of Latin letters that are the two bytes of one ideograph; prose has no such runs.
WESTERN = r"[\u00a1-\u00ff\u0080-\u00a0\u0152-\u2122]"
SUSPECT = rf"(?:{WESTERN}{{2}}){{6,}}"
# Marks of GB 18030 that were read as Latin-1 or Windows-1252, in English as well: no text has an
# inverted exclamation mark before these. Before a letter or a sum (¡Hola!, ¡£5!) it is one.
MARKS = {"¡®": "‘", "¡¯": "’", "¡°": "“", "¡±": "”", "¡ª": "—", "¡\u00ad": "…"}
# Not the last two of the three characters as which UTF-8 shows an ideograph (ç¡® is 确); after
# letters it is the end of a word, as in café¡¯s.
_MARK = re.compile(r"(?<![^A-Za-z][\u00e0-\u00ef])¡[®¯°±ª\u00ad]")
TWO_LOST = "锟斤拷"
_TWO = r"(?<!\ufffd)\ufffd\ufffd(?!\ufffd)"
_LOST_MARKS = (
    (re.compile(rf"(?<=[A-Za-z]){_TWO}(?=(?:s|re|ve|ll|d|m)\b)|(?<=n){_TWO}(?=t)"), "’"),
    (re.compile(rf"(?<=[A-Za-z0-9,] ){_TWO}(?= [A-Za-z0-9])"), "—"),
    (re.compile(rf"(?:^|(?<=[\s(])){_TWO}(?=[A-Za-z0-9])", re.M), "“"),
    (re.compile(rf"(?<=[.,!?;:]){_TWO}(?=[\s)]|$)", re.M), "”"),
)
_LATIN_RUN = re.compile(r"[^\x00-\x7f]")
# The commonest characters of running Chinese; they make up a fifth of it or more.
_COMMON = frozenset(
    "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小么"
    "於與為這來國個說們時會著過學對裡後麼经發經没沒用同行方能而所成第都能使其从但如当最系统件文"
)
_LEAST_COMMON = 0.08
_LEAST_HAN = 0.5
ENCODINGS = ("gb18030", "big5hkscs")


def repaired(texts: pl.Series) -> pl.Series:
    """Texts whose garbled lines could be decoded again; all others as they were."""
    lost = texts.str.contains(TWO_LOST, literal=True)
    if lost.any():
        texts = texts.str.replace_all(TWO_LOST, "\ufffd\ufffd", literal=True)
    suspects = texts.str.contains(SUSPECT).arg_true()
    if suspects.is_empty():
        return _with_marks(texts)
    fixed = ["\n".join(map(_line, text.split("\n"))) for text in texts.gather(suspects)]
    return _with_marks(texts.clone().scatter(suspects, fixed))


def _with_marks(texts: pl.Series) -> pl.Series:
    suspects = texts.str.contains("¡[®¯°±ª\u00ad]").arg_true()
    if suspects.is_empty():
        return texts
    fixed = [_MARK.sub(lambda mark: MARKS[mark[0]], text) for text in texts.gather(suspects)]
    return texts.clone().scatter(suspects, fixed)


def with_lost_marks(texts: pl.Series) -> pl.Series:
    """Put quotation marks, apostrophes and dashes where two bytes of one were lost."""
    suspects = texts.str.contains("��", literal=True).arg_true()
    if suspects.is_empty():
        return texts
    return texts.clone().scatter(suspects, [_marked(text) for text in texts.gather(suspects)])


def _marked(text: str) -> str:
    for pattern, mark in _LOST_MARKS:
        text = pattern.sub(mark, text)
    return text


def _line(line: str) -> str:
    beyond = len(_LATIN_RUN.findall(line))
    if beyond < 12 or beyond < len(line) / 4:
        return line
    for as_bytes in (_latin_1, _windows):
        raw = as_bytes(line)
        if raw is None:
            continue
        for encoding in ENCODINGS:
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError:
                continue
            if _reads_as_chinese(text):
                return text
    return line


def _latin_1(line: str) -> bytes | None:
    try:
        return line.encode("latin-1")
    except UnicodeEncodeError:
        return None


def _windows(line: str) -> bytes | None:
    """Return the bytes of a line read as Windows-1252; its five unused bytes came through."""
    try:
        return b"".join(
            c.encode("latin-1") if 0x80 <= ord(c) < 0xA0 else c.encode("cp1252") for c in line
        )
    except UnicodeEncodeError:
        return None


def _reads_as_chinese(text: str) -> bool:
    visible = [character for character in text if character > "\x7f"]
    han = sum("\u4e00" <= character <= "\u9fff" for character in visible)
    common = sum(character in _COMMON for character in visible)
    return han >= _LEAST_HAN * len(visible) and common >= _LEAST_COMMON * max(han, 1)
