"""Token files of other tools: their bytes by the formats' own description, and the way back."""

import os
import pickle
import pickletools
import re
import struct
import subprocess
import sys
from pathlib import Path

import datasets
import duckdb
import numpy as np
import polars as pl
import pytest

from flows.cli import main
from pipeline.conversion.exporting import NOTE, export
from pipeline.conversion.formats import FORMATS
from pipeline.conversion.importing import STAGE, ImportConfig, open_folder
from pipeline.engine.local import LocalEngine
from pipeline.errors import ConfigError, SourceError
from pipeline.shard import ShardConfig, iter_documents
from pipeline.stage import run_stage
from pipeline.store import storage
from pipeline.store.artifact import load_artifact
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards

EOS = 2


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"), parts=2)


def rows(shards, split=None):
    found = [row for batch in iter_documents(shards, split) for row in batch.to_pylist()]
    for row in found:
        del row["offset"]
    return sorted(found, key=lambda row: row["id"])


def with_ends(shards, split):
    batches = iter_documents(shards, split, ["tokens"])
    return [[*ids, EOS] for b in batches for ids in b.column("tokens").to_pylist()]


def flat(documents):
    return [token for ids in documents for token in ids]


def imported(folder, name, out, tokenizer=None, **config):
    parent = open_folder(folder, name, tokenizer)
    return run_stage(STAGE, ImportConfig(**config), [parent], out).artifact


def test_nanogpt_reads_plain_uint16(shards, tmp_path):
    export(shards, "nanogpt", tmp_path)
    for split, file in (("train", "train.bin"), ("validation", "val.bin")):
        read = np.fromfile(tmp_path / file, dtype=np.uint16)
        assert read.tolist() == flat(with_ends(shards, split))


def test_megatron_reads_header_lengths_pointers_and_documents(shards, tmp_path):
    """The index as Megatron-LM's reader takes it apart, field by field."""
    export(shards, "megatron", tmp_path)
    wanted = with_ends(shards, "train")
    index = (tmp_path / "train_text_document.idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    assert struct.unpack("<Q", index[9:17]) == (1,)
    assert struct.unpack("<B", index[17:18]) == (8,)  # uint16
    sequences, documents = struct.unpack("<QQ", index[18:34])
    assert (sequences, documents) == (len(wanted), len(wanted) + 1)
    lengths = np.frombuffer(index, np.int32, sequences, 34)
    pointers = np.frombuffer(index, np.int64, sequences, 34 + lengths.nbytes)
    ends = np.frombuffer(index, np.int64, documents, 34 + lengths.nbytes + pointers.nbytes)
    assert ends.tolist() == list(range(documents))
    assert len(index) == 34 + lengths.nbytes + pointers.nbytes + ends.nbytes
    tokens = (tmp_path / "train_text_document.bin").read_bytes()
    found = [
        np.frombuffer(tokens, np.uint16, length, pointer).tolist()
        for length, pointer in zip(lengths, pointers, strict=True)
    ]
    assert found == wanted


def test_datatrove_reads_tokens_ends_and_metadata(shards, tmp_path):
    export(shards, "datatrove", tmp_path)
    wanted = with_ends(shards, "train")
    file = tmp_path / "train" / "00000.ds"
    assert np.fromfile(file, np.uint16).tolist() == flat(wanted)
    ends = np.fromfile(f"{file}.index", np.uint64)
    assert ends.tolist() == np.cumsum([len(ids) for ids in wanted]).tolist()
    name, count, short = (tmp_path / "train" / "00000.ds.metadata").read_text().split("\n")
    assert name == f"{load_tokenizer(shards.path).fingerprint[:16]}|2"
    assert int(count) == len(flat(wanted))
    assert short == f"{len(flat(wanted)) / 1000:.3g} kT"


@pytest.mark.parametrize("name", FORMATS)
def test_shards_come_back_row_by_row(shards, tmp_path, name):
    export(shards, name, tmp_path / "out")
    back = imported(tmp_path / "out", name, tmp_path / "back")
    assert rows(back) == rows(shards)
    for figure in ("tokens", "documents", "bytes", "tokens_by_language", "tokens_by_source"):
        assert back.stats[figure] == shards.stats[figure]
    assert back.stats["tokenizer_sha256"] == shards.stats["tokenizer_sha256"]
    load_artifact(back.path, contract="shard", checksums=True)


@pytest.mark.parametrize("name", FORMATS)
def test_files_of_others_become_documents_with_made_up_names(shards, tmp_path, name):
    """Without our notes only tokens and splits are left; bytes are counted from the text."""
    export(shards, name, tmp_path / "out")
    (tmp_path / "out" / NOTE).unlink()
    for file in tmp_path.glob("out/documents-*.parquet"):
        file.unlink()
    back = imported(tmp_path / "out", name, tmp_path / "back", source="theirs", lang="en")
    for split in ("train", "validation"):
        found = [b.to_pylist() for b in iter_documents(back, split)]
        found = [row for batch in found for row in batch]
        assert [[*row["tokens"], EOS] for row in found] == with_ends(shards, split)
        assert [row["id"] for row in found] == [f"theirs/{split}-{n}" for n in range(len(found))]
    assert {row["source"] for row in rows(back)} == {"theirs"}
    assert sum(row["bytes"] for row in rows(back)) == sum(shards.stats["bytes"].values())


def test_a_single_file_is_split_by_the_documents_ids(shards, tmp_path):
    tokens = np.array(flat(with_ends(shards, None)), np.uint16)
    (tmp_path / "in").mkdir()
    tokens.tofile(tmp_path / "in" / "train.bin")
    tokenizer = shards.path
    config = ShardConfig(validation_share=0.4)
    back = imported(tmp_path / "in", "nanogpt", tmp_path / "b", tokenizer, shard=config)
    assert back.stats["documents"]["validation"] > 5
    assert sum(back.stats["documents"].values()) == len(rows(shards))


def test_controls_around_documents_go_and_those_inside_are_rejected(shards, tmp_path):
    (tmp_path / "in").mkdir()
    documents = [[1, 50, 51, EOS], [52, EOS], [EOS], [60, 1, 61, EOS], [70, 71]]
    np.array(flat(documents), np.uint16).tofile(tmp_path / "in" / "train.bin")
    back = imported(tmp_path / "in", "nanogpt", tmp_path / "b", shards.path,
                    shard=ShardConfig(validation_share=0))  # fmt: skip
    assert [row["tokens"] for row in rows(back)] == [[50, 51], [52], [70, 71]]
    rejects = back.scan("rejects").collect().select("id", "rule", "value").rows()
    assert rejects == [("imported/train-2", "no_tokens", 1.0),
                       ("imported/train-3", "control_inside", 1.0)]  # fmt: skip
    assert back.ledger.seen == 5


def test_megatron_documents_of_several_sequences_are_one(shards, tmp_path):
    (tmp_path / "in").mkdir()
    np.array([50, 51, 52, EOS, 60, EOS], "<i4").tofile(tmp_path / "in" / "train_text_document.bin")
    index = struct.pack("<9sQBQQ", b"MMIDIDX\x00\x00", 1, 4, 3, 3)
    index += np.array([2, 2, 2], "<i4").tobytes() + np.array([0, 8, 16], "<i8").tobytes()
    index += np.array([0, 2, 3], "<i8").tobytes()
    (tmp_path / "in" / "train_text_document.idx").write_bytes(index)
    back = imported(tmp_path / "in", "megatron", tmp_path / "b", shards.path,
                    shard=ShardConfig(validation_share=0))  # fmt: skip
    assert [row["tokens"] for row in rows(back)] == [[50, 51, 52], [60]]


def test_large_vocabularies_take_wider_ids(tmp_path):
    ids = (np.array([70_000, EOS]), np.array([2]))
    for name, width in (("megatron", 4), ("datatrove", 4)):
        files = [tmp_path / f"{name}-{n}" for n in range(3)]
        FORMATS[name].write(files, iter([ids]), 100_000, "t")
        assert files[0].stat().st_size == 2 * width
        assert FORMATS[name].map(files, EOS).ids().tolist() == [70_000, EOS]
    with pytest.raises(ConfigError, match="100000 pieces; use megatron or datatrove"):
        FORMATS["nanogpt"].write([tmp_path / "x"], iter([ids]), 100_000, "t")


def test_workers_and_ranges_change_nothing(shards, tmp_path, monkeypatch):
    export(shards, "nanogpt", tmp_path / "out")
    monkeypatch.setattr("pipeline.conversion.importing.TOKENS_AT_ONCE", 3000)
    parent = open_folder(tmp_path / "out", "nanogpt", None)
    one, two = (
        run_stage(
            STAGE, ImportConfig(), [parent], tmp_path / str(n), engine=LocalEngine(n)
        ).artifact
        for n in (1, 2)
    )
    assert len(one.parts()) > 3
    assert [e["sha256"] for e in one.entries()] == [e["sha256"] for e in two.entries()]
    assert rows(one) == rows(shards)


def test_damage_and_mistakes_are_named(shards, tmp_path):
    out = tmp_path / "out"
    export(shards, "megatron", out)
    with pytest.raises(SourceError, match=r"no train\.bin, which nanogpt has"):
        open_folder(out, "nanogpt", None)
    with pytest.raises(ConfigError, match="wanted one of nanogpt"):
        open_folder(out, "mosaic", None)
    other = make_shards(tmp_path / "other", vocab_size=680)
    with pytest.raises(SourceError, match="is another"):
        open_folder(out, "megatron", other.path)
    tokens = out / "train_text_document.bin"
    os.truncate(tokens, tokens.stat().st_size - 10)
    with pytest.raises(SourceError, match=r"train_text_document\.bin: other content"):
        open_folder(out, "megatron", None)
    (out / NOTE).unlink()
    with pytest.raises(SourceError, match="its index says"):
        imported(out, "megatron", tmp_path / "b")
    index = out / "train_text_document.idx"
    index.write_bytes(index.read_bytes()[:-3])
    with pytest.raises(SourceError, match="is it whole"):
        imported(out, "megatron", tmp_path / "b")


def test_ids_beyond_the_vocabulary_are_refused(shards, tmp_path):
    np.array([9, 720, EOS], np.uint16).tofile(tmp_path / "train.bin")
    with pytest.raises(SourceError, match=r"ids 2 to 720, .* has 720 pieces"):
        imported(tmp_path, "nanogpt", tmp_path / "b", shards.path)


def test_export_writes_into_no_folder_of_others_and_again_into_its_own(shards, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="holds other files"):
        export(shards, "nanogpt", tmp_path)
    first = export(shards, "nanogpt", tmp_path / "out")
    assert export(shards, "nanogpt", tmp_path / "out") == first
    assert storage.read_json(tmp_path / "out" / NOTE) == first


def test_nanogpt_takes_the_vocabulary_from_meta_pkl(shards, tmp_path):
    """What train.py and sample.py of nanoGPT do with the file, line by line."""
    tokenizer = load_tokenizer(shards.path)
    export(shards, "nanogpt", tmp_path / "a")
    export(shards, "nanogpt", tmp_path / "b")
    stored = (tmp_path / "a" / "meta.pkl").read_bytes()
    assert stored == (tmp_path / "b" / "meta.pkl").read_bytes()
    assert b"GLOBAL" not in stored
    assert not [op for op, _, _ in pickletools.genops(stored) if op.name in RUNNING]

    meta = pickle.loads(stored)
    assert meta["vocab_size"] == tokenizer.vocab_size > max(flat(with_ends(shards, "train")))
    stoi, itos = meta["stoi"], meta["itos"]
    decode = lambda ids: "".join([itos[i] for i in ids])  # noqa: E731
    text = "the old mill\n"
    assert decode([stoi[c] for c in text]) == text
    assert decode(tokenizer.encode(text)) == text
    assert decode([EOS]) == ""


RUNNING = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ"}


def test_nothing_of_ours_loads_a_pickle():
    root = Path(__file__).parents[3]
    sources = [file for name in ("pipeline", "model", "flows", "expectations")
               for file in (root / name).rglob("*.py")]  # fmt: skip
    assert sources
    loading = re.compile(r"pickle\.loads?\(|Unpickler\(|weights_only=False|allow_pickle=True")
    assert [str(file) for file in sources if loading.search(file.read_text("utf-8"))] == []


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.store import storage
from pipeline.store.artifact import load_artifact
from pipeline.conversion.exporting import export
left, sync = int(sys.argv[3]), storage.sync
def counted(path):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(path)
storage.sync = counted
export(load_artifact(Path(sys.argv[1]), contract="shard"), "megatron", Path(sys.argv[2]))
"""


def test_a_killed_export_goes_on_by_the_same_command_with_the_same_bytes(shards, tmp_path):
    wanted = export(shards, "megatron", tmp_path / "whole")
    out = tmp_path / "out"
    codes = [
        subprocess.run(
            [sys.executable, "-c", KILLED, str(shards.path), str(out), str(step)], check=False
        ).returncode
        for step in (0, 3, 9, 200)
    ]

    assert codes == [-9, -9, -9, 0]
    assert storage.read_json(out / NOTE) == wanted
    assert sorted(tmp_path.iterdir()) == [out, tmp_path / "whole"]
    files = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    assert files == {*wanted["files"], NOTE}


def test_the_command_goes_there_and_back(shards, tmp_path, capsys):
    there, back = str(tmp_path / "there"), str(tmp_path / "back")
    assert main(["convert", str(shards.path), "--to", "datatrove", "--out", there]) == 0
    assert "for datatrove" in capsys.readouterr().out
    assert main(["convert", there, "--from", "datatrove", "--out", back, "--workers", "1"]) == 0
    assert "made shards: 60 of 60 documents kept" in capsys.readouterr().out
    assert rows(load_artifact(tmp_path / "back", contract="shard")) == rows(shards)
    assert main(["convert", there, "--out", back]) == 2


def test_shards_are_plain_parquet_for_every_reader(shards, tmp_path, monkeypatch):
    """pyarrow is what the other tests read with."""
    wanted = [(row["id"], row["lang"], row["tokens"]) for row in rows(shards)]
    paths = [str(part) for part in shards.parts()]
    frame = pl.read_parquet(paths).sort("id")
    assert frame.select("id", "lang", "tokens").rows() == wanted
    assert frame.schema["tokens"] == pl.List(pl.UInt16)
    query = "select id, lang, tokens from read_parquet($files) order by id"
    assert duckdb.execute(query, {"files": paths}).fetchall() == wanted
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    loaded = datasets.load_dataset(
        "parquet", data_files=paths, split="train", cache_dir=str(tmp_path)
    ).sort("id")
    assert [(row["id"], row["lang"], row["tokens"]) for row in loaded] == wanted


def test_token_files_have_no_text_to_measure():
    with pytest.raises(ConfigError, match=r"shard\.measures: lines, but token files have no text"):
        ImportConfig(shard=ShardConfig(measures=("lines",)))
