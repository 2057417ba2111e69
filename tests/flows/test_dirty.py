"""Dirty input through every stage: nothing crashes, and the account of every stage balances."""

import gzip
import itertools
import json
import pydoc_data.topics
import tarfile

import pytest

from flows import config
from flows.local import run_chain
from flows.settings import read_settings
from pipeline.errors import SourceError
from pipeline.stage import silent
from pipeline.store.ledger import Ledger


def dirty_folder(folder):
    """Real text among broken things of many kinds, all made here."""
    texts = list(pydoc_data.topics.topics.values())
    good = [json.dumps({"text": text, "id": str(i)}) for i, text in enumerate(texts)]
    bad = ["{broken", '{"text": 5}', '{"other": "x"}', "[1, 2]", '{"text": "\\ud800"}', '"text"',
           '{"text": ""}', "[" * 5000 + "]" * 5000, json.dumps({"text": "x\u0000y" * 40}),
           json.dumps({"text": "!!!! #### " * 50}),
           json.dumps({"text": texts[0], "id": "0"})]  # fmt: skip
    (folder / "mixed.jsonl").write_text("\n".join(good + bad), "utf-8")
    (folder / "latin.txt").write_bytes(("Crème brûlée à la façon. " * 40).encode("latin-1"))
    (folder / "gbk.txt").write_bytes(("机器学习让计算机从数据里找到规律。" * 20).encode("gb18030"))
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress("\n".join(good).encode())[:9000])
    (folder / "fake.parquet").write_bytes(b"PAR1 not really")
    (folder / "empty.txt").touch()
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "loop").symlink_to(folder)
    (folder / "table.csv").write_text('id,text\n1,"unclosed\n2,fine words here\n', "utf-8")
    return folder


def check(made):
    for artifact in made.values():
        ledger = Ledger.from_json(artifact.manifest["ledger"])
        gone = ledger.dropped.total() + ledger.quarantined.total()
        assert ledger.seen == ledger.kept + gone
        assert ledger.seen > 0
    documents = [made[name].ledger for name in ("ingest", "clean", "dedup", "shard")]
    for before, after in itertools.pairwise(documents):
        assert after.seen == before.kept
    for name in ("clean", "dedup"):
        if made[name].ledger.dropped:
            rejects = made[name].scan("rejects").collect()
            assert len(rejects) == made[name].ledger.dropped.total()
            assert rejects["rule"].null_count() == rejects["value"].null_count() == 0
    quarantine = made["ingest"].scan("quarantine").collect()
    assert len(quarantine) == made["ingest"].ledger.quarantined.total()


def run(tmp_path, source, *overrides):
    settings = read_settings(str(tmp_path / "store"), workers=2)
    recipe = config.load("smoke", overrides, [str(source)])
    return run_chain(recipe, settings, silent, lambda line: None).artifacts


def test_every_stage_accounts_for_every_row_of_dirty_input(tmp_path):
    (tmp_path / "dirty").mkdir()
    made = run(tmp_path, dirty_folder(tmp_path / "dirty"))
    check(made)
    reasons = set(made["ingest"].ledger.quarantined)
    assert len(reasons) >= 6, reasons
    assert made["dedup"].ledger.dropped["exact_duplicate"] >= 1
    assert made["clean"].ledger.dropped


def test_the_dirty_set_goes_through_the_whole_chain(tmp_path, shared_data):
    (tmp_path / "dirty").mkdir()
    for name in ("dirty.jsonl.gz", "dirty.invalid_utf8.jsonl.bin"):
        target = tmp_path / "dirty" / name.removesuffix(".bin")
        target.write_bytes((shared_data / name).read_bytes())
    with tarfile.open(shared_data / "dirty.containers.tar.gz") as containers:
        containers.extractall(tmp_path / "dirty" / "containers", filter="tar")
    made = run(tmp_path, tmp_path / "dirty", "tokenizer.vocab_size=8192", "train.steps=400")
    check(made)


@pytest.mark.parametrize("content", [{}, {"a.jpg": b"\xff\xd8"}, {"a.jsonl": b"{broken\n"}])
def test_a_folder_with_nothing_usable_says_so(tmp_path, content):
    folder = tmp_path / "nothing"
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    with pytest.raises(Exception, match=r"nothing|no readable|rows is 0|quarantine") as stop:
        run(tmp_path, folder)
    assert isinstance(stop.value, SourceError) or "gate after ingest" in str(stop.value)
