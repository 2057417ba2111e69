"""The network: attention by its formula, rotary positions, causality, cache, parameters."""

import math

import pytest
import torch

from model.network.architecture import ModelConfig
from model.network.attention import KeyValueCache, rotary_tables, rotate
from model.network.networks import GPT
from pipeline.errors import ConfigError

TINY = ModelConfig(layers=2, width=32, heads=4, kv_heads=2, hidden=48, context=24)


@pytest.fixture
def network():
    torch.manual_seed(7)
    return GPT(TINY, 50).eval()


def test_rotated_dot_products_depend_on_distance_alone():
    torch.manual_seed(0)
    q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def product(query_at, key_at):
        cos, sin = rotary_tables(200, 16, 10_000.0)
        turned_q = rotate(q, cos[query_at], sin[query_at])
        turned_k = rotate(k, cos[key_at], sin[key_at])
        return (turned_q * turned_k).sum().item()

    assert product(9, 4) == pytest.approx(product(105, 100), abs=1e-4)
    assert product(9, 4) != pytest.approx(product(9, 5), abs=1e-3)


def test_no_position_sees_a_later_one(network):
    ids = torch.randint(0, 50, (1, 12))
    changed = ids.clone()
    changed[0, 8:] = (changed[0, 8:] + 1) % 50
    with torch.no_grad():
        before, after = network(ids), network(changed)
    torch.testing.assert_close(before[:, :8], after[:, :8])
    assert not torch.allclose(before[:, 8:], after[:, 8:])


def test_cached_and_uncached_logits_agree(network):
    ids = torch.randint(0, 50, (2, 20))
    with torch.no_grad():
        whole, cache = network(ids), KeyValueCache(TINY.layers)
        pieces = [network(ids[:, a:b], cache) for a, b in ((0, 7), (7, 8), (8, 15), (15, 20))]
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-5, rtol=1e-5)


def test_parameters_are_counted_once_when_tied():
    loose = ModelConfig(**{**vars(TINY), "tied_embeddings": False})
    assert GPT(loose, 50).parameter_count() - GPT(TINY, 50).parameter_count() == 50 * 32


def test_an_untrained_network_knows_nothing(network):
    ids, targets = torch.randint(0, 50, (2, 64, 20))
    with torch.no_grad():
        nats = torch.nn.functional.cross_entropy(network(ids).flatten(0, 1), targets.flatten())
    assert nats.item() == pytest.approx(math.log(50), abs=0.1)


@pytest.mark.parametrize(
    "wrong", [{"width": 30}, {"kv_heads": 3}, {"layers": 0}, {"width": 20, "heads": 4}]
)
def test_shapes_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=r"model\."):
        ModelConfig(**{**vars(TINY), **wrong})
