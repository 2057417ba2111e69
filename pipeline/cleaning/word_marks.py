"""What the word splitter knows of characters and of chunks that stay whole, as small arrays.

The rules follow the tokenizer that published filter thresholds were set with (spaCy 3 for English):
marks are words of their own at the edges of a chunk, and inside it only where letters meet them.
"""

import functools

import numpy as np

from pipeline.characters import by_category

LOWER, UPPER, ALPHA, DIGIT, PREFIX, SUFFIX, APOSTROPHE, HYPHEN = (1 << bit for bit in range(8))
SYMBOL, CURRENCY, TERMINAL, BREAK, STICKY, DOT = (1 << bit for bit in range(8, 14))

_PUNCTUATION = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = "'\"”“`‘´’‚„»«「」『』（）〔〕【】《》〈〉⟦⟧"
_PREFIXES = "§%=—–"
_SUFFIXES = "—–"
_HYPHENS = "-–—~"
_CURRENCY = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿"
# After these a final dot is a word of its own, as after lower-case letters and digits.
_BEFORE_DOT = "%²-+"
# Characters of which a word may consist without counting as a word (beside punctuation).
_SYMBOLS = "+^~|=`$<>＋～＄｜＝∶►′″"
# Unicode's sentence terminals below plane 1 that end a line of prose.
_TERMINALS = (
    ".!?։؝؞؟۔܀܁܂߹࠷࠹࠽࠾।॥၊။።፧፨᙮᜵᜶។៕៖៙៚᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᭽᭾᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼⹓⹔。꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？｡"
)
LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"

# Chunks that stay whole: abbreviations with their dots, short forms, faces made of marks.
_SHORT_FORMS = """
Adm. Ak. Ala. Apr. Ariz. Ark. Aug. Bros. Calif. Co. Colo. Conn. Corp. D.C. Dec. Del. Dr. E.G. E.g.
Feb. Fla. Ga. Gen. Gov. I.E. I.e. Ia. Id. Ill. Inc. Ind. Jan. Jr. Jul. Jun. Kan. Kans. Ky. La. Ltd.
Mar. Mass. Md. Messrs. Mich. Minn. Miss. Mo. Mont. Mr. Mrs. Ms. Mt. N.C. N.D. N.H. N.J. N.M. N.Y.
Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. Ph.D. Prof. Rep. Rev. S.C. Sen. Sep. Sept. St. Tenn. Va.
Wash. Wis. a.m. co. e.g. i.e. p.m. v.s. vs. and/or 'em 'cause ol' o' ma'am o'clock y'all a. b. c. d.
e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z.
"""
_FACE_MARKS = """
(*_*) (-: (-; (-_-) (._.) (: (; (= (>_<) (^_^) )-: ): -_- -__- ._. :'( :') :'-( :'-) :( :(( :((( :()
:) :)) :))) :* :-( :-(( :-((( :-) :-)) :-))) :-* :-/ :-> :-] :-| :-} :/ :> :] :| :} ;) ;-) ;_; <.<
=( =) =/ =[ =] =| >.< >.> >:( @_@ [-: [: [= ]= ^_^ ^__^ ^___^ '' :P :p :D :o :O :-P :-p :-D :-o :-O
:0 :-0 :3 :X :x :-X :-x 8) 8-) 8D xD XD XDD =D =3 =P o_o o.o O_O O.O o_O 0_0 0_o V.V v.v v_v <3 </3
"""
_UNIT_NAMES = """
km m dm cm mm ha nm yd in ft kg g mg t lb oz kmh mph hPa Pa mbar mb MB kb KB gb GB tb TB T G M K
"""
ABBREVIATIONS, FACES, UNITS = _SHORT_FORMS.split(), _FACE_MARKS.split(), _UNIT_NAMES.split()
LONGEST_LISTED = 8
LISTED_SLOTS = 1024  # at most a quarter full
LISTED_FACTOR = 0x9E3779B97F4A7C15


@functools.cache
def character_marks() -> np.ndarray:
    """Bits of each code point below 0x20000 (uint16, the constants above)."""
    table = by_category(_marks_of, np.uint16)
    for characters, bits in (
        (_PUNCTUATION, PREFIX | SUFFIX | SYMBOL | STICKY),
        (_QUOTES, PREFIX | SUFFIX | SYMBOL | STICKY),
        (_PREFIXES, PREFIX),
        (_SUFFIXES, SUFFIX),
        (_HYPHENS, HYPHEN | SYMBOL),
        (_CURRENCY, PREFIX | CURRENCY),
        (_BEFORE_DOT, STICKY),
        (_SYMBOLS, SYMBOL),
        (_TERMINALS, TERMINAL | SYMBOL),
        (LINE_BREAKS, BREAK),
        ("'’", APOSTROPHE),
        (".", DOT),
    ):
        for character in characters:
            table[ord(character)] |= bits
    return table


def _marks_of(category: str) -> int:
    bits = ALPHA * (category[0] == "L")
    bits |= LOWER * (category == "Ll") | UPPER * (category == "Lu") | DIGIT * (category == "Nd")
    if category == "So":
        bits |= PREFIX | SUFFIX
    if category in ("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Cc"):
        bits |= SYMBOL
    return bits


@functools.cache
def listed_chunks() -> np.ndarray:
    """Slots (LISTED_SLOTS) that hold the `chunk_key` of every chunk that stays whole."""
    return _slots(ABBREVIATIONS + FACES)


@functools.cache
def listed_units() -> np.ndarray:
    """Slots that hold the `chunk_key` of units that part from the number before them."""
    return _slots(UNITS)


def _slots(chunks: list[str]) -> np.ndarray:
    slots = np.zeros(LISTED_SLOTS, np.uint64)
    for chunk in chunks:
        key = chunk_key(chunk)
        at = key * LISTED_FACTOR % 2**64 // (2**64 // LISTED_SLOTS)
        while slots[at] and slots[at] != key:
            at = (at + 1) % LISTED_SLOTS
        slots[at] = key
    slots.flags.writeable = False
    return slots


def chunk_key(chunk: str) -> int:
    """Number that stands for a chunk of up to 8 characters below U+0100; one per chunk."""
    return int.from_bytes(chunk.encode("latin-1"), "little")
