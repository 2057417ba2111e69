"""Ingest as tasks: ranges of large files, one parse per file, ids settled at the end."""

import dataclasses
import gzip
import json

import polars as pl
import pytest

from pipeline import ingest
from pipeline.reading.readers import READERS
from tests.pipeline.ingesting import TEXTS, documents, ingested, quarantine, write_jsonl


def odd_lines() -> bytes:
    rows = [
        json.dumps({"id": f"d{i % 37}", "text": text}, ensure_ascii=False)
        for i, text in enumerate(TEXTS)
    ]
    rows[5:5] = ["", "{broken", "   ", json.dumps({"text": "长" * 3000}), '{"text": ""}']
    return "\n".join(rows).encode()


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n", b"\r\n"])
@pytest.mark.parametrize("size", [100, 257, 4096, 5000])
def test_a_file_of_lines_read_in_ranges_gives_the_same_rows(tmp_path, monkeypatch, size, ending):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(odd_lines() + ending)
    whole = ingested(tmp_path / "in", tmp_path / "whole")
    monkeypatch.setattr(ingest, "TASK_BYTES", size)
    ranges = ingested(tmp_path / "in", tmp_path / "ranges")
    assert documents(ranges).equals(documents(whole))
    assert quarantine(ranges).equals(quarantine(whole))
    assert ranges.ledger == whole.ledger
    same = ("files", "bytes_in", "encodings", "ids_renamed")
    assert [ranges.stats[name] for name in same] == [whole.stats[name] for name in same]
    assert len(ranges.parts()) > 1


def test_ranges_read_by_two_workers_give_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "TASK_BYTES", 9000)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(odd_lines())
    one = ingested(tmp_path / "in", tmp_path / "one")
    two = ingested(tmp_path / "in", tmp_path / "two", workers=2)
    assert (one.path / "manifest.json").read_bytes() == (two.path / "manifest.json").read_bytes()


@pytest.mark.parametrize("size", [1000, 9000])
def test_a_table_read_by_row_groups_gives_the_same_rows(tmp_path, monkeypatch, size):
    rows = [{"id": f"d{i % 37}", "text": text, "n": i} for i, text in enumerate(["", *TEXTS])]
    (tmp_path / "in").mkdir()
    pl.DataFrame(rows).write_parquet(tmp_path / "in" / "a.parquet", row_group_size=3)
    whole = ingested(tmp_path / "in", tmp_path / "whole")
    monkeypatch.setattr(ingest, "TASK_BYTES", size)
    groups = ingested(tmp_path / "in", tmp_path / "groups")
    assert len(whole.parts()) == 1 < len(groups.parts())
    assert documents(groups).equals(documents(whole))
    assert quarantine(groups).equals(quarantine(whole))
    assert (groups.ledger, groups.stats) == (whole.ledger, whole.stats)


@pytest.mark.parametrize("codec", ["utf-16", "gzip"])
def test_what_is_not_plain_lines_is_read_as_one(tmp_path, monkeypatch, codec):
    monkeypatch.setattr(ingest, "TASK_BYTES", 500)
    (tmp_path / "in").mkdir()
    lines = odd_lines()
    data = gzip.compress(lines) if codec == "gzip" else lines.decode().encode(codec)
    (tmp_path / "in" / "a.jsonl").write_bytes(data)
    made = ingested(tmp_path / "in", tmp_path / "out")
    assert made.ledger.seen == len([line for line in lines.split(b"\n") if line.strip()])
    assert len(made.parts()) == 1


def test_every_file_is_parsed_once(tmp_path, monkeypatch):
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"id": "x", "text": t} for t in TEXTS[:4]])
    read = []
    real = ingest.READERS[".jsonl"]

    def counted(source):
        read.append(source.path.name)
        return real.read(source)

    monkeypatch.setitem(ingest.READERS, ".jsonl", dataclasses.replace(real, read=counted))
    made = ingested(tmp_path / "in", tmp_path / "out")
    assert read == ["a.jsonl"]
    assert made.stats["ids_renamed"] == 3
    assert documents(made)["id"].n_unique() == made.rows == made.ledger.kept == 4


def test_records_that_are_no_documents_are_counted(tmp_path):
    block = b"GET / HTTP/1.1\r\n\r\n"
    head = "WARC/1.0\r\nWARC-Type: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n"
    records = [("request", block), ("conversion", TEXTS[0].encode()), ("request", block)]
    data = [head.format(kind, len(b)).encode() + b + b"\r\n\r\n" for kind, b in records]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.warc.gz").write_bytes(gzip.compress(b"".join(data)))
    made = ingested(tmp_path / "in", tmp_path / "out")
    assert (made.rows, made.stats["records_passed_by"]) == (1, {"request": 2})


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("suffix", READERS)
def test_an_empty_file_is_quarantined_as_one_whatever_its_kind(tmp_path, suffix, packing):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"a{suffix}{packing}").touch()  # before any other file
    write_jsonl(tmp_path / "in" / "b.jsonl", [{"text": TEXTS[0]}])
    made = ingested(tmp_path / "in", tmp_path / "out")
    assert documents(made)["text"].to_list() == TEXTS[:1]
    assert quarantine(made).select("path", "reason").rows() == [
        (f"a{suffix}{packing}", "empty_file")
    ]


def test_an_empty_file_after_one_read_in_ranges_is_read_apart_from_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "TASK_BYTES", 500)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(odd_lines())
    (tmp_path / "in" / "b.jsonl").touch()
    (tmp_path / "in" / "c.txt").write_text(TEXTS[0])
    made = ingested(tmp_path / "in", tmp_path / "out")
    assert documents(made).filter(path="c.txt")["text"].to_list() == TEXTS[:1]
    assert quarantine(made).filter(path="b.jsonl")["reason"].to_list() == ["empty_file"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".warc"])
def test_a_file_without_one_record_is_named_in_quarantine(tmp_path, suffix):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"a{suffix}").write_bytes(b"text\n" if suffix in (".csv", ".tsv") else b"\n")
    write_jsonl(tmp_path / "in" / "b.jsonl", [{"text": TEXTS[0]}])
    made = ingested(tmp_path / "in", tmp_path / "out")
    assert quarantine(made).select("path", "reason").rows() == [(f"a{suffix}", "no_records")]
