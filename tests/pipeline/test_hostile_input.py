"""No input costs much more than plain text of its size: expressions, cleaning, pages, readers."""

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipeline
from pipeline.clean import CleanConfig, clean_texts
from pipeline.cleaning.edits import EDITS
from pipeline.cleaning.optional_measures import OPTIONAL_MEASURES
from pipeline.cleaning.pii import PiiConfig
from pipeline.dedup import STAGE as DEDUP
from pipeline.dedup import DedupConfig
from pipeline.duplicates.config import PassageConfig
from pipeline.encoding.encoder import CompiledEncoder
from pipeline.reading.main_text import main_text
from pipeline.reading.readers import READERS
from pipeline.reading.records import ReaderInput
from pipeline.reading.streams import DamagedInput
from pipeline.schema import RAW
from pipeline.stage import run_stage
from pipeline.tokenizer_training import TokenizerConfig, train
from pipeline.vocabulary import read_vocabulary
from tests.pipeline.corpora import GIVEN, Given
from tests.pipeline.hostile import (
    MEGABYTE,
    PLAIN,
    costs_at_most,
    cpu_seconds,
    filled,
    nested,
    numbered,
    pages,
    second,
    texts,
)

RATIO_MAX = 30  # to plain text of the same size
SMALL = 48_000  # what is quadratic ends here, before it is tried on a megabyte
# Matched at one place per tag, line or file, never searched for; comments only where one ends.
MATCHED_ONLY = (
    "addresses._SCHEME", "enclosed._REST_OF_TAG", "enclosed._REST_OF_CLOSING",
    "enclosed._TAGS_AND_COMMENTS",
    "archives.ARC_START", "json_stream.OPENING", "json_stream.WRAPPER",
)  # fmt: skip


def expressions() -> dict[str, re.Pattern]:
    """Return every compiled expression that a module of the pipeline holds, by its place."""
    found: dict[re.Pattern, str] = {}
    for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
        for name, value in list(vars(importlib.import_module(module.name)).items()):
            for place, pattern in _patterns(f"{module.name}.{name}", value, 3):
                found.setdefault(pattern, place)
    return {place: pattern for pattern, place in found.items()}


def _patterns(place: str, value: Any, depth: int) -> Iterator[tuple[str, re.Pattern]]:
    if isinstance(value, re.Pattern):
        yield place, value
    elif depth and isinstance(value, (tuple, list)) and len(value) < 100:
        for number, item in enumerate(value):
            yield from _patterns(f"{place}[{number}]", item, depth - 1)
    elif depth and isinstance(value, dict) and len(value) < 100:
        for key, item in value.items():
            yield from _patterns(f"{place}[{key}]", item, depth - 1)
    elif depth and dataclasses.is_dataclass(value) and not isinstance(value, type):
        for name, item in vars(value).items() if hasattr(value, "__dict__") else ():
            yield from _patterns(f"{place}.{name}", item, depth - 1)


def count(pattern: re.Pattern, text: str | bytes) -> int:
    return sum(1 for _ in pattern.finditer(text))


def test_every_expression_reads_each_character_a_fixed_number_of_times():
    found = expressions()
    assert len(found) > 40
    most = second() / 5
    slow = [
        (place, name)
        for place, pattern in found.items()
        if not place.endswith(MATCHED_ONLY)
        for name, text in texts(SMALL // 4).items()
        if not costs_at_most(
            most,
            lambda p=pattern, t=text: count(p, t.encode() if isinstance(p.pattern, bytes) else t),
        )
    ]
    assert not slow


def cleaned(text: str) -> None:
    columns = {name: [None] for name in RAW.schema.names} | {
        "id": ["x"], "text": [text], "source": ["s"], "path": ["p"], "position": [0],
    }  # fmt: skip
    documents = pl.DataFrame(pa.table(columns, schema=RAW.schema))
    config = CleanConfig(pii=PiiConfig(action="replace"), edits=tuple(EDITS))
    clean_texts(documents, config, set(OPTIONAL_MEASURES))


LARGE = (
    "'<'", "'['", "'('", "'&'", "'a@a.'", "'1'", "'-'", "'`'", "'|'", "' \\n'", "'水'", "'a'",
    "'a\u0301'", "'<!--'", "'<nav>'", "'<div id='", "'[1'", "'1.1.'", "'138 1'", "'Ã©'",
    "spaces at the end", "brackets", "tags in tags", "citations in citations", "telephones",
)  # fmt: skip


def test_cleaning_costs_no_hostile_text_much_more_than_a_plain_one():
    cleaned(PLAIN)
    for size in (SMALL, MEGABYTE):
        plain = cpu_seconds(lambda size=size: cleaned(filled(PLAIN, size)))
        most = max(second(), RATIO_MAX * plain)
        for name, text in texts(size).items():
            if size == SMALL or name in LARGE:
                assert costs_at_most(most, lambda text=text: cleaned(text)), (name, size)


LARGE_PAGES = (
    "<div>", "<div>x ", "<table><tr><td>x", "<ul><li>hello <a>x</a>", "<p><a><b><i></a></p>",
    "<b>不", "formatting never closed", "many attributes", "bodies", "links deep down",
)  # fmt: skip


def test_no_hostile_page_costs_much_more_than_a_plain_one():
    main_text("<p>x</p>")
    for size in (SMALL, MEGABYTE):
        plain = cpu_seconds(lambda size=size: main_text(filled(f"<p>{PLAIN}</p>", size)))
        most = max(3 * second(), RATIO_MAX * plain)
        for name, page in pages(size).items():
            if size == MEGABYTE and name not in LARGE_PAGES:
                continue
            assert costs_at_most(most, lambda page=page: main_text(page)), (name, size)


WARC = "WARC/1.0\r\nWARC-Type: response\r\nContent-Length: {}\r\n\r\n"
HTTP = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
FILES = {
    ".jsonl": (
        '{{"text": "{}"}}\n',
        ["[", '{"a":', "{", "{}", "[[[[[[[[\n", '{"text":"a"}', '{"text":"a",}\n', '["', "\n", '"'],
        ['{"text":"', '{"data":[{"text":"a"},', '[{"text":"a"},', '{"text":"x","n":1'],
    ),
    ".csv": (
        "{:.2},1\n",  # as many rows as the hostile ones have
        [],
        [f"text,id\n{unit}" for unit in ('"', '"a\n', '"a,"b\n', 'a,"b\n', ",", "\r", '"a""b\n')]
        + [";", "text,", '"', "sep=;\n", 'text,id\n"x\n"\n'],
    ),
    ".tsv": ("{:.2}\t1\n", [], ['text\tid\n"a\n', 'text\tid\n"', "\t"]),
    ".txt": ("{}", ["\xff", "\xc3", "abc \xe9 ", "\0", "\x7f", "\xa1\xa1", "\x1b$B"], []),
    ".warc": (
        WARC.format(20) + "{:.20}\r\n\r\n",
        [WARC.format(MEGABYTE), WARC.format(MEGABYTE) + HTTP, "WARC/1.0\r\n", "A: b\r\n", "\n"],
        ["WARC/1.0\r\nA: b\r\n c", WARC.format(MEGABYTE) + HTTP + "A: b\r\n c",
         WARC.format(MEGABYTE) + HTTP + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"],
    ),
}  # fmt: skip


def read(path: Path) -> int:
    try:
        source = ReaderInput(path, "text", 16 << 20, 200.0)
        return sum(1 for _ in READERS[path.suffix].read(source))
    except DamagedInput:
        return 0


@pytest.mark.parametrize("suffix", FILES)
def test_no_hostile_file_costs_its_reader_much_more_than_a_plain_one(suffix, tmp_path):
    plain, units, begun = FILES[suffix]
    path = tmp_path / f"file{suffix}"

    for size in (SMALL, MEGABYTE // 4):
        begin = "text,id\n" if suffix == ".csv" else "text\tid\n" if suffix == ".tsv" else ""
        path.write_text(begin + filled(plain.format(PLAIN.strip()), size))
        most = max(2 * second(), RATIO_MAX * cpu_seconds(lambda: read(path)))
        contents = [filled(unit, size) for unit in units]
        for start in begun:
            head, _, unit = start.rpartition("\n")
            contents += [f"{head}\n" * bool(head) + filled(unit or start, size)]
            contents += [start + filled(start[-3:], size)]
        for content in contents:
            path.write_bytes(content.encode("latin-1"))
            assert costs_at_most(most, lambda: read(path)), (content[:60], size)


REPEATED = ("a", "水", "ab", "a ", "水 ", ".", "-", " ", "\n", "\u200b", "a\u0301", "x y\n", PLAIN)


@pytest.mark.parametrize("whole", [True, False])
def test_no_repetition_costs_dedup_much_more_than_plain_text(whole, tmp_path):
    """One character, word or line again and again, in documents that share long runs of it."""
    passages = PassageConfig(lines=True, paragraphs=True, substrings=True)
    config = DedupConfig(near=whole, exact=whole, passages=passages)

    def seconds(text: str, folder: Path) -> float:
        half = len(text) // 2
        rows = (
            ("a", text),
            ("b", f"{text}\nthe end"),
            ("c", f"begin\n{text[:half]}x{text[half:]}"),
        )
        clean = run_stage(GIVEN, Given((rows,)), [], folder / "clean").artifact
        spent = cpu_seconds(lambda: run_stage(DEDUP, config, [clean], folder / "out"))
        marks = sum(pq.read_metadata(m).num_rows for m in folder.rglob("index_marks/*.parquet"))
        assert marks <= len(text.encode()) // 4
        return spent

    seconds(PLAIN, tmp_path / "compiled")
    plain = seconds(numbered("w{} is the next word\n", MEGABYTE // 4), tmp_path / "plain")
    most = max(2 * second(), RATIO_MAX * plain)
    for number, unit in enumerate(REPEATED):
        assert seconds(filled(unit, MEGABYTE // 4), tmp_path / f"{number}") <= most, unit


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_no_word_is_too_long_for_the_tokenizer(model_type):
    lines = (
        (Path(__file__).parents[1] / "data" / "tokenizer_zh.txt").read_text("utf-8").splitlines()
    )
    config = TokenizerConfig(vocab_size=800, model_type=model_type)
    encoder = CompiledEncoder(read_vocabulary(train(iter([*lines, *[PLAIN] * 50]), config)))

    def encode(text: str) -> None:
        encoder.encode(pa.array([text], pa.large_string()))

    encode(PLAIN)
    plain = filled(PLAIN, MEGABYTE)
    most = max(second(), RATIO_MAX * cpu_seconds(lambda: encode(plain)))
    repeated = {unit: filled(unit, MEGABYTE) for unit in (*"a水 1-\u0301", "水a", "的是")}
    for name, text in (repeated | {"nested": nested("(", ")", MEGABYTE)}).items():
        assert costs_at_most(most, lambda text=text: encode(text)), name
