"""Parquet: every type beside the text, and files that decode to far more than they are."""

import datetime
import decimal
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.reading.parquet_pages import chunk_size
from pipeline.reading.records import UnreadableRecord
from tests.pipeline.ingesting import TEXTS, documents, ingested, quarantine
from tests.pipeline.reading.test_readers import entries, reasons, texts

STAMPS = pa.array([1 << 62, None], pa.int64())
COLUMNS = {
    "decimal": pa.array([decimal.Decimal("1.50"), None]),
    "wide decimal": pa.array([decimal.Decimal(10) ** 70, None], pa.decimal256(76, 2)),
    "date": pa.array([datetime.date(2024, 5, 1), None]),
    "date of no calendar": pa.array([2_000_000_000, None], pa.int32()).cast(pa.date32()),
    "nanoseconds": pa.array([1_700_000_000_123_456_789, None]).cast(pa.timestamp("ns")),
    "time of no calendar": STAMPS.cast(pa.timestamp("us")),
    "unknown zone": pa.array([0, None]).cast(pa.timestamp("us", "Nowhere/At_All")),
    "duration": STAMPS.cast(pa.duration("us")),
    "time": pa.array([datetime.time(1, 2, 3), None]),
    "half float": pa.array([np.float16(1.5), None], pa.float16()),
    "NaN": pa.array([float("nan"), float("inf")]),
    "uint64": pa.array([(1 << 64) - 1, None], pa.uint64()),
    "bytes": pa.array([b"\xff\xfe", b"plain"]),
    "fixed bytes": pa.array([b"\xff" * 4, None], pa.binary(4)),
    "broken text": pa.array([b"\xff\xfe", b"ok"]).cast(pa.binary()).view(pa.string()),
    "dictionary": pa.array(["a", None]).dictionary_encode(),
    "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
    "struct": pa.array([{"a": {"b": [1, None]}}, None]),
    "structs": pa.array([[{"a": b"\xff"}], []]),
    "large list": pa.array([["a"], None], pa.large_list(pa.large_string())),
    "view": pa.array(["a", None], pa.string_view()),
    "nulls": pa.nulls(2),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, None], pa.binary(16))),
    "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', None])),
}
NO_VALUES = ("broken text", "date of no calendar", "time of no calendar")


def written(folder: Path, **columns: pa.Array) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return folder


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_of_any_type_costs_no_document(tmp_path, kind):
    text = pa.array(TEXTS[:2])
    folder = written(tmp_path / "in", **{"text": text, kind: COLUMNS[kind], "n": pa.array([1, 2])})
    made = ingested(folder, tmp_path / "out")
    found = documents(made)
    assert found["text"].to_list() == TEXTS[:2]
    assert [json.loads(meta)["n"] for meta in found["meta"]] == [1, 2]
    assert made.stats["meta_left_out"] == (kind in NO_VALUES)


def test_values_nobody_asked_for_are_written_as_json_can(tmp_path):
    kinds = ["decimal", "half float", "NaN", "bytes", "uint64", "nanoseconds"]
    columns = {kind: COLUMNS[kind] for kind in kinds}
    folder = written(tmp_path / "in", text=pa.array(["a", "b"]), **columns)
    found = documents(ingested(folder, tmp_path / "out"))
    first, second = map(json.loads, found["meta"])
    assert (first["decimal"], first["half float"], first["NaN"]) == ("1.50", 1.5, None)
    assert (first["bytes"], second["bytes"]) == ("//4=", "plain")
    assert first["uint64"] == (1 << 64) - 1
    assert first["nanoseconds"].endswith("123456789")


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(4)])
def test_bytes_in_utf8_are_text_and_others_are_named(tmp_path, kind):
    columns = {
        "id": pa.array([b"one1", b"two2"]),
        "text": pa.array(["磨a".encode(), b"\xff123"], kind),
    }
    made = ingested(written(tmp_path / "in", **columns), tmp_path / "out")
    assert documents(made).select("id", "text").rows() == [("one1", "磨a")]
    (broken,) = quarantine(made).to_dicts()
    assert (broken["reason"], broken["position"]) == ("invalid_utf8", 1)


def test_text_in_structs_and_lists_is_found(tmp_path):
    messages = [[{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]]
    folder = written(tmp_path / "in", messages=pa.array(messages), n=pa.array([1]))
    found = documents(ingested(folder, tmp_path / "out", text_field="messages"))
    assert found["text"].to_list() == ["one\n\ntwo"]
    found = documents(ingested(folder, tmp_path / "out2", text_field="messages.content"))
    assert found["text"].to_list() == ["one\ntwo"]


def repeated(rows: int, text: str) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


def listed(values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


BOMBS = {
    "one text": lambda: repeated(4096, "x" * (1 << 20)),
    "a text that compresses": lambda: pa.array(["x" * (90 << 20)]),
    "texts in a list": lambda: listed(repeated(4096, "x" * (1 << 20))),
    "nulls in a list": lambda: listed(pa.nulls(40_000_000, pa.int64())),
    "rows of nothing": lambda: pa.nulls(3_000_000, pa.string()),
}
READ = """
import resource, sys
from tests.pipeline.reading.test_readers import entries
from pathlib import Path
found = [0, ""]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for entry in entries(Path(sys.argv[1])):
    found = [found[0] + 1, getattr(entry, "reason", "")]
print(*found, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("kind", BOMBS)
def test_a_file_that_decodes_to_far_more_than_it_is_is_stopped(tmp_path, kind):
    path = tmp_path / "a.parquet"
    odd = BOMBS[kind]()
    table = pa.table({"text": pa.array(["a"]), "odd": odd} if "list" in kind else {"text": odd})
    pq.write_table(
        table,
        path,
        compression="zstd",
        store_schema=False,
        write_statistics=False,
        dictionary_pagesize_limit=8 << 20,
    )
    assert path.stat().st_size < 200_000
    asked = [sys.executable, "-c", READ, str(path)]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True)
    _, reason, megabytes = answer.stdout.split()
    assert reason == "expands_too_much"
    assert int(megabytes) < 600  # the limit is 64 MiB, once as pages and once as objects


def test_pages_are_measured_by_their_own_headers(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"text": TEXTS * 500, "n": list(range(500 * len(TEXTS)))})
    pq.write_table(table, path, data_page_size=20_000, compression="zstd", write_page_index=True)
    metadata = pq.read_metadata(path)
    with path.open("rb") as file:
        for number in range(2):
            column = metadata.row_group(0).column(number)
            size = chunk_size(file, column)
            assert size.values == column.num_values == len(table)
            headers = column.total_uncompressed_size - size.bytes
            assert 0 < headers < 0.2 * size.bytes
            assert 0 < size.dictionary_bytes <= size.bytes
    assert texts(entries(path)) == TEXTS * 500
    assert not reasons(entries(path))


def test_a_column_that_cannot_be_read_costs_no_document(tmp_path):
    lists = pl.Series([[1, 2], None], dtype=pl.Array(pl.Int8, 2))  # which pyarrow takes for damage
    (tmp_path / "in").mkdir()
    table = pl.DataFrame({"text": TEXTS[:2], "odd": lists})
    table.write_parquet(tmp_path / "in" / "a.parquet")
    found = documents(ingested(tmp_path / "in", tmp_path / "out"))
    assert found["text"].to_list() == TEXTS[:2]
    assert found["meta"].to_list() == ['{"odd":[1,2]}', None]


def test_damage_in_another_column_costs_no_document(tmp_path):
    folder = written(
        tmp_path / "in", text=pa.array(TEXTS), other=pa.array([t[::-1] for t in TEXTS])
    )
    path = folder / "a.parquet"
    column = pq.read_metadata(path).row_group(0).column(1)
    content = bytearray(path.read_bytes())
    packed = column.dictionary_page_offset + 40  # behind the header of the page
    content[packed : packed + 40] = b"\xff" * 40
    path.write_bytes(content)
    made = ingested(folder, tmp_path / "out")
    assert documents(made)["text"].to_list() == TEXTS
    assert 0 < made.stats["meta_left_out"] <= len(TEXTS)


def test_a_damaged_row_group_costs_no_other(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": TEXTS}), path, row_group_size=5, use_dictionary=False)
    column = pq.read_metadata(path).row_group(1).column(0)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset : column.data_page_offset + 8] = b"\xff" * 8
    path.write_bytes(content)
    found = entries(path)
    assert texts(found) == TEXTS[:5] + TEXTS[10:]
    (broken,) = [entry for entry in found if isinstance(entry, UnreadableRecord)]
    assert (broken.reason, broken.position) == ("damaged_parquet", 5)
    assert broken.detail.startswith("rows 6 to 10: ")


def test_columns_of_one_name_are_both_kept(tmp_path):
    path = tmp_path / "a.parquet"
    arrays = [pa.array([word]) for word in ("one", "two", "three")]
    pq.write_table(pa.Table.from_arrays(arrays, ["text", "n", "n"]), path)
    (found,) = entries(path)
    assert found.fields == {"text": "one", "n": "two", "n_2": "three"}


def test_damage_inside_a_page_header_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": TEXTS}), path)
    content = bytearray(path.read_bytes())
    content[4:12] = b"\xff" * 8
    path.write_bytes(content)
    assert reasons(entries(path)) == ["damaged_parquet"]
