"""One flipped bit in any file of any artifact: the next command says so in one line."""

import json
import random

import pytest

from flows import cli

STAGES = ("ingest", "clean", "dedup", "tokenizer", "shard", "train")


@pytest.fixture(scope="module")
def chain(smoke_store):
    """Folders of the smoke run's artifacts by stage."""
    made = json.loads((smoke_store / "result.json").read_text("utf-8"))["artifacts"]
    return {stage: smoke_store / "store" / "artifacts" / stage / made[stage].rsplit("/", 1)[1]
            for stage in made}  # fmt: skip


def next_command(stage, chain, out):
    """Return the command that reads a stage's artifact next."""
    here = str(chain[stage])
    return {
        "ingest": ["clean", here, "--out", out],
        "clean": ["dedup", here, "--out", out],
        "dedup": ["tokenizer", here, "--out", out],
        "tokenizer": ["shard", str(chain["dedup"]), "--tokenizer", here, "--out", out],
        "shard": ["train", here, "--out", out, "--set", "train.steps=1"],
        "train": ["evaluate", here, str(chain["shard"])],
    }[stage]


@pytest.mark.parametrize("stage", STAGES)
def test_a_flipped_bit_is_never_passed_over(stage, chain, tmp_path, capsys):
    manifest = json.loads((chain[stage] / "manifest.json").read_text("utf-8"))
    tables = [entries[0] for entries in manifest["tables"].values() if entries]
    names = ["manifest.json", *(entry["path"] for entry in [*tables, *manifest["files"]])]
    command = next_command(stage, chain, str(tmp_path / "out"))
    draw = random.Random(stage)
    for name in names:
        file = chain[stage] / name
        before = file.read_bytes()
        flipped = bytearray(before)
        flipped[draw.randrange(len(before))] ^= 1 << draw.randrange(8)
        file.write_bytes(flipped)
        try:
            code = cli.main([*command, "--workers", "1"])
        finally:
            file.write_bytes(before)
        said = capsys.readouterr().err
        assert code == 1, (name, said)
        assert said.startswith("textmill: ")
        assert name in said
        assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_model_with_a_flipped_bit_does_not_write(chain, capsys):
    file = chain["train"] / "model.safetensors"
    before = file.read_bytes()
    flipped = bytearray(before)
    flipped[-100] ^= 1
    file.write_bytes(flipped)
    try:
        assert cli.main(["generate", str(chain["train"]), "The"]) == 1
    finally:
        file.write_bytes(before)
    assert "model.safetensors: content differs" in capsys.readouterr().err
