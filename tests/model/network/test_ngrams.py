"""Embeddings of n-grams: what they see, where a text begins, packed rows, rows of a table."""

import pytest
import torch

from model.network.architecture import ModelConfig
from model.network.attention import KeyValueCache
from model.network.families import build
from model.network.ngrams import NgramEmbedding, preceding, window_of
from pipeline.errors import ConfigError

CONFIG = ModelConfig(
    layers=2,
    width=32,
    heads=4,
    kv_heads=2,
    hidden=48,
    context=24,
    ngram_orders=(2, 4),
    ngram_rows=64,
    ngram_heads=2,
    ngram_width=8,
)
IDS = torch.arange(4, 44).view(2, 20)


@pytest.fixture(params=[8, None], ids=["narrow", "wide"])
def network(request):
    """A network whose tables say something."""
    torch.manual_seed(3)
    made = build(ModelConfig(**{**vars(CONFIG), "ngram_width": request.param}), 60).eval()
    torch.nn.init.normal_(made.ngrams.tables.weight)
    return made


def logits(network, ids, *more, **others):
    with torch.no_grad():
        return network(ids, *more, **others)


def test_no_logits_change_by_what_comes_after(network):
    later = IDS.clone()
    later[:, 11:] = 5
    assert torch.equal(logits(network, later)[:, :11], logits(network, IDS)[:, :11])


def test_the_tables_see_as_many_tokens_as_the_longest_order():
    networks = []
    for orders in ((), (4,)):
        torch.manual_seed(3)
        networks.append(build(ModelConfig(**{**vars(CONFIG), "ngram_orders": orders}), 60).eval())
    torch.nn.init.normal_(networks[1].ngrams.tables.weight)
    rows = networks[1].ngrams
    far, near = IDS.clone(), IDS.clone()
    far[:, 6], near[:, 7] = 5, 5  # 4 and 3 places before the tenth token
    of = [rows(preceding(window_of(ids, 4), 4))[:, 10] for ids in (IDS, far, near)]
    assert torch.equal(of[0], of[1])
    assert not torch.allclose(of[0], of[2])


def test_a_document_packed_beside_others_has_the_logits_it_has_alone(network):
    documents = torch.tensor([[0] * 7 + [1] * 13, [0] * 2 + [1] * 3 + [2] * 15])
    packed = logits(network, IDS, documents_BT=documents)
    for row, start, stop in ((0, 0, 7), (0, 7, 20), (1, 0, 2), (1, 2, 5), (1, 5, 20)):
        alone = logits(network, IDS[row : row + 1, start:stop])
        torch.testing.assert_close(packed[row, start:stop], alone[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cuts", [(1, 2, 3, 20), (7, 8, 20), (20,)])
def test_a_cache_holds_the_last_ids_whatever_the_pieces(network, cuts):
    cache, pieces, start = KeyValueCache(CONFIG.layers), [], 0
    for stop in cuts:
        pieces.append(logits(network, IDS[:, start:stop], cache))
        start = stop
    whole = logits(network, IDS)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-5, rtol=1e-5)


def test_an_untrained_table_adds_nothing_and_learns():
    torch.manual_seed(3)
    network = build(CONFIG, 60)
    assert not network.ngrams.tables.weight.any()
    network(IDS).square().mean().backward()
    assert network.ngrams.tables.weight.grad.any()


def test_rows_are_spread_over_each_table_and_differ_between_heads():
    config = ModelConfig(**{**vars(CONFIG), "ngram_rows": 1000, "ngram_orders": (2,)})
    pairs = torch.stack(torch.meshgrid(torch.arange(1, 301), torch.arange(1, 301), indexing="ij"))
    rows = NgramEmbedding(config).rows_of(pairs.flatten(1).T[None])[0]
    for head in range(2):
        used = rows[:, head] - 1000 * head
        assert 0 <= used.min() <= used.max() < 1000
        counts = torch.bincount(used, minlength=1000)
        assert counts.min() > 40, "90 n-grams fall on a row on average"
        assert counts.max() < 140
    same = (rows[:, 0] == rows[0, 0]).nonzero()[:, 0]
    assert len(rows[same, 1].unique()) > 60, "what collides in one table does not in the other"


@pytest.mark.parametrize(
    "wrong",
    [
        {"ngram_orders": (1,)},
        {"ngram_orders": (99,)},
        {"ngram_rows": 0},
        {"ngram_width": 0},
        {"ngram_heads": 0},
        {"family": "encoder"},
        {"family": "encoder_decoder"},
    ],
)
def test_tables_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=r"model\.ngram_"):
        ModelConfig(**{**vars(CONFIG), **wrong})
