"""Evaluation: every token once, hand-checked figures, the baseline, other tokenizers."""

import math
import pydoc_data.topics

import numpy as np
import pytest
import torch

from model.evaluate import STAGE, EvaluateConfig
from model.evaluation.baselines import unigram_nats
from model.evaluation.compression import ppmd_bytes, xz_bytes
from model.evaluation.config import BaselineConfig
from model.evaluation.evaluation import document_scores
from model.evaluation.held_out import choose, documents
from model.evaluation.paired import bits_per_byte
from model.evaluation.scoring import HeldOutDocument, score, windows
from model.evaluation.slices import calibration, calibration_error, positions, slices
from model.formats import model_folder
from model.network.networks import GPT
from model.train import STAGE as TRAIN
from pipeline.errors import ConfigError, TrainingError
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


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 40, 41, 64, 100])
@pytest.mark.parametrize("context", [1, 3, 32])
def test_windows_predict_every_token_once_from_at_least_a_quarter_of_a_context(
    shards, length, context
):
    tokenizer = load_tokenizer(shards.path)
    ids, scored = np.arange(10, 10 + length), []
    for number, (window, again) in enumerate(windows(ids, tokenizer, context)):
        assert 2 <= len(window) <= context + 1
        assert again == (context // 4 if number else 0)
        assert number or window[0] == tokenizer.bos_id
        scored += window[1 + again :].tolist()
    assert scored == ids.tolist()


def test_a_model_that_knows_nothing_needs_log2_of_the_vocabulary_per_token(shards):
    tokenizer = load_tokenizer(shards.path)
    network = GPT(TINY, tokenizer.vocab_size)
    torch.nn.init.zeros_(network.lm_head.weight)
    ids = np.array([10, 11, 12] * 30)
    scores = score(network, tokenizer, [HeldOutDocument("en", "s", ids, 45)])
    assert scores.groups == [("en", "s")]
    assert scores.nats_N == pytest.approx(90 * math.log(tokenizer.vocab_size), rel=1e-5)
    row = slices(scores)[0]
    assert row["perplexity"] == pytest.approx(tokenizer.vocab_size, rel=1e-4)
    assert row["bits_per_byte"] == pytest.approx(2 * math.log2(tokenizer.vocab_size), rel=1e-5)


def test_scores_are_those_of_one_document_at_a_time(shards, model, rows):
    tokenizer, network = load_tokenizer(shards.path), model_folder.read(model.path)
    total = correct = 0.0
    for batch in iter_documents(shards, "validation", ["tokens"]):
        for ids in batch.column("tokens").to_pylist():
            for window, again in windows(np.array(ids), tokenizer, TINY.context):
                with torch.no_grad():
                    logits = network(torch.from_numpy(window[None, :-1]))[0, again:].double()
                targets = torch.from_numpy(window[1 + again :])
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
    three, five = (choose(shards, "validation", 10**6, most)[0] for most in (3, 5))
    assert three < five
    assert len(choose(shards, "validation", 1)[0]) == 1


def test_shards_of_another_tokenizer_are_refused(model, tmp_path):
    others = make_shards(tmp_path, vocab_size=680)
    with pytest.raises(TrainingError, match="run `shard` again with this tokenizer"):
        run_stage(STAGE, EVERYTHING, [model, others], tmp_path / "e")


def test_a_model_with_another_tokenizer_is_scored_on_the_same_text(shards, model, tmp_path, rows):
    own = load_tokenizer(shards.path)
    same = bits_per_byte(document_scores(model.path, shards, own, EVERYTHING))
    assert same == pytest.approx(rows["all", "all"]["bits_per_byte"])
    others = make_shards(tmp_path, vocab_size=680)
    rival = run_stage(TRAIN, CONFIG, [others], tmp_path / "m").artifact
    other_tokenizer = load_tokenizer(others.path)
    there = document_scores(rival.path, others, other_tokenizer, EVERYTHING)
    here = document_scores(rival.path, shards, own, EVERYTHING)
    assert [cost.id for cost in here] == [cost.id for cost in there]  # held out in both
    assert bits_per_byte(here) == pytest.approx(bits_per_byte(there), rel=1e-4)


def test_nothing_held_out_is_an_error_with_advice(shards, model, tmp_path, monkeypatch):
    monkeypatch.setattr("model.evaluation.held_out.iter_documents", lambda *_: iter(()))
    with pytest.raises(TrainingError, match=r"shard\.validation_share"):
        run_stage(STAGE, EVERYTHING, [model, shards], tmp_path / "e")


def test_calibration_and_positions_are_those_of_single_predictions(shards, model):
    tokenizer, network = load_tokenizer(shards.path), model_folder.read(model.path)
    held_out = list(documents(shards, "validation", choose(shards, "validation", 10**7)[0]))
    confidence, correct, nats, place = [], [], [], []
    for document in held_out:
        for window, again in windows(document.ids, tokenizer, TINY.context):
            with torch.no_grad():
                shares = (
                    network(torch.from_numpy(window[None, :-1]))[0, again:].double().softmax(-1)
                )
            targets = torch.from_numpy(window[1 + again :])
            confidence += shares.max(-1).values.tolist()
            correct += (shares.argmax(-1) == targets).tolist()
            nats += (-shares[torch.arange(len(targets)), targets].log()).tolist()
            place += range(1 + again, 1 + again + len(targets))
    confidence, correct, nats, place = map(np.array, (confidence, correct, nats, place))
    scores = score(network, tokenizer, held_out)
    gap = 0.0
    for lower in np.arange(15) / 15:
        here = (confidence >= lower) & (confidence < lower + 1 / 15)
        gap += abs(confidence[here].sum() - correct[here].sum())
    found = slices(scores)[0]
    assert found["calibration_error"] == pytest.approx(gap / len(nats), rel=1e-3)
    assert sum(row["tokens"] for row in calibration(scores) if row["lang"] == "all") == len(nats)
    rows = positions(scores, TINY.context)
    assert [row["first"] for row in rows] == [1, 2, 4, 8, 16, 32]
    for row in rows:
        here = (place >= row["first"]) & (place <= row["last"])
        assert row["tokens"] == here.sum()
        assert row["loss"] == pytest.approx(nats[here].mean(), rel=1e-5)
    assert sum(row["bytes"] for row in rows) == found["bytes"]


def test_a_calibrated_guesser_has_no_calibration_error_and_a_boaster_has_all():
    bins = np.zeros((15, 3))
    bins[3] = 10, 2.5, 2.5
    bins[9] = 20, 12.5, 12.5
    assert calibration_error(bins) == 0
    bins[9] = 20, 12.5, 2.5
    assert calibration_error(bins) == pytest.approx(10 / 30)


def test_baselines_of_tokens_and_of_bytes_stand_beside_the_model(rows):
    whole = rows["all", "all"]
    assert whole["ngram_bits_per_byte"] < whole["unigram_bits_per_byte"]
    assert 0 < whole["ppmd_bits_per_byte"] < 8
    assert 0 < whole["xz_bits_per_byte"] < 8
    assert rows["source", "en-source"]["xz_bits_per_byte"] is None
    for row in rows.values():
        assert row["bits_per_byte_low"] <= row["bits_per_byte"] <= row["bits_per_byte_high"]


def test_compressors_are_charged_for_what_the_training_text_did_not_tell():
    text = pydoc_data.topics.topics["assert"].encode()
    [alone] = ppmd_bytes([], [text])
    [again] = ppmd_bytes([text], [text])
    assert again < 0.3 * alone
    assert sum(ppmd_bytes([], [text[:900], text[900:]])) == pytest.approx(alone, abs=8)
    key = ("all", "all")
    assert xz_bytes(text, {key: text})[key] < 0.3 * xz_bytes(b"", {key: text})[key]


def test_baselines_can_be_left_out(shards, model, tmp_path):
    without = BaselineConfig(ngram_order=None, compressor_bytes_max=None)
    few = EvaluateConfig(documents_max=3, baselines=without)
    row = (
        run_stage(STAGE, few, [model, shards], tmp_path / "e")
        .artifact.scan()
        .collect()
        .to_dicts()[0]
    )
    assert (
        row["ngram_bits_per_byte"] is row["ppmd_bits_per_byte"] is row["xz_bits_per_byte"] is None
    )
    with pytest.raises(ConfigError, match="ngram_order"):
        BaselineConfig(ngram_order=0)
