"""Each gate can stop the chain, and nothing after it starts."""

import json
import pydoc_data.topics
import re

import pytest

from flows import config
from flows.local import run_chain
from flows.settings import read_settings
from pipeline.errors import GateError
from pipeline.stage import silent


@pytest.fixture
def run(tmp_path):
    """Run the smoke recipe with changes in this process; returns (store, lines said)."""

    def run(*overrides, sources=()):
        recipe = config.load("smoke", overrides, [str(path) for path in sources])
        said = []
        settings = read_settings(str(tmp_path / "store"), workers=1)
        run_chain(recipe, settings, silent, said.append)
        return said

    return run


def topics(copies: int, count: int = 60) -> list[dict]:
    names = sorted(pydoc_data.topics.topics)[:count]
    return [{"id": f"{name}-{copy}", "text": pydoc_data.topics.topics[name]}
            for copy in range(copies) for name in names]  # fmt: skip


def write(path, rows):
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


def stages_made(tmp_path):
    return {f.name for f in (tmp_path / "store" / "artifacts").iterdir() if f.is_dir()}


def test_a_corpus_that_is_half_copies_stops_after_dedup(run, tmp_path):
    source = write(tmp_path / "copies.jsonl", topics(copies=2))
    with pytest.raises(GateError) as stop:
        run(sources=[source])
    message = str(stop.value)
    assert "gate after dedup" in message
    assert re.search(r"duplicate_share is 0\.5\d*, wanted <= 0\.4, because", message)
    assert 'gates."dedup.duplicate_share"' in message  # how to accept it
    assert stages_made(tmp_path) == {"ingest", "clean", "dedup"}
    page = (tmp_path / "store" / "runs" / "smoke" / "report.html").read_text()
    assert "Stopped by the gate after dedup." in page


def test_the_same_corpus_passes_once_its_owner_accepts_the_copies(run, tmp_path):
    source = write(tmp_path / "copies.jsonl", topics(copies=2))
    with pytest.raises(GateError, match=r"gate after (train|evaluate)"):
        run("gates.dedup.duplicate_share.at_most=0.6", "train.steps=20", sources=[source])


def test_a_tokenizer_that_cannot_round_trip_stops_before_sharding(run, tmp_path):
    rows = [{"id": str(i), "text": f"Ｆｕｌｌ　ｗｉｄｔｈ {row['text']}"}
            for i, row in enumerate(topics(copies=1))]  # fmt: skip
    with pytest.raises(GateError) as stop:
        run("tokenizer.normalization=nfkc", sources=[write(tmp_path / "wide.jsonl", rows)])
    message = str(stop.value)
    assert "gate after tokenizer" in message
    assert re.search(r"round_trip_failures is \d+, wanted <= 0, because", message)
    assert "tokenizer.normalization" in message
    assert "shard" not in stages_made(tmp_path)


def test_a_model_worse_than_token_frequencies_is_not_registered(run, tmp_path):
    with pytest.raises(GateError) as stop:
        run("train.steps=20")
    message = str(stop.value)
    assert "gate after evaluate" in message
    assert "gain_over_unigram is -" in message
    assert "raise train.steps" in message
    assert not (tmp_path / "store" / "mlflow").exists()


def test_verdicts_lie_beside_their_artifacts(run, tmp_path):
    with pytest.raises(GateError):
        run("train.steps=20")
    for stage in stages_made(tmp_path):
        folder = tmp_path / "store" / "artifacts" / stage
        [artifact] = [f for f in folder.iterdir() if f.is_dir()]
        verdict = json.loads((folder / f"{artifact.name}.gate.json").read_text("utf-8"))
        assert verdict["stage"] == stage
        assert verdict["outcomes"]
