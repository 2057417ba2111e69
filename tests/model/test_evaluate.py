"""Evaluation: every token once, hand-checked figures, the baseline, other tokenizers."""

import itertools
import math

import numpy as np
import pytest
import torch

from model import export
from model.baseline import unigram_nats
from model.evaluate import STAGE, EvaluateConfig, bits_per_byte, choose, slices
from model.gpt import GPT
from model.scoring import Document, score, windows
from model.train import STAGE as TRAIN
from pipeline.errors import TrainingError
from pipeline.shard import iter_documents
from pipeline.stage import run_stage
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards
from tests.model.test_train import CONFIG, TINY

EVERYTHING = EvaluateConfig(documents_max=10_000, tokens_max=10_000_000)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def model(shards, tmp_path_factory):
    return run_stage(TRAIN, CONFIG, [shards], tmp_path_factory.mktemp("model") / "m").artifact


@pytest.fixture(scope="module")
def rows(shards, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation") / "e"
    artifact = run_stage(STAGE, EVERYTHING, [model, shards], folder).artifact
    return {(row["kind"], row["name"]): row for row in artifact.scan().collect().to_dicts()}


@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 100])
def test_windows_predict_every_token_once_from_the_one_before(shards, length):
    tokenizer = load_tokenizer(shards.path)
    ids = np.arange(10, 10 + length)
    cut = list(windows(ids, tokenizer, 32))
    assert np.concatenate([window[1:] for window in cut]).tolist() == ids.tolist()
    assert cut[0][0] == tokenizer.bos_id
    assert all(later[0] == earlier[-1] for earlier, later in itertools.pairwise(cut))


def test_a_model_that_knows_nothing_needs_log2_of_the_vocabulary_per_token(shards):
    tokenizer = load_tokenizer(shards.path)
    network = GPT(TINY, tokenizer.vocab_size)
    torch.nn.init.zeros_(network.lm_head.weight)
    ids = np.array([10, 11, 12] * 30)
    [(group, sums)] = score(network, tokenizer, [Document("en", "s", ids, 45)]).items()
    assert group == ("en", "s")
    assert sums.nats == pytest.approx(90 * math.log(tokenizer.vocab_size), rel=1e-5)
    row = slices({group: sums})[0]
    assert row["perplexity"] == pytest.approx(tokenizer.vocab_size, rel=1e-4)
    assert row["bits_per_byte"] == pytest.approx(2 * math.log2(tokenizer.vocab_size), rel=1e-5)


def test_scores_are_those_of_one_document_at_a_time(shards, model, rows):
    tokenizer, network = load_tokenizer(shards.path), export.read(model.path)
    total = correct = 0.0
    for batch in iter_documents(shards, "validation", ["tokens"]):
        for ids in batch.column("tokens").to_pylist():
            for window in windows(np.array(ids), tokenizer, TINY.context):
                with torch.no_grad():
                    logits = network(torch.from_numpy(window[None, :-1]))[0].double()
                targets = torch.from_numpy(window[1:])
                total -= logits.log_softmax(-1)[torch.arange(len(targets)), targets].sum().item()
                correct += (logits.argmax(-1) == targets).sum().item()
    row = rows["all", "all"]
    assert row["tokens"] == shards.stats["tokens"]["validation"]
    assert row["loss"] * row["tokens"] == pytest.approx(total, rel=1e-5)
    assert row["accuracy"] * row["tokens"] == pytest.approx(correct)
    assert row["bytes"] == shards.stats["bytes"]["validation"]


def test_slices_add_up_to_the_whole(rows):
    for kind, names in (("lang", ("en", "zh")), ("source", ("en-source", "zh-source"))):
        parts = [rows[kind, name] for name in names]
        for figure in ("documents", "tokens", "bytes"):
            assert sum(part[figure] for part in parts) == rows["all", "all"][figure]


def test_the_baseline_is_token_shares_with_one_added(shards):
    counts = np.ones(shards.stats["vocab_size"])
    for batch in iter_documents(shards, "train", ["tokens"]):
        for ids in batch.column("tokens").to_pylist():
            np.add.at(counts, ids, 1)
    wanted = -np.log(counts / counts.sum())
    np.testing.assert_allclose(unigram_nats(shards, len(counts)), wanted)


def test_a_trained_model_beats_the_baseline(rows):
    assert rows["all", "all"]["bits_per_byte"] < rows["all", "all"]["unigram_bits_per_byte"]


def test_limits_choose_by_hash_and_the_rest_is_accounted_for(shards, model, tmp_path):
    few = EvaluateConfig(documents_max=3)
    artifact = run_stage(STAGE, few, [model, shards], tmp_path / "e").artifact
    everything = shards.stats["documents"]["validation"]
    assert artifact.ledger.to_json() == {
        "in": everything, "kept": 3, "dropped": {"beyond_limit": everything - 3},
        "quarantined": {}, "changed": {},
    }  # fmt: skip
    assert choose(shards, few)[0] < choose(shards, EvaluateConfig(documents_max=5))[0]
    assert len(choose(shards, EvaluateConfig(tokens_max=1))[0]) == 1


def test_a_model_with_another_tokenizer_is_scored_on_the_same_text(shards, model, tmp_path, rows):
    own = load_tokenizer(shards.path)
    same = bits_per_byte(model.path, shards, own, EVERYTHING)
    assert same == pytest.approx(rows["all", "all"]["bits_per_byte"])
    others = make_shards(tmp_path, vocab_size=680)
    rival = run_stage(TRAIN, CONFIG, [others], tmp_path / "m").artifact
    there = bits_per_byte(rival.path, others, load_tokenizer(others.path), EVERYTHING)
    here = bits_per_byte(rival.path, shards, own, EVERYTHING)
    assert here == pytest.approx(there, rel=1e-4)  # the same documents are held out in both


def test_nothing_held_out_is_an_error_with_advice(shards, model, tmp_path, monkeypatch):
    monkeypatch.setattr("model.evaluate.iter_documents", lambda *_: iter(()))
    with pytest.raises(TrainingError, match=r"shard\.validation_share"):
        run_stage(STAGE, EVERYTHING, [model, shards], tmp_path / "e")
