"""Main text of HTML pages: ours beside the libraries, on pages with truth.

    python tests/bench/bench_extraction.py [--bar]

Needs ../shared/data (web_html.tar.gz and its truth); trafilatura is shown where it is installed.
Scores are multisets of 4-grams of words, of characters for Chinese, Japanese and Thai: recall is
the share of the truth that was found, precision the share of what was found that is truth. The
`must` and `must not` columns are shares of strings found. `kept` is the characters returned per
character of all visible text. MB/s is markup per CPU second of one thread. With --bar the run
fails unless ours is at least 0.65 times as fast on web pages as the library under it called bare;
manuals are a line of their own, since putting tables back needs a second extraction.
"""

import argparse
import gzip
import json
import re
import tarfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from resiliparse.extract.html2text import extract_plain_text

from pipeline.reading.encodings import text_of
from pipeline.reading.html import declared_codec
from pipeline.reading.main_text import main_text
from pipeline.reading.streams import DamagedInput

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
WIDE = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
WORD = re.compile(r"[\w]")
SPEED_BAR = 0.65  # the scan before parsing takes a quarter of the time
RUNS = 3
MANUALS = ("debdoc en", "debdoc zh", "lohelp en", "lohelp zh")


@dataclass(frozen=True)
class Page:
    """A page and what is known of it."""

    group: str
    markup: str
    truth: str | None
    must: list[str]
    must_not: list[str]


def pages() -> Iterator[Page]:
    """Yield the pages of the set, decoded by the pipeline."""
    with gzip.open(DATA / "web_html.truth.jsonl.gz") as file:
        rows = {row["file"]: row for row in map(json.loads, file)}
    with tarfile.open(DATA / "web_html.tar.gz") as tar:
        for member in tar:
            row = rows.get(member.name.removeprefix("./"))
            if row is None or not member.isfile():
                continue
            page = tar.extractfile(member).read()
            markup = text_of(page, declared=declared_codec(page))[0]
            truth = row.get("text")
            if row.get("expected_html"):
                truth = extract_plain_text(row["expected_html"], preserve_formatting=True)
            group = row["file"].split("/")[0]
            if group in ("lohelp", "debdoc"):
                group += f" {row['lang']}"
            yield Page(
                group, markup, truth, row.get("must_contain", []), row.get("must_not_contain", [])
            )


def charsets() -> tuple[int, int, list[str]]:
    """Return (pages, pages whose codec reads what the label says, the others)."""
    with gzip.open(DATA / "web_html.truth.jsonl.gz") as file:
        rows = {row["file"]: row for row in map(json.loads, file)}
    agreed, other = 0, []
    with tarfile.open(DATA / "web_html.tar.gz") as tar:
        for member in tar:
            row = rows.get(member.name.removeprefix("./"))
            if row is None or not member.isfile() or not row["declared_charset"]:
                continue
            page = tar.extractfile(member).read()
            try:
                markup, encoding, _ = text_of(page, declared=declared_codec(page))
                codec = encoding.codec
            except DamagedInput:
                other.append(f"{row['file']}: {row['declared_charset']} -> none")
                continue
            stated = page.decode(row["declared_charset"], "replace")
            if stated.removeprefix("\ufeff") == markup.removeprefix("\ufeff"):
                agreed += 1
            else:
                other.append(f"{row['file']}: {row['declared_charset']} -> {codec}")
    return agreed + len(other), agreed, other


def grams(text: str, wide: bool) -> Counter:
    """Multiset of 4-grams; a text shorter than that is one gram."""
    units = WORD.findall(text) if wide else re.findall(r"\w+", text)
    return Counter(tuple(units[i : i + 4]) for i in range(max(len(units) - 3, 1)))


def overlap(truth: str, found: str) -> tuple[float, float, float]:
    """Return (precision, recall, F1)."""
    wide = len(WIDE.findall(truth)) > 0.3 * max(len(WORD.findall(truth)), 1)
    wanted, got = grams(truth, wide), grams(found, wide)
    shared = (wanted & got).total()
    precision, recall = shared / max(got.total(), 1), shared / max(wanted.total(), 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def bare(main: bool) -> Callable[[str], str]:
    """Resiliparse alone."""
    return lambda markup: extract_plain_text(markup, main_content=main, preserve_formatting=True)


def extractors() -> dict[str, Callable[[str], str]]:
    """Return what is compared, by name."""
    table = {
        "resiliparse all": bare(False),
        "resiliparse main": bare(True),
        "ours": lambda markup: main_text(markup)[0],
    }
    try:
        import trafilatura
    except ImportError:
        return table
    for name, options in (
        ("trafilatura", {}),
        ("trafilatura precision", {"favor_precision": True}),
        ("trafilatura recall", {"favor_recall": True}),
    ):
        table[name] = lambda markup, options=options: trafilatura.extract(markup, **options) or ""
    return table


def timed(extract: Callable[[str], str], group: list[Page]) -> tuple[list[str], float]:
    """Return the texts and the CPU seconds of the fastest of three runs."""
    spent = []
    for _ in range(RUNS):
        started = time.process_time()
        texts = [extract(page.markup) for page in group]
        spent.append(time.process_time() - started)
    return texts, min(spent)


def scored(group: list[Page], texts: list[str]) -> list[float | None]:
    """Return precision, recall, F1, must, must not: means over pages, None where there is none."""
    found = list(zip(group, texts, strict=True))
    scores = [overlap(page.truth, text) for page, text in found if page.truth]
    musts = [_flat(s) in _flat(text) for page, text in found for s in page.must]
    nots = [_flat(s) in _flat(text) for page, text in found for s in page.must_not]
    means = [sum(column) / len(column) for column in zip(*scores, strict=True)] or [None] * 3
    return [*means, *(sum(hits) / len(hits) if hits else None for hits in (musts, nots))]


def _flat(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    """Print one line per group and extractor."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bar", action="store_true")
    wanted = parser.parse_args()
    groups = defaultdict(list)
    for page in pages():
        groups[page.group].append(page)
    total, agreed, other = charsets()
    print(f"charset: {agreed} of {total} pages read as their label says; others: {other}\n")
    print("| group | pages | extractor | precision | recall | F1 | must | must not | kept | MB/s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    seconds: Counter[tuple[str, bool]] = Counter()
    for name, group in sorted(groups.items()):
        size = sum(len(page.markup.encode()) for page in group) / 1e6
        everything = 1
        for label, extract in extractors().items():
            texts, spent = timed(extract, group)
            seconds[label, name in MANUALS] += spent
            kept = sum(len(_flat(text)) for text in texts)
            everything = kept if label == "resiliparse all" else everything
            cells = [f"{x:.3f}" if x is not None else "-" for x in scored(group, texts)]
            figures = " | ".join([*cells, f"{kept / everything:.2f}", f"{size / spent:.1f}"])
            print(f"| {name} | {len(group)} | {label} | {figures} |")
    ratios = {
        manuals: seconds["resiliparse main", manuals] / seconds["ours", manuals]
        for manuals in (False, True)
    }
    print(
        f"\nours / resiliparse main, web pages: {ratios[False]:.2f} of its speed (bar {SPEED_BAR})"
    )
    print(f"manuals, where tables are put back: {ratios[True]:.2f}")
    if wanted.bar and ratios[False] < SPEED_BAR:
        raise SystemExit("slower than the bar")


if __name__ == "__main__":
    main()
