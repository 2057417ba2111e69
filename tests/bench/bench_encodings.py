"""How often text in old encodings is read right, refused, or taken for another without a word.

    python tests/bench/bench_encodings.py [--seed N]

Passages of the declaration of human rights in 40 languages (../shared/data), each written in every
encoding that people kept the language in, from 40 bytes to 16 kB.
"""

import argparse
import gzip
import json
import random
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipeline.reading.encodings import text_of
from pipeline.reading.streams import DamagedInput

DECLARATIONS = ROOT.parent / "shared" / "data" / "langid_udhr.jsonl.gz"
SIZES = (40, 80, 200, 2000, 16_000)
ENCODINGS = {
    **dict.fromkeys(("pl", "cs", "sk", "hu", "sl", "hr"), "cp1250 iso8859_2 cp852 mac_latin2"),
    "ru": "cp1251 koi8_r cp866 iso8859_5 mac_cyrillic",
    **dict.fromkeys(("uk", "bg", "sr-Cyrl", "be", "mk"), "cp1251 iso8859_5"),
    **dict.fromkeys(("fr", "de-1996", "es", "pt-PT", "da", "sv"), "cp1252 mac_roman cp850"),
    **dict.fromkeys(("it", "nl", "nb", "fi", "is", "ca", "ga"), "cp1252"),
    "el-monoton": "cp1253 iso8859_7 cp737 mac_greek",
    "tr": "cp1254 iso8859_9 cp857",
    "he": "cp1255 iso8859_8 cp862",
    "ar": "cp1256 iso8859_6",
    **dict.fromkeys(("fa", "ur"), "cp1256"),
    **dict.fromkeys(("lt", "lv"), "cp1257 iso8859_13"),
    "et": "cp1257 iso8859_15",
    "th": "cp874",
    "zh": "gb18030 hz utf-16-le utf-16-be utf-32-le",
    "zh-Hant": "big5hkscs gb18030 utf-16-le",
    "ja": "cp932 euc_jp iso2022_jp utf-16-be",
    "ko": "cp949 iso2022_kr utf-16-le",
    **dict.fromkeys(("hi", "ta", "km", "am", "en", "vi"), "utf-16-le utf-16-be utf-32-be"),
}


def passages(seed: int) -> Iterator[tuple[str, int, str]]:
    """Yield (encoding, size in bytes, text), three of each; text that is all ASCII is left out."""
    with gzip.open(DECLARATIONS, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    texts = {row["lang"]: unicodedata.normalize("NFC", row["text"]) for row in rows}
    for lang, codecs in ENCODINGS.items():
        for codec in codecs.split():
            text = texts[lang].encode(codec, "ignore").decode(codec)
            for size in SIZES:
                characters = min(max(size * len(text) // len(text.encode(codec)), 8), len(text))
                draw = random.Random(f"{seed} {lang} {codec} {size}")
                for _ in range(3):
                    start = draw.randrange(len(text) - characters + 1)
                    passage = text[start : start + characters].strip()
                    if codec.startswith(("utf", "hz", "iso2022")) or not passage.isascii():
                        yield codec, size, passage


def main() -> None:
    """Print the counts by size, and every passage that came out wrong."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=1)
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for codec, size, passage in passages(options.parse_args().seed):
        try:
            text, encoding, _ = text_of(passage.encode(codec))
            outcome = "right" if text == passage else "wrong"
        except DamagedInput:
            outcome = "refused"
        counts[size][outcome] += 1
        if outcome == "wrong":
            print(f"{codec} read as {encoding.codec}: {text[:60]!r}")
    for size, found in counts.items():
        print(f"{size:6} bytes: {dict(found)}")


if __name__ == "__main__":
    main()
