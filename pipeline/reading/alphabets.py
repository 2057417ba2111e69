"""Which characters beyond ASCII a language is written with, to judge a decoding by.

Letters are those of each language's alphabet and of the foreign words that usually keep their
accents in it. Where a language is not named here its script stands for it.
"""

import functools
import unicodedata
from collections.abc import Iterator

# Lower case; what is not here is not at home in the language.
LETTERS = {
    "af": "êëéèôöïîûáíóú",
    "als": "äöüàéèëïß",
    "ast": "áéíóúüñ",
    "az": "çəğıöşüı̇",
    "be": "абвгдеёжзійклмнопрстуўфхцчшыьэюя",
    "bg": "абвгдежзийклмнопрстуфхцчшщъьюяѝ",
    "br": "ñâêîôûùüé",
    "bs": "čćđšž",
    "ca": "àáçèéíïòóúüñŀ",
    "ceb": "ñáéíóú",
    "co": "àèìòùïù",
    "cs": "áčďéěíňóřšťúůýžöü",
    "cy": "âêîôûŵŷáéíóúýäëïöüÿàèìòù",
    "da": "æøåéèêóôüöä",
    "de": "äöüßéèàáêç",
    "dsb": "čćěłńóŕśšžź",
    "en": "éèêëàáâäåæçíïîñóöôøúüœ",
    "eo": "ĉĝĥĵŝŭ",
    "es": "áéíñóúüç",
    "et": "äöõüšžé",
    "eu": "ñçüáéíóú",
    "fi": "åäöšžé",
    "fo": "áíóúýæøð",
    "fr": "àâæçèéêëîïôœùûüÿñ",
    "fy": "êâôûúéëïöü",
    "ga": "áéíóú",
    "gd": "àèìòùáéó",
    "gl": "áéíóúüñç",
    "hr": "čćđšž",
    "hsb": "ćčěłńóřšžź",
    "ht": "èòàé",
    "hu": "áéíóöőúüű",
    "id": "é",
    "is": "áéíóúýðþæö",
    "it": "àáèéìíîòóùú",
    "ku": "çêîşûâ",
    "la": "āēīōūëæœ",
    "lb": "äëéöüèêß",
    "lt": "ąčęėįšųūž",
    "lv": "āčēģīķļņōŗšūž",
    "mk": "абвгдѓежзѕијклљмнњопрстќуфхцчџшѐѝ",
    "mt": "ċġħżàèìòùîé",
    "nds": "äöüß",
    "nl": "éëïóöüèêáäàçíúô",
    "nn": "æøåéèêóòôàüöä",
    "no": "æøåéèêóòôàüöä",
    "oc": "àáçèéíïòóúü",
    "pl": "ąćęłńóśźżéü",
    "pt": "áâãàçéêíóôõúüèñ",
    "rm": "àèéìòùüö",
    "ro": "ăâîșțşţáéö",
    "ru": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
    "sc": "àèìòù",
    "scn": "àèìòùî",
    "sh": "čćđšž",
    "sk": "áäčďéíĺľňóôŕšťúýž",
    "sl": "čšžćđ",
    "sq": "çëâ",
    "sr": "абвгдђежзијклљмнњопрстћуфхцчџшčćđšž",
    "sv": "åäöéàüèáëæø",
    "tl": "ñáéíóúàèìòùâêîôû",
    "tr": "çğıöşüâîûı̇",
    "uk": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    "vec": "àèéìòóùç",
    "vi": "ăâđêôơưáàảãạắằẳẵặấầẩẫậéèẻẽẹếềểễệíìỉĩịóòỏõọốồổỗộớờởỡợúùủũụứừửữựýỳỷỹỵ",
}
SCRIPTS = {
    "greek": "el",
    "cyrillic": "ru uk be bg sr mk",
    "hebrew": "he yi",
    "arabic": "ar fa ur ckb ps sd ug arz azb pnb",
    "thai": "th",
    "armenian": "hy",
}
RANGES = {
    "greek": (0x370, 0x3FF),
    "cyrillic": (0x400, 0x4FF),
    "hebrew": (0x591, 0x5F4),
    "arabic": (0x600, 0x6FF),
    "thai": (0xE01, 0xE5B),
    "armenian": (0x531, 0x58F),
}
# The most frequent letters of a script, and the least share they have of 60 letters of running text
# (measured on ten languages). In another code page other letters stand in their place.
FREQUENT = {
    "greek": ("αοιετσνηυρπκςάέήίόύώ", 0.72),
    "cyrillic": ("оаеинтсрвлкді", 0.5),
    "hebrew": ("יוהלארתבשמן", 0.5),
    "arabic": ("اليمنتروبعدهی", 0.45),
}
# Signs of running text in any language, at the edge of words; some join letters as well.
SIGNS = frozenset("–—‘’‚“”„…«»°§©®™€£¥•·†‡№¡¿ªº²³½¼¾×±µ‰←→\xa0\xad\u200c\u200d\u200e\u200f")
JOINING_SIGNS = frozenset("’‘·\xad\u200c\u200d")
NO_APOSTROPHE_LANGUAGES = ("es", "pt", "gl")
# Between two words without spaces where the language has that custom.
TIGHT_SIGNS = frozenset("–—…")
TIGHT_LANGUAGES = ("en",)
# Opening ones and units, which no letter stands right before.
OPENING_SIGNS = frozenset("‚„¿¡¥£†‡")
# Of numbers: no letter stands right behind them.
NUMBER_SIGNS = frozenset("¼½¾²³¹×±÷°")
LOW_QUOTE_LANGUAGES = (
    *("bg", "cs", "da", "de", "et", "fi", "hr", "hu", "is", "ka", "lb", "lt", "lv"),
    *("mk", "nl", "no", "pl", "ro", "ru", "sk", "sl", "sr", "uk"),
)
# Told from the rest by `is_common_wide`.
WIDE_LANGUAGES = ("zh", "ja", "ko")
_ASCII_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")


@functools.cache
def script_of(language: str) -> str | None:
    """Return the script of a language that is written in one beyond Latin, if it is known."""
    return next((name for name, tags in SCRIPTS.items() if language in tags.split()), None)


@functools.cache
def letters_of(language: str) -> frozenset[str] | None:
    """Return the lower-case letters beyond ASCII of a language, None where they are not known."""
    if language in LETTERS:
        letters = LETTERS[language]
        return frozenset(letters + unicodedata.normalize("NFD", letters)) - _ASCII_LETTERS
    script = script_of(language)
    return frozenset(_range(script)) if script else None


def _range(script: str) -> Iterator[str]:
    low, high = RANGES[script]
    for character in map(chr, range(low, high + 1)):
        if unicodedata.category(character) not in ("Cn", "Cc"):
            yield character
    if script == "greek":  # with the marks of the old spelling
        yield from map(chr, range(0x1F00, 0x2000))


@functools.lru_cache(1 << 16)
def is_common_wide(character: str) -> bool:
    """Tell whether a Chinese, Japanese or Korean character is one that running text is made of.

    Ideographs of the first level of GB 2312, Big5 or JIS X 0208, kana, the syllables of KS X 1001.
    """
    if "\u3041" <= character <= "\u30ff":
        return True
    if "\uac00" <= character <= "\ud7a3":
        return bool(character.encode("euc_kr", "ignore"))
    if not "\u4e00" <= character <= "\u9fff":
        return False
    simplified = character.encode("gb2312", "ignore")
    traditional = character.encode("big5", "ignore")
    japanese = character.encode("cp932", "ignore")
    return (
        (bool(simplified) and simplified[0] <= 0xD7)
        or (bool(traditional) and traditional[0] <= 0xC6)
        or (bool(japanese) and 0x88 <= japanese[0] <= 0x98)
    )


def is_wide_sign(character: str) -> bool:
    """Tell whether a character is punctuation or a full-width form of East Asian text."""
    return "\u3000" <= character <= "\u303f" or "\uff01" <= character <= "\uff65"
