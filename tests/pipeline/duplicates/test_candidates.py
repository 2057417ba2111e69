"""What deduplication reads and writes between its steps."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.duplicates.candidates import (
    Part,
    Shingling,
    find_candidates,
    gather_sets,
    write_signatures,
)

SHINGLING = Shingling(words=5, characters=5, bands=20, rows=6, seed=1)


class Tables:
    """Stands in for a sink and keeps what is written, by table."""

    def __init__(self):
        self.written: dict[str, list[pa.Table]] = {}

    def write(self, name, table):
        self.written.setdefault(name, []).append(table)


@pytest.fixture
def part(tmp_path):
    words = [f"word{n} of document {n} in the old mill by the river {n}" for n in range(100)]
    words[70] = words[20]
    table = pa.table({"id": [f"d{n}" for n in range(100)], "text": words, "lang": ["en"] * 100})
    pq.write_table(table, tmp_path / "part.parquet", row_group_size=25)
    return Part(tmp_path / "part.parquet", first=1000)


def test_signatures_are_written_in_hash_ranges_that_cover_every_document(part):
    sink = Tables()
    write_signatures(SHINGLING, True, True, 2, part, sink)

    exact, bands = (pa.concat_tables(sink.written[name]) for name in ("exact", "bands"))
    assert sorted(exact["document"].to_pylist()) == list(range(1000, 1100))
    assert len(bands) == 100 * SHINGLING.bands
    for table in sink.written["bands"]:
        ranges = np.unique(table["key"].to_numpy() >> 61) if len(table) else [0]
        assert len(ranges) == 1


def test_exact_copies_make_no_candidates_but_their_first_does(part, tmp_path):
    sink = Tables()
    write_signatures(SHINGLING, True, True, 0, part, sink)
    file = tmp_path / "bands.parquet"
    pq.write_table(pa.concat_tables(sink.written["bands"]), file)

    find_candidates(0, 32, [file], 0, sink)

    pairs = pa.concat_tables(sink.written["candidates"]).to_pydict()
    assert 1070 not in pairs["earlier"] + pairs["later"]


def test_row_groups_without_candidates_are_not_read(part, monkeypatch):
    read = []
    real = pq.ParquetFile.read_row_group

    def spy(self, group, **options):
        read.append(group)
        return real(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spy)
    sink = Tables()

    gather_sets(SHINGLING, (part, np.array([1030, 1030, 1049]), np.array([0, 1, 1])), sink)

    assert read == [1]
    rows = [table.select(["chunk", "id"]).to_pydict() for table in sink.written["sets"]]
    assert rows == [{"chunk": [0], "id": ["d30"]}, {"chunk": [1, 1], "id": ["d30", "d49"]}]
