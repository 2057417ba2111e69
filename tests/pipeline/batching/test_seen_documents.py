"""Old and new text: the documents that earlier shards had, by their ids."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.batching.seen_documents import NEW, OLD, SeenDocuments, growth_of, with_ages
from pipeline.shard import TRAIN, VALIDATION, iter_documents
from tests.model.shards import grown_shards


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Shards of 30 documents, and of these, 20 more English and 10 more Chinese ones."""
    folder = tmp_path_factory.mktemp("growth")
    return grown_shards(folder, before={"english": 20, "chinese": 10})


def rows_of(shards) -> list[dict]:
    return [row for batch in iter_documents(shards) for row in batch.to_pylist()]


def test_every_document_is_old_exactly_if_its_id_was_there(pair):
    earlier, shards = pair
    before = {row["id"] for row in rows_of(earlier)}
    seen = SeenDocuments.of(earlier)
    assert len(seen) == len(before) == 30
    told = {
        name: bool(is_old)
        for batch, ages in with_ages(shards, seen, ["id"])
        for name, is_old in zip(batch.column("id").to_pylist(), ages, strict=True)
    }
    assert told == {row["id"]: row["id"] in before for row in rows_of(shards)}
    assert list(told.values()).count(False) == 30


def test_documents_tokens_and_bytes_add_up_by_language_and_source(pair):
    earlier, shards = pair
    growth = growth_of(shards, earlier)
    before = {row["id"] for row in rows_of(earlier)}
    for row in growth.rows:
        own = [
            other
            for other in rows_of(shards)
            if all(other[name] == row[name] for name in ("split", "lang", "source"))
            and (other["id"] in before) == (row["age"] == OLD)
        ]
        assert row["documents"] == len(own)
        assert row["tokens"] == sum(len(other["tokens"]) for other in own)
        assert row["bytes"] == sum(other["bytes"] for other in own)
    assert growth.total("documents") == len(rows_of(shards)) == 60
    assert growth.total(split=TRAIN) == shards.stats["tokens"][TRAIN]
    assert growth.total("bytes", split=VALIDATION) == shards.stats["bytes"][VALIDATION]
    assert growth.by("lang", NEW).keys() == {"en", "zh"}
    assert sum(growth.by("source").values()) == growth.total(age=NEW, split=TRAIN)
    assert growth.new_share == growth.total(age=NEW, split=TRAIN) / growth.total(split=TRAIN)


def test_nothing_is_new_in_the_same_shards_and_all_of_it_beside_none(pair):
    _, shards = pair
    assert growth_of(shards, shards).new_share == 0.0
    nothing = SeenDocuments(np.zeros(0, np.uint64))
    assert not nothing.has(pa.array(["a", "b"])).any()


def test_a_document_that_went_is_not_counted(pair):
    earlier, shards = pair
    shrunk = growth_of(earlier, shards)
    assert shrunk.total("documents", age=NEW) == 0
    assert shrunk.total("documents", age=OLD) == 30


def test_parts_and_row_groups_change_nothing(tmp_path, pair):
    before = {"english": 20, "chinese": 10, "parts": 2}
    assert growth_of(*reversed(grown_shards(tmp_path, before, {"parts": 3}))) == growth_of(
        *reversed(pair)
    )
