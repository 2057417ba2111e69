"""What the tags, attributes and class names of a page mean to the scan of it (`page_scan`)."""

import numpy as np

# Flags of a tag.
BLOCK, VOID, RAW, FORMATTING, SKIPPED = 1, 2, 4, 8, 16
GONE = 32  # no visible text: taken out, which spares the parser half of a page of today
# Which tag it is, where that matters; in bits 8 and up.
ROLE_SHIFT = 8
(PARAGRAPH, ITEM, TERM, ROW, ROW_GROUP, CELL, TABLE, BULLETS, LINK, TIME, LABEL, BUTTON, PAGE) = (
    range(1, 14)
)
INPUT, PREFORMATTED, ARTICLE = 14, 15, 16

_BLOCKS = (
    "address aside blockquote caption center col colgroup dialog details dir div dl fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr legend menu nav ol "
    "section summary"
)
_ROLES = {
    "p": (PARAGRAPH, BLOCK),
    "li": (ITEM, BLOCK),
    "dt": (TERM, BLOCK),
    "dd": (TERM, BLOCK),
    "tr": (ROW, BLOCK),
    "tbody": (ROW_GROUP, BLOCK),
    "thead": (ROW_GROUP, BLOCK),
    "tfoot": (ROW_GROUP, BLOCK),
    "td": (CELL, BLOCK),
    "th": (CELL, BLOCK),
    "table": (TABLE, BLOCK),
    "ul": (BULLETS, BLOCK),
    "a": (LINK, FORMATTING),
    "time": (TIME, 0),
    "label": (LABEL, 0),
    "button": (BUTTON, 0),
    "html": (PAGE, BLOCK),
    "body": (PAGE, BLOCK),
    "input": (INPUT, VOID),
    "pre": (PREFORMATTED, BLOCK),
    "article": (ARTICLE, BLOCK),
    "main": (ARTICLE, BLOCK),
}
_VOIDS = "br wbr"
_GONE_VOIDS = "area base embed image img link meta param source track"
_RAWS = "title textarea xmp iframe noembed noframes"
_GONE_RAWS = "script style"
_FORMATTING = "b big code em font i nobr s small strike strong tt u"
_SKIPPED = "noscript template svg select object video audio"
# Attributes for which an element is left out of the main text.
ATTRIBUTES = (
    "class",
    "id",
    "rel",
    "itemprop",
    "aria-expanded",
    "style",
    "hidden",
    "aria-hidden",
    "role",
    "type",
    "data-ad",
    "data-advertisement",
    "data-text-ad",
)
(CLASS, ID, REL, ITEMPROP, EXPANDED, STYLE, HIDDEN, ARIA_HIDDEN, PAGE_ROLE, TYPE) = range(1, 11)
# How the names of classes begin for which inline elements are left out: links to other pages,
# sign-in, sharing, advertisements. Longer words that begin so do no harm, see `page_scan`.
CLASS_WORDS = (
    "account",
    "ad",
    "aptf",
    "banner",
    "brand",
    "collapsed",
    "donate",
    "email",
    "engage",
    "expandable",
    "facebook",
    "feedback",
    "follow",
    "give",
    "google",
    "h-0",
    "hidden-",
    "jp",
    "like",
    "link",
    "log",
    "newsl",
    "next",
    "paginat",
    "paid",
    "permalink",
    "prev",
    "promot",
    "scroll",
    "shar",
    "short",
    "sign",
    "skip",
    "social",
    "spinner",
    "sponsor",
    "subscr",
    "syndic",
    "twitter",
    "user",
    "wa",
    "wide",
)
HIDDEN_WORDS = ("display-none", "hidden", "invisible", "nocontent")
SLOTS = 1024
_MULTIPLIER = 0x9E3779B97F4A7C15


def key_of(name: str) -> int:
    """Return the key of a name: its first seven letters and its length."""
    key = 0
    for letter in name[:7].encode("ascii"):
        key = key << 8 | letter
    return key | min(len(name), 255) << 56


def _tag_table() -> tuple[np.ndarray, np.ndarray]:
    kinds = {name: flags | role << ROLE_SHIFT for name, (role, flags) in _ROLES.items()}
    for names, flags in (
        (_BLOCKS, BLOCK),
        (_VOIDS, VOID),
        (_GONE_VOIDS, VOID | GONE),
        (_RAWS, RAW),
        (_GONE_RAWS, RAW | GONE),
        (_FORMATTING, FORMATTING),
        (_SKIPPED, SKIPPED),
    ):
        kinds.update(dict.fromkeys(names.split(), flags))
    for name in ("col", "hr"):
        kinds[name] |= VOID
    return _hash_table(kinds)


def _hash_table(values: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys of names (uint64, 0 where a slot is free) and their values (int64)."""
    keys, held = np.zeros(SLOTS, np.uint64), np.zeros(SLOTS, np.int64)
    for name, value in values.items():
        slot = slot_of(key_of(name))
        while keys[slot]:
            slot = (slot + 1) % SLOTS
        keys[slot], held[slot] = key_of(name), value
    return keys, held


def slot_of(key: int) -> int:
    """Return the slot at which the search for a key begins."""
    return (key * _MULTIPLIER % (1 << 64)) >> 54


def _rows(words: tuple[str, ...]) -> np.ndarray:
    table = np.zeros((len(words), max(map(len, words)) + 1), np.uint8)
    for row, word in enumerate(words):
        table[row, : len(word)] = np.frombuffer(word.encode("ascii"), np.uint8)
    return table


def _places(words: tuple[str, ...]) -> np.ndarray:
    """Return the row of the first word from each letter on, and one more (int64, 27)."""
    return np.array([sum(word < chr(97 + letter) for word in words) for letter in range(27)])


# Compiled into the scan: hash tables from the keys of names, words as rows padded with zeros.
TAG_KEYS, TAG_KINDS = _tag_table()
ATTRIBUTE_KEYS, ATTRIBUTE_PLACES = _hash_table({n: at for at, n in enumerate(ATTRIBUTES, start=1)})
CLASS_WORD_ROWS, HIDDEN_WORD_ROWS = _rows(CLASS_WORDS), _rows(HIDDEN_WORDS)
CLASS_WORD_PLACES, HIDDEN_WORD_PLACES = _places(CLASS_WORDS), _places(HIDDEN_WORDS)
