"""Shards: the tokens of every document, split by its id, bounded row groups."""

import pydoc_data.topics
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cleaning.measures import measure
from pipeline.engine.local import LocalEngine
from pipeline.errors import ConfigError
from pipeline.schema import CLEAN, conform, shard_contract
from pipeline.shard import STAGE, ShardConfig, iter_documents, row_groups, splits, token_lists
from pipeline.stage import Stage, run_stage
from pipeline.store import storage
from pipeline.store.artifact import load_artifact
from pipeline.tokenizer import load_tokenizer
from pipeline.tokenizer_training import STAGE as TOKENIZER
from pipeline.tokenizer_training import TokenizerConfig

CHINESE = Path(__file__).parents[1] / "data" / "tokenizer_zh.txt"
CONFIG = ShardConfig(validation_share=0.3, row_group_tokens=3000)


@dataclass(frozen=True)
class DocumentsConfig:
    documents: tuple[tuple[str, str, str], ...]  # id, text, lang


def write_documents(rows, sink):
    ids, texts, langs = zip(*rows, strict=True)
    count = len(rows)
    sink.saw(count)
    columns = {"id": ids, "text": texts, "lang": langs, "source": [f"from {x}" for x in langs],
               "path": ["-"] * count, "position": range(count),
               "license": [None] * count, "meta": [None] * count}  # fmt: skip
    sink.write("main", pa.table({name: list(values) for name, values in columns.items()}))


def documents_run(job):
    rows = job.config.documents
    job.map(write_documents, [rows[i : i + 20] for i in range(0, len(rows), 20)])


DOCUMENTS = Stage("clean", CLEAN, documents_run, "pipeline.store.ledger", ("pyarrow",))


def corpus() -> list[tuple[str, str, str]]:
    english = sorted(pydoc_data.topics.topics.items())[:30]
    chinese = CHINESE.read_text(encoding="utf-8").splitlines()
    return [
        *((name, text, "en") for name, text in english),
        *((f"zh-{n}", line, "zh") for n, line in enumerate(chinese)),
        ("nothing", "", "und"),
    ]


def digest(folder: Path) -> dict[str, str]:
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.name != "timing.json"]
    return {str(f.relative_to(folder)): storage.sha256_of(f) for f in files}


@pytest.fixture(scope="module")
def parents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parents")
    config = DocumentsConfig(tuple(corpus()))
    documents = run_stage(DOCUMENTS, config, [], folder / "documents").artifact
    config = TokenizerConfig(vocab_size=1024)
    return [documents, run_stage(TOKENIZER, config, [documents], folder / "tokenizer").artifact]


@pytest.fixture(scope="module")
def shards(parents, tmp_path_factory):
    return run_stage(STAGE, CONFIG, parents, tmp_path_factory.mktemp("s") / "shards").artifact


def test_every_document_decodes_from_the_shard_alone(shards):
    load_artifact(shards.path, contract="shard", checksums=True)
    own = load_tokenizer(shards.path)
    rows = [row for batch in iter_documents(shards) for row in batch.to_pylist()]
    found = [(row["id"], own.decode(row["tokens"]), row["lang"]) for row in rows]
    assert found == corpus()[:-1]
    assert all(row["bytes"] == len(own.decode(row["tokens"]).encode()) for row in rows)


def test_a_document_without_tokens_is_rejected_and_the_ledger_balances(shards):
    [reject] = shards.scan("rejects").collect().to_dicts()
    assert (reject["id"], reject["rule"]) == ("nothing", "no_tokens")
    assert (reject["value"], reject["threshold"]) == (0.0, 1.0)
    assert shards.ledger.to_json() == {
        "in": 61, "kept": 60, "dropped": {"no_tokens": 1}, "quarantined": {}, "changed": {},
    }  # fmt: skip


def test_the_figures_add_up(shards):
    stats = shards.stats
    rows = shards.scan().collect()
    tokens = rows["tokens"].list.len().sum()
    for name in ("tokens", "tokens_by_language", "tokens_by_source"):
        assert sum(stats[name].values()) == tokens
    assert set(stats["tokens_by_source"]) == {"from en", "from zh"}
    for split in ("train", "validation"):
        own = rows.filter(split=split)
        assert stats["tokens"][split] == own["tokens"].list.len().sum()
        assert stats["documents"][split] == own.height > 0
        assert stats["bytes"][split] == own["bytes"].sum()
    assert stats["tokenizer_sha256"] == load_tokenizer(shards.path).fingerprint


def test_validation_documents_that_do_not_come_back_are_counted(parents, shards, tmp_path):
    assert shards.stats["round_trip_failures"] == 0
    settings = TokenizerConfig(vocab_size=1024, normalization="nfkc")
    loses = run_stage(TOKENIZER, settings, parents[:1], tmp_path / "loses").artifact
    made = run_stage(STAGE, CONFIG, [parents[0], loses], tmp_path / "shards").artifact
    own, texts = load_tokenizer(made.path), {name: text for name, text, _ in corpus()}
    rows = made.scan().filter(split="validation").collect().iter_rows(named=True)
    lost = [row["id"] for row in rows if own.decode(row["tokens"]) != texts[row["id"]]]
    assert made.stats["round_trip_failures"] == len(lost) > 0


def test_any_number_of_workers_gives_the_same_bytes(parents, shards, tmp_path):
    two = run_stage(STAGE, CONFIG, parents, tmp_path / "two", engine=LocalEngine(2)).artifact
    assert digest(two.path) == digest(shards.path)


def split_of(ids: list[str], **changes) -> list[str]:
    config = replace(CONFIG, **changes)
    return splits(pa.array(ids, pa.string()), config.salt, config.bound).to_pylist()


def test_measures_of_the_texts_stand_beside_their_tokens(parents, shards, tmp_path):
    config = replace(CONFIG, measures=("lines", "mean_word_length"))
    own = run_stage(STAGE, config, parents, tmp_path / "shards").artifact.scan().collect()
    texts = parents[0].scan().collect().filter(pl.col("text") != "")
    wanted = measure(texts["text"], texts["lang"]).select(config.measures)
    names = {f"measure_{name}": name for name in config.measures}
    found = texts.select("id").join(own, on="id", how="left", maintain_order="left")
    assert found.select([*names]).rename(names).equals(wanted)
    assert own.drop([*names]).equals(shards.scan().collect())


def test_a_document_stays_in_its_split_when_others_are_added():
    ids = [f"document {n}" for n in range(2000)]
    before, after = split_of(ids[:500]), split_of(ids[::-1])[::-1]
    assert after[:500] == before
    assert 0.25 < after.count("validation") / 2000 < 0.35
    wider = split_of(ids, validation_share=0.4)
    assert all(w == "validation" for w, a in zip(wider, after, strict=True) if a == "validation")
    assert split_of(ids, salt="other") != after
    assert set(split_of(ids, validation_share=0)) == {"train"}
    assert split_of([]) == []


@pytest.mark.parametrize(("share", "held_out"), [(1e-9, 1), (0, 0)])
def test_a_handful_of_documents_still_holds_one_out(parents, tmp_path, share, held_out):
    config = ShardConfig(validation_share=share)
    shards = run_stage(STAGE, config, parents, tmp_path / "shards").artifact
    assert shards.stats["documents"]["validation"] == held_out


def test_one_split_is_read_and_only_the_columns_asked_for(shards):
    batches = list(iter_documents(shards, "validation", ["tokens", "id"]))
    assert all(batch.schema.names == ["tokens", "id"] for batch in batches)
    read = sum(len(batch["tokens"].flatten()) for batch in batches)
    assert read == shards.stats["tokens"]["validation"]
    with pytest.raises(ConfigError, match="test"):
        list(iter_documents(shards, "test"))


def test_row_groups_end_with_the_document_that_reaches_the_bound(shards):
    for part in shards.parts():
        with pq.ParquetFile(part) as file:
            groups = [file.read_row_group(i)["tokens"] for i in range(file.num_row_groups)]
        lengths = [[len(tokens) for tokens in group.to_pylist()] for group in groups]
        assert all(sum(group[:-1]) < 3000 for group in lengths)
        assert all(sum(group) >= 3000 for group in lengths[:-1])


def test_rows_are_cut_into_groups_without_losing_any():
    table = pa.table({"n": range(6), "tokens": [[1], [2] * 3, [3], [4] * 9, [5], [6]]})
    groups = row_groups(table, 4)
    assert [group["n"].to_pylist() for group in groups] == [[0, 1], [2, 3], [4, 5]]
    assert [group.num_rows for group in row_groups(table.slice(0, 0), 4)] == [0]


@pytest.mark.parametrize(
    ("vocab_size", "kind"), [(1 << 16, pa.uint16()), ((1 << 16) + 1, pa.uint32())]
)
def test_ids_take_the_smallest_type_that_holds_the_vocabulary(vocab_size, kind):
    flat, offsets = np.array([5, vocab_size - 1, 7], np.int32), np.array([0, 2, 2, 3])
    lists = token_lists(flat, offsets, vocab_size)
    assert lists.type.value_type == kind
    assert lists.to_pylist() == [[5, vocab_size - 1], [], [7]]
    names = ["id", "source", "lang", "split"]
    table = pa.table(
        {
            **{name: ["x"] * 3 for name in names},
            "tokens": lists,
            "offset": [0, 2, 2],
            "bytes": [1, 0, 1],
        }
    )
    assert conform(table, shard_contract(vocab_size), "here")["tokens"].to_pylist()[0][1] > 65000


@pytest.mark.parametrize(
    "wrong",
    [{"validation_share": 1.0}, {"row_group_tokens": 0}, {"measures": ("x",)},
     {"measures": ("lines", "lines")}],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ShardConfig(**wrong)


def test_the_manifest_counts_tokens_per_file_and_offsets_lead_to_a_document(shards):
    entries = shards.manifest["tables"]["main"]
    assert sum(entry["tokens"] for entry in entries) == sum(shards.stats["tokens"].values())
    for part, entry in zip(shards.parts(), entries, strict=True):
        with pq.ParquetFile(part) as file:
            table = file.read()
            firsts = [
                file.metadata.row_group(group).column(5).statistics.min
                for group in range(file.num_row_groups)
            ]
        ends = np.cumsum([len(tokens) for tokens in table["tokens"].to_pylist()])
        assert table["offset"].to_pylist() == [0, *ends[:-1].tolist()]
        assert ends[-1] == entry["tokens"]
        assert firsts == sorted(firsts)  # a row group is found by its statistics alone
        assert len(set(firsts)) == len(firsts)
