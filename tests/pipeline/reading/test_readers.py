import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.reading.readers import CODE_SUFFIXES, READERS, TEXT_SUFFIXES, suffix_of
from pipeline.reading.records import ReaderInput, Record, UnreadableRecord
from pipeline.reading.streams import DamagedInput
from tests.pipeline import kinds
from tests.pipeline.ingesting import TEXTS

ENGLISH = 'The miller said, "grind slowly",\nand so they did; 3 sacks a day.'
ROWS = [{"id": f"d{i}", "text": text} for i, text in enumerate([ENGLISH, *TEXTS[:3]])]
PACKINGS = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}


def _parquet(rows: list[dict]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


def _jsonl(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _csv(rows: list[dict]) -> bytes:
    quoted = ['"' + row["text"].replace('"', '""') + '"' for row in rows]
    body = "".join(f"{row['id']},{text}\r\n" for row, text in zip(rows, quoted, strict=True))
    return ("id,text\r\n" + body).encode()


def _tsv(rows: list[dict]) -> bytes:
    lines = [f"{row['id']}\t{' '.join(row['text'].split())}\n" for row in rows]
    return ("id\ttext\n" + "".join(lines)).encode()


PLAIN_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"


def _warc(rows: list[dict]) -> bytes:
    blocks = [PLAIN_RESPONSE + row["text"].encode() for row in rows]
    head = "WARC/1.1\r\nWARC-Type: response\r\nContent-Length: {}\r\n\r\n"
    return b"".join(head.format(len(b)).encode() + b + b"\r\n\r\n" for b in blocks)


def _wet(rows: list[dict]) -> bytes:
    kind = "WARC-Type: conversion\r\nContent-Type: text/plain"
    head = f"WARC/1.0\r\n{kind}\r\nContent-Length: {{}}\r\n\r\n"
    blocks = [row["text"].encode() for row in rows]
    return b"".join(head.format(len(b)).encode() + b + b"\r\n\r\n" for b in blocks)


def _arc(rows: list[dict]) -> bytes:
    blocks = [PLAIN_RESPONSE + row["text"].encode() for row in rows]
    head = "http://mill.example/ 10.0.0.1 20240501000000 text/plain {}\n"
    return b"".join(head.format(len(b)).encode() + b + b"\n" for b in blocks)


# One sample per line of READERS: content and the texts it must give.
SAMPLES = {
    ".txt": (TEXTS[0].encode(), TEXTS[:1]),
    ".md": (ENGLISH.encode(), [ENGLISH]),
    ".html": (f"<p>{TEXTS[1]}</p>".encode(), TEXTS[1:2]),
    ".htm": (f"<p>{TEXTS[1]}</p>".encode(), TEXTS[1:2]),
    ".jsonl": (_jsonl(ROWS), [row["text"] for row in ROWS]),
    ".ndjson": (_jsonl(ROWS), [row["text"] for row in ROWS]),
    ".json": (json.dumps(ROWS, indent=1).encode(), [row["text"] for row in ROWS]),
    ".csv": (_csv(ROWS), [row["text"] for row in ROWS]),
    ".tsv": (_tsv(ROWS), [" ".join(row["text"].split()) for row in ROWS]),
    ".parquet": (_parquet(ROWS), [row["text"] for row in ROWS]),
    ".warc": (_warc(ROWS), [row["text"] for row in ROWS]),
    ".wet": (_wet(ROWS), [row["text"] for row in ROWS]),
    ".arc": (_arc(ROWS), [row["text"] for row in ROWS]),
    **{suffix: (ENGLISH.encode(), [ENGLISH]) for suffix in (*TEXT_SUFFIXES, *CODE_SUFFIXES)},
    **kinds.SAMPLES,
}


def entries(path: Path, record_bytes_max: int = 1 << 20, expansion_max: float = 200.0) -> list:
    """All entries of a file; a DamagedInput that ends it is the last one."""
    source = ReaderInput(path, "text", record_bytes_max, expansion_max)
    found: list = []
    try:
        found.extend(READERS[suffix_of(path.name)].read(source))
    except DamagedInput as damage:
        found.append(damage)
    return found


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def texts(found: list) -> list[str]:
    return [entry.fields["text"] for entry in found if isinstance(entry, Record)]


def reasons(found: list) -> list[str]:
    return [entry.reason for entry in found if not isinstance(entry, Record)]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("suffix", READERS)
def test_each_kind_of_file_gives_its_texts_plain_and_packed(tmp_path, suffix, packing):
    content, wanted = SAMPLES[suffix]
    found = entries(write(tmp_path / f"a{suffix}{packing}", PACKINGS[packing](content)))
    assert texts(found) == wanted
    assert not reasons(found)


def test_packing_is_known_by_content_not_by_name(tmp_path):
    content = _jsonl(ROWS)
    assert len(texts(entries(write(tmp_path / "plain.jsonl.gz", content)))) == 4
    assert len(texts(entries(write(tmp_path / "packed.jsonl", gzip.compress(content))))) == 4


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_several_members_read_as_one_file(tmp_path, suffix):
    content = _jsonl(ROWS)
    pack = PACKINGS[suffix]
    path = write(tmp_path / f"a.jsonl{suffix}", pack(content[:70]) + pack(content[70:]))
    assert texts(entries(path)) == [row["text"] for row in ROWS]


@pytest.mark.parametrize(("suffix", "reason"), [(".gz", "damaged_gzip"), (".zst", "damaged_zstd")])
@pytest.mark.parametrize("damage", ["cut short", "garbage behind"])
def test_rows_before_damage_are_kept(tmp_path, suffix, reason, damage):
    first, last = PACKINGS[suffix](_jsonl(ROWS)), PACKINGS[suffix](_jsonl(ROWS * 9))
    content = first + (last[:-20] if damage == "cut short" else b"garbage")
    found = entries(write(tmp_path / f"a.jsonl{suffix}", content))
    assert texts(found)[:4] == [row["text"] for row in ROWS]
    assert reasons(found) == [reason]


def test_a_wrong_checksum_is_reported_after_its_rows(tmp_path):
    content = bytearray(gzip.compress(_jsonl(ROWS)))
    content[-8] ^= 0xFF
    found = entries(write(tmp_path / "a.jsonl.gz", bytes(content)))
    assert len(texts(found)) == 4
    assert reasons(found) == ["damaged_gzip"]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_decompression_bomb_is_stopped(tmp_path, suffix):
    line = _jsonl([{"text": "a" * 1000}])
    path = write(tmp_path / f"a.jsonl{suffix}", PACKINGS[suffix](line * 100_000))
    assert path.stat().st_size < 1 << 20
    found = entries(path)
    assert reasons(found) == ["expands_too_much"]
    assert 0 < len(texts(found)) < 80_000


BAD_LINES = {
    "invalid_utf8": '{"text": "磨坊"}'.encode("gb18030"),
    "nul_bytes": b"\0\0\0\0",
    "bad_json": b'{"text": "no end',
    "not_an_object": b'["text"]',
}


@pytest.mark.parametrize("reason", BAD_LINES)
def test_a_bad_line_is_set_aside_and_the_rest_goes_on(tmp_path, reason):
    good = _jsonl(ROWS[:1])
    found = entries(write(tmp_path / "a.jsonl", good + BAD_LINES[reason] + b"\n" + good))
    assert [type(entry) for entry in found] == [Record, UnreadableRecord, Record]
    assert (found[1].reason, found[1].position) == (reason, 1)
    assert found[1].detail.startswith("line 2: ")


def test_a_huge_integer_is_no_crash(tmp_path):
    line = b'{"text": "kept or set aside", "n": ' + b"9" * 6000 + b"}"
    assert len(entries(write(tmp_path / "a.jsonl", line))) == 1


def test_lines_end_at_newlines_only_and_blank_ones_are_no_records(tmp_path):
    text = "one\u2028two\x85three\x0cfour"
    content = b"\n \r\n" + json.dumps({"text": text}, ensure_ascii=False).encode().replace(
        b"\\f", b"\\u000c"
    )
    found = entries(write(tmp_path / "a.jsonl", content))
    assert texts(found) == [text]
    assert found[0].position == 2


def test_a_line_over_the_limit_is_read_past(tmp_path):
    long = _jsonl([{"text": "x" * 5_000}])
    path = write(tmp_path / "a.jsonl", _jsonl(ROWS) + long + _jsonl(ROWS))
    found = entries(path, record_bytes_max=2000)
    assert len(texts(found)) == 8
    assert reasons(found) == ["record_too_large"]
    assert (
        "line 5 has 5012 bytes" in next(e for e in found if isinstance(e, UnreadableRecord)).detail
    )


def test_a_page_over_the_limit_is_set_aside(tmp_path):
    found = entries(write(tmp_path / "a.html", b"word " * 1000), record_bytes_max=2000)
    assert reasons(found) == ["record_too_large"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "gb18030"])
@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_chinese_in_other_encodings(tmp_path, suffix, encoding):
    wanted = "\n".join(TEXTS[:3]) + "\n"
    content = wanted if suffix == ".txt" else f'id,text\r\n1,"{wanted}"\r\n'
    found = entries(write(tmp_path / f"a{suffix}", content.encode(encoding)))
    assert texts(found) == [wanted]


def test_a_page_declared_in_a_chinese_encoding(corpus_file):
    (found,) = entries(corpus_file("page.gbk.html"))
    assert found.fields["title"] == "渔村的 早晨"
    assert "柴油机突突地响" in found.fields["text"]
    assert "var x" not in found.fields["text"]
    assert "首页" not in found.fields["text"]


def test_a_stray_quote_in_tsv_swallows_nothing(tmp_path):
    path = write(tmp_path / "a.tsv", b'id\ttext\n1\tplain\n2\t"not a quote\n3\tlast\n')
    assert texts(entries(path)) == ["plain", '"not a quote', "last"]


def test_tables_with_semicolons_and_old_mac_lines(tmp_path):
    path = write(tmp_path / "a.csv", b"id;text\r1;first, with comma\r2;second\r")
    assert texts(entries(path)) == ["first, with comma", "second"]


def test_a_row_with_too_many_cells_or_a_huge_cell_is_set_aside(tmp_path):
    rows = b"id,text\n1,good\n2,one,two\n3," + b"x" * 4000 + b"\n4,good\n"
    found = entries(write(tmp_path / "a.csv", rows), record_bytes_max=2000)
    assert texts(found) == ["good", "good"]
    assert reasons(found) == ["too_many_fields", "record_too_large"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_without_the_text_column_names_what_it_has(tmp_path, suffix):
    rows = [{"id": "1", "body": "text"}]
    content = b"id,body\n1,text\n" if suffix == ".csv" else _parquet(rows)
    (damage,) = entries(write(tmp_path / f"a{suffix}", content))
    assert damage.reason == "no_text_column"
    assert "'body'" in damage.detail
    assert "ingest.text_field" in damage.detail


def test_a_fake_parquet_file_is_reported(tmp_path):
    found = entries(write(tmp_path / "a.parquet", b"PAR1 this is no table, only its magic PAR1"))
    assert reasons(found) == ["damaged_parquet"]


def test_json_lines_under_the_name_json(tmp_path):
    assert len(texts(entries(write(tmp_path / "a.json", _jsonl(ROWS))))) == 4


def test_one_json_object_over_several_lines(tmp_path):
    content = json.dumps(ROWS[0], indent=2).encode()
    assert texts(entries(write(tmp_path / "a.json", content))) == [ENGLISH]
