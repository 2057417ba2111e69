"""The table of families is all that other rooms ask: a row more is trained, scored and refused."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model.data import example_batches
from model.evaluation.scoring import token_scores
from model.generation.decoding import DecodingBatch
from model.network import architecture
from model.network.architecture import ModelConfig
from model.network.batch import Batch
from model.network.families import FAMILIES, FILL_MASK, Family, build
from model.network.objectives import Objective
from model.network.predictions import Predictions
from model.planning.cost import size_of
from pipeline.errors import ConfigError
from pipeline.tokenizer import Tokenizer

ROOT = Path(__file__).parents[3]
BIGRAM = "bigram"
VOCABULARY = 40
# A layout is of one published class, so of one family; all else asks the record.
NAME_FAMILIES = {"model/formats/layouts.py"}


class Bigram(nn.Module):
    """A token decides the next: a table and a head, no positions."""

    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        self.embed_tokens = nn.Embedding(vocab_size, config.width)
        self.lm_head = nn.Linear(config.width, vocab_size, bias=False)

    @property
    def device(self) -> torch.device:
        return self.lm_head.weight.device

    def parameter_count(self) -> int:
        return sum(weight.numel() for weight in self.parameters())

    def logits(self, hidden_BTD: Tensor) -> Tensor:
        return self.lm_head(hidden_BTD)


def bigram_lm(network: Bigram, batch: Batch, seed: int) -> Predictions:
    return Predictions(network.embed_tokens(batch.ids_BT[:, :-1]), batch.ids_BT[:, 1:])


@pytest.fixture
def bigram(monkeypatch):
    """A fourth row of the table, and its name among the options."""
    names = (*architecture.CHOICES["family"], BIGRAM)
    monkeypatch.setitem(architecture.CHOICES, "family", names)
    record = Family(
        Bigram,
        FILL_MASK,
        bigram_lm,
        lambda network, ids_BT: network.logits(network.embed_tokens(ids_BT[:, :-1])),
        lambda network, ids_BT, mask_BT: network.embed_tokens(ids_BT),
        generates=False,
    )
    monkeypatch.setitem(FAMILIES, BIGRAM, record)
    config = ModelConfig(family=BIGRAM, layers=1, width=16, heads=2, kv_heads=2, context=12)
    torch.manual_seed(5)
    return build(config, VOCABULARY)


def counting(rows: int, first: int = 4) -> Tensor:
    starts_B1 = torch.arange(rows)[:, None] + first
    return (starts_B1 + torch.arange(13) - first) % (VOCABULARY - first) + first


def test_a_fourth_family_is_trained_and_scored_by_its_row_alone(bigram):
    objective = Objective(bigram).train()
    optimizer = torch.optim.AdamW(bigram.parameters(), lr=3e-2)
    before = token_scores(bigram, counting(8))[0].mean()
    for step in range(60):
        optimizer.zero_grad()
        loss, weight = objective(Batch(counting(8)), step)
        loss.backward()
        optimizer.step()
    assert weight.item() == 8 * 12
    after_nats, _, after_correct = token_scores(bigram, counting(8))
    assert before > 3.0
    assert after_nats.mean() < 0.5
    assert after_correct.mean() > 0.9


def test_a_fourth_family_is_packed_sized_and_refused_as_its_row_says(bigram, monkeypatch):
    config = bigram.config
    assert size_of(config, VOCABULARY).multiplied == VOCABULARY * config.width
    assert not example_batches.packs(config)
    assert not example_batches.fits_context(config, config.context + 1, 3)
    monkeypatch.setitem(
        FAMILIES, BIGRAM, replace(FAMILIES[BIGRAM], generates=True, packs_examples=bool)
    )
    assert example_batches.packs(config)
    assert example_batches.fits_context(config, config.context + 1, 3)
    monkeypatch.setitem(FAMILIES, BIGRAM, replace(FAMILIES[BIGRAM], generates=False))
    with pytest.raises(ConfigError, match="'bigram' continues no text"):
        DecodingBatch(bigram, [[Tokenizer.bos_id]])


def family_tests(path: Path) -> list[str]:
    """Return what a file does by the class or the name of a family."""
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "model.network.networks":
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "model.network.architecture":
            found += [
                a.name for a in node.names if a.name in ("DECODER", "ENCODER", "ENCODER_DECODER")
            ]
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            named = any(isinstance(one, ast.Attribute) and one.attr == "family" for one in sides)
            found += ["family compared"] if named else []
    return found


def test_no_room_but_network_asks_a_network_for_its_class_or_the_name_of_its_family():
    asking = {
        str(path.relative_to(ROOT)): found
        for package in ("model", "flows")
        for path in (ROOT / package).rglob("*.py")
        if "model/network" not in str(path) and (found := family_tests(path))
    }
    assert set(asking) == NAME_FAMILIES, asking


def test_the_search_for_family_tests_finds_them(tmp_path):
    file = tmp_path / "asks.py"
    file.write_text(
        "from model.network.networks import GPT\nif network.config.family == 'decoder': 1\n"
    )
    assert family_tests(file) == ["GPT", "family compared"]


@pytest.mark.parametrize("family", FAMILIES)
def test_options_know_of_a_family_what_its_row_says(family):
    assert ModelConfig(family=family).reads_source == FAMILIES[family].reads_source
