"""Counted n-grams in a network: probabilities, what is left out, the mixture and its gradient."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from model.counts import kneser_ney
from model.formats import model_folder
from model.kernels import linear_cross_entropy
from model.network.architecture import ModelConfig
from model.network.attention import KeyValueCache
from model.network.batch import Batch
from model.network.families import build
from model.network.objectives import _mixed, cross_entropy, loss, mean_nats, predictions
from model.training import counting
from pipeline.errors import ArtifactError, ConfigError
from pipeline.tokenizer import load_tokenizer
from tests.model.counted import BOS, EOS, filled, texts
from tests.model.shards import make_shards

VOCABULARY, ORDER = 60, 4
CONFIG = ModelConfig(
    layers=2,
    width=32,
    heads=4,
    kv_heads=2,
    hidden=48,
    context=64,
    ngram_orders=(2, 3),
    ngram_rows=64,
    count_order=ORDER,
)


@pytest.fixture
def network():
    torch.manual_seed(3)
    made = filled(build(CONFIG, VOCABULARY).eval(), texts(VOCABULARY))
    for weight in (made.counts.gate_hidden, made.counts.gate_features, made.ngrams.tables.weight):
        torch.nn.init.normal_(weight)
    return made


@pytest.fixture
def ids():
    return torch.tensor(
        np.stack([np.concatenate(([BOS], text)) for text in texts(VOCABULARY, 3, seed=5)])
    )


def prior_of(network, ids):
    contexts = network.contexts(ids[:, :-1])
    with torch.no_grad():
        return network.counts.prior(contexts, ids[:, 1:])


def test_probabilities_are_those_of_kneser_ney(network, ids):
    """Where no document repeats an n-gram, documents and occurrences are the same count."""
    model = kneser_ney.train(texts(VOCABULARY), VOCABULARY, BOS, EOS, ORDER)
    found = -prior_of(network, ids).probability.log()
    for row, row_ids in zip(found, ids.numpy(), strict=True):
        np.testing.assert_allclose(row.numpy(), model.nats(row_ids[1:]), rtol=1e-4)


def test_every_distribution_sums_to_one_and_has_each_target_in_it(network, ids):
    told = network.counts.distribution(network.contexts(ids))
    torch.testing.assert_close(told.probability.sum(-1), torch.ones(ids.shape))
    of_targets = told.probability[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
    prior = prior_of(network, ids)
    torch.testing.assert_close(of_targets, prior.probability)
    torch.testing.assert_close(told.features[:, :-1], prior.features)
    with torch.no_grad():
        torch.testing.assert_close(network(ids).exp().sum(-1), torch.ones(ids.shape))


def test_a_document_left_out_is_scored_as_by_counts_without_it():
    """To what single tokens and discounts change when one of 400 documents goes."""
    documents = texts(VOCABULARY, 400)
    whole = filled(build(CONFIG, VOCABULARY), documents)
    whole.counts.leave_out = True
    differences, kept = [], []
    for number in range(20):
        ids = torch.tensor(np.concatenate(([BOS], documents[number])))[None]
        others = documents[:number] + documents[number + 1 :]
        without = filled(build(CONFIG, VOCABULARY).eval(), others)
        wanted = prior_of(without, ids).probability.log()
        differences.append((prior_of(whole.train(), ids).probability.log() - wanted).abs())
        kept.append((prior_of(whole.eval(), ids).probability.log() - wanted).abs())
    assert torch.cat(differences).mean() < 0.03
    assert torch.cat(kept).mean() > 0.1, "held-out text is scored with all that was counted"


def test_nothing_later_and_no_other_document_changes_a_logit(network, ids):
    later = ids.clone()
    later[:, 8:] = 7
    documents = torch.tensor([[0] * 5 + [1] * 8] * 3)
    with torch.no_grad():
        whole = network(ids)
        torch.testing.assert_close(network(later)[:, :8], whole[:, :8])
        packed = network(ids, documents_BT=documents)
        torch.testing.assert_close(packed[:, :5], whole[:, :5])
        torch.testing.assert_close(packed[:, 5:], network(ids[:, 5:]), atol=1e-4, rtol=1e-5)


def test_a_cache_keeps_the_ids_that_contexts_need(network, ids):
    cache, cuts = KeyValueCache(CONFIG.layers), (0, 4, 5, 6, 13)
    with torch.no_grad():
        pieces = [network(ids[:, a:b], cache) for a, b in pairwise(cuts)]
        torch.testing.assert_close(torch.cat(pieces, 1), network(ids), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("z_loss", [None, 0.1])
def test_the_fused_mixture_has_the_loss_and_gradients_of_the_plain_one(network, ids, kind, z_loss):
    predicted, found = predictions(network.train(), Batch(ids)), []
    assert linear_cross_entropy.is_supported(network.lm_head, predicted.hidden)
    weights = (network.embed_tokens.weight, *network.counts.parameters())
    for way in (
        lambda: mean_nats(network, predicted, 0.0, z_loss),
        lambda: cross_entropy(
            network.lm_head(predicted.hidden), predicted, 0.0, z_loss, _mixed(network, predicted)
        ),
    ):
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
            nats = way()
        found.append((nats, *torch.autograd.grad(nats, weights, retain_graph=True)))
    limit = 1e-5 if kind == torch.float32 else 1e-2
    for fused, plain in zip(*found, strict=True):
        torch.testing.assert_close(fused, plain, atol=limit, rtol=limit)


def test_the_loss_is_that_of_the_logits(network, ids):
    with torch.no_grad():
        nats = -network(ids)[:, :-1].gather(-1, ids[:, 1:, None]).mean()
        assert loss(network, Batch(ids)).item() == pytest.approx(nats.item(), rel=1e-5)


def test_a_folder_gives_back_counts_and_refuses_those_that_do_not_fit(
    network, ids, tiny_model, tmp_path
):
    model_folder.write(network, tiny_model / model_folder.TOKENIZER, lambda name: tmp_path / name)
    with torch.no_grad():
        assert torch.equal(model_folder.read(tmp_path)(ids), network(ids))
    network.counts.last_3 = network.counts.last_3[:-1]
    model_folder.write(network, tiny_model / model_folder.TOKENIZER, lambda name: tmp_path / name)
    with pytest.raises(ArtifactError, match="table of n-grams"):
        model_folder.read(tmp_path)


def test_without_counts_the_network_speaks_alone(ids):
    torch.manual_seed(3)
    empty = build(CONFIG, VOCABULARY).eval()
    with torch.no_grad():
        assert torch.equal(empty(ids), empty.lm_head(empty.hidden(ids)))


@pytest.mark.parametrize("wrong", [{"count_order": 1}, {"count_order": 3, "family": "encoder"}])
def test_counts_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=r"model\.(count_order|ngram_orders)"):
        ModelConfig(**{**vars(CONFIG), **wrong})


def test_more_tokens_than_memory_holds_are_not_counted(tmp_path, monkeypatch):
    shards = make_shards(tmp_path)
    tokenizer = load_tokenizer(shards.file("tokenizer.model"))
    empty, full = (build(CONFIG, tokenizer.vocab_size) for _ in range(2))
    counting.count_ngrams(full, shards, tokenizer, tmp_path / "all.npz")
    monkeypatch.setattr(counting, "COUNTED_TOKENS_MAX", shards.stats["tokens"]["train"] - 1)
    counting.count_ngrams(empty, shards, tokenizer, tmp_path / "none.npz")
    assert (full.counts.is_empty, empty.counts.is_empty) == (False, True)
    assert not (tmp_path / "none.npz").exists()
