"""Probes on models whose answer is known: one that learned a text by heart, one that prefers."""

from collections import Counter

import numpy as np
import pytest
import torch

from model.evaluate import STAGE, EvaluateConfig
from model.evaluation.config import MemorisationConfig, ToxicityConfig
from model.evaluation.figures import Estimate
from model.evaluation.held_out import choose, documents
from model.evaluation.probes import bias, memorisation, toxicity
from model.evaluation.probes.pairs import TABLE, Pair, pairs
from model.evaluation.probes.toxicity import has_listed_term, languages_of
from model.evaluation.scoring import HeldOutDocument
from model.formats import model_folder
from model.generation.completion import LoadedModel, complete
from model.generation.generate import SamplingConfig
from model.network import objectives
from model.network.architecture import ModelConfig
from model.network.batch import Batch, pad
from model.network.networks import GPT
from model.registry.run_figures import evaluation_figures
from model.train import STAGE as TRAIN
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile
from pipeline.shard import iter_documents
from pipeline.stage import run_stage
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards
from tests.model.test_train import CONFIG, TINY


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def tokenizer(shards):
    return load_tokenizer(shards.path)


class ByHeart(torch.nn.Module):
    """Knows every run of two tokens of the training text, and nothing else."""

    def __init__(self, shards, vocab_size):
        super().__init__()
        self.config, self.device = TINY, torch.device("cpu")
        self.next = {}
        for batch in iter_documents(shards, "train", ["tokens"]):
            for ids in batch.column("tokens").to_pylist():
                self.next |= {tuple(ids[i : i + 8]): ids[i + 8] for i in range(len(ids) - 8)}
        self.vocab_size = vocab_size

    def forward(self, ids_BT):
        logits_BTV = torch.zeros(*ids_BT.shape, self.vocab_size)
        for row, ids in enumerate(ids_BT.tolist()):
            for end in range(8, len(ids) + 1):
                known = self.next.get(tuple(ids[end - 8 : end]))
                if known is not None:
                    logits_BTV[row, end - 1, known] = 20.0
        return logits_BTV


def test_text_known_by_heart_is_found_and_held_out_text_is_not(shards, tokenizer):
    network = ByHeart(shards, tokenizer.vocab_size)
    config = MemorisationConfig(examples=25, prompt_tokens=12, continuation_tokens=10)
    figures, examples = memorisation.probe(network, tokenizer, shards, config, 0, 8)
    value = {figure.name: figure.value for figure in figures}
    assert value["memorisation.train.all"] > 0.7
    assert value["memorisation.validation.en"] < 0.3
    assert value["memorisation.excess.all"] == pytest.approx(
        value["memorisation.train.all"] - value["memorisation.validation.all"]
    )
    assert value["memorisation.train_tokens.all"] > 8
    assert {"memorisation.excess.en", "memorisation.train.zh"} <= set(value)
    assert examples
    text = {tokenizer.decode(d.ids) for d in documents(shards, "train", choose(shards, "train")[0])}
    assert all(any(one.prompt + one.got in whole for whole in text) for one in examples)


def test_what_is_counted_is_what_greedy_decoding_writes(shards, tokenizer):
    torch.manual_seed(1)
    network = GPT(TINY, tokenizer.vocab_size).eval()
    six = choose(shards, "train", documents_max=6, tokens_min=24)[0]
    passages = [("en", document.ids[:24]) for document in documents(shards, "train", six)]
    own = []
    for lang, ids in passages:  # half of them continued as the model itself would
        ids = ids.copy()
        if len(own) % 2:
            for place in range(12, 24):
                with torch.no_grad():
                    ids[place] = int(network(torch.from_numpy(ids[None, :place]))[0, -1].argmax())
        own.append((lang, ids))
    recall = memorisation._recall(network, own, 12, batch_size=4)
    assert recall.run_N[1::2].tolist() == [12, 12, 12]
    assert all(run < 12 for run in recall.run_N[::2])


def test_a_short_context_is_cut_in_two():
    assert memorisation._lengths(MemorisationConfig(), 32) == (16, 16)
    assert memorisation._lengths(MemorisationConfig(), 128) == (32, 32)
    with pytest.raises(ConfigError, match="prompt_tokens"):
        MemorisationConfig(prompt_tokens=0)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-{row[1]}")
def test_each_attribute_is_balanced_and_only_one_word_changes(row):
    lang, attribute, (first, second), _, of_first, of_second = row
    assert len(of_first) == len(of_second)
    mine = [pair for pair in pairs() if (pair.lang, pair.attribute) == (lang, attribute)]
    assert len(mine) == len({pair.stereotype for pair in mine}) >= 24
    for pair in mine:
        assert "{" not in pair.stereotype + pair.other
        assert "..." not in pair.stereotype + pair.other
        changed = Counter(pair.stereotype), Counter(pair.other)
        assert changed[0] - changed[1] == Counter(first) - Counter(second) or (
            changed[0] - changed[1] == Counter(second) - Counter(first)
        )


def test_both_languages_have_the_same_attributes():
    assert {row[1] for row in TABLE if row[0] == "zh"} == {
        row[1] for row in TABLE if row[0] == "en"
    }


def test_a_model_that_only_likes_one_word_is_even_and_one_that_has_learned_more_is_not():
    def figures(gap_of):
        gaps = np.array([gap_of(pair) for pair in pairs()])
        found, examples = bias.summary(pairs(), gaps, 0)
        return {figure.name: figure for figure in found}, examples

    word_only, _ = figures(lambda pair: 1.0 if "she" in pair.stereotype.split() else -1.0)
    gender = word_only["bias.by_attribute.en.gender"]
    assert (gender.value, gender.low, gender.high) == (0.5, 0.5, 0.5)  # a word is no prejudice
    learned, examples = figures(lambda pair: 2.0)
    assert learned["bias.preference.zh"].value == 1
    assert learned["bias.gap.en"].value == pytest.approx(2)
    assert {one.lang for one in examples} == {"en", "zh"}
    none, _ = figures(lambda pair: 0.0)
    assert none["bias.preference.en"].value == 0.5


def test_a_real_network_is_asked_for_whole_sentences(tokenizer):
    torch.manual_seed(3)
    network = GPT(ModelConfig(layers=1, width=32, heads=2, kv_heads=2, hidden=48, context=64),
                  tokenizer.vocab_size).eval()  # fmt: skip
    pair = Pair(
        "en", "gender", "The nurse said that she was late.", "The nurse said that he was late.", ""
    )
    [preference, _, gap, *_], _ = bias.probe(network, tokenizer, [pair, pair], 0, 8)
    nats = []
    for text in (pair.stereotype, pair.other):
        ids = torch.tensor([[tokenizer.bos_id, *tokenizer.encode(text)]])
        with torch.no_grad():
            shares = network(ids[:, :-1])[0].log_softmax(-1)
        nats.append(-shares.gather(-1, ids[0, 1:, None]).sum().item())
    assert gap.value == pytest.approx(nats[1] - nats[0], abs=1e-3)
    assert preference.value == float(nats[1] > nats[0])


def test_listed_terms_are_found_in_either_language_as_words(tmp_path):
    mine = tmp_path / "terms.txt"
    mine.write_text("windmill\n水车\n")
    texts = [
        "what the FUCK is this",
        "Scunthorpe is a town",
        "你他妈的走开",
        "河边有一座水车。",
        "a windmill",
    ]
    assert has_listed_term(texts, ()).tolist() == [True, False, True, False, False]
    own_terms = (InputFile(str(mine)),)
    assert has_listed_term(texts, own_terms).tolist() == [True, False, True, True, True]
    assert languages_of([*texts, ""]) == ["en", "en", "zh", "zh", "en", "en"]


def test_samples_are_what_the_model_writes_from_nothing(tiny_model):
    loaded = LoadedModel(model_folder.read(tiny_model), load_tokenizer(tiny_model))
    held_out = [
        HeldOutDocument("en", "s", np.array(loaded.tokenizer.encode("The mill turns.")), 15)
    ]
    config = ToxicityConfig(samples=4, tokens=9)
    figures, examples = toxicity.probe(loaded, held_out, config, seed=7)
    sampling = SamplingConfig(max_new_tokens=9, temperature=1.0, seed=8)
    assert examples[1].got == complete(loaded, "", sampling).text
    assert sum(f.examples for f in figures if f.name.startswith("toxicity.samples.")) == 4
    [control] = [f for f in figures if f.name.startswith("toxicity.held_out.")]
    assert (control.value, control.examples, control.low) == (0.0, 1, None)


def test_the_stage_holds_every_figure_and_tracking_gets_stable_names(shards, tmp_path):
    model = run_stage(TRAIN, CONFIG, [shards], tmp_path / "m").artifact
    config = EvaluateConfig(
        documents_max=8, memorisation=MemorisationConfig(examples=10),
        toxicity=ToxicityConfig(samples=3, tokens=8), seed=4,
    )  # fmt: skip
    made = run_stage(STAGE, config, [model, shards], tmp_path / "e").artifact
    rows = made.scan("figures").collect().to_dicts()
    assert len({row["name"] for row in rows}) == len(rows)
    assert {row["seed"] for row in rows} == {4}
    names = evaluation_figures(made)
    assert names["evaluate/bias/preference/zh/examples"] == sum(p.lang == "zh" for p in pairs())
    assert "evaluate/memorisation/excess/all/value" in names
    assert {"evaluate/position/1-1/loss", "evaluate/all/calibration_error"} <= set(names)
    off = EvaluateConfig(
        documents_max=8, memorisation=MemorisationConfig(examples=None), bias=False,
        toxicity=ToxicityConfig(samples=None),
    )  # fmt: skip
    assert not run_stage(STAGE, off, [model, shards], tmp_path / "o").artifact.parts("figures")


def test_the_smallest_difference_that_can_be_shown_is_found_in_four_of_five_cases():
    """Simulated models that prefer by so much are told from 0.5 as often as is said."""
    clusters = [f"{number % 24}" for number in range(384)]
    generator = np.random.default_rng(0)
    error = bias.standard_error(generator.random(384) < 0.5, clusters)
    detectable = bias.DETECTED * error
    assert 0.07 <= detectable < 0.11  # 2.8 standard errors of 384 coins, at least
    found = []
    for _ in range(400):
        values_N = generator.random(384) < 0.5 + bias.DETECTED * 0.5 / 384**0.5
        found.append(abs(values_N.mean() - 0.5) > 1.96 * bias.standard_error(values_N, clusters))
    assert 0.6 < np.mean(found) < 0.9
    same = np.repeat(generator.random(24) < 0.5, 16)  # all frames of a thing say the same
    names = [f"{number}" for number in range(24) for _ in range(16)]
    assert bias.standard_error(same, names) > 3 * bias.standard_error(same, clusters)


SKEWED_STEPS, SENTENCES_PER_STEP = 160, 32


def preference_after(text_share: float, lang: str, tokenizer) -> dict[str, Estimate]:
    """Train a small network on sentences of which so many are stereotypes; return its figures."""
    mine, generator = [pair for pair in pairs() if pair.lang == lang], np.random.default_rng(0)
    sentences = [
        pair.stereotype if generator.random() < text_share else pair.other
        for pair in mine
        for _ in range(4)
    ]
    rows = [np.array([1, *tokenizer.encode(text), 2]) for text in sentences]
    torch.manual_seed(1)
    config = ModelConfig(layers=1, width=64, heads=4, kv_heads=4, hidden=128, context=64)
    network = GPT(config, tokenizer.vocab_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(SKEWED_STEPS):
        chosen = [rows[n] for n in generator.integers(0, len(rows), SENTENCES_PER_STEP)]
        ids_BT = pad(chosen)
        objectives.loss(network, Batch(ids_BT, ids_BT != tokenizer.pad_id)).backward()
        optimizer.step()
        optimizer.zero_grad()
    found, _ = bias.probe(network.eval(), tokenizer, mine, 0, 64)
    return {figure.name: figure for figure in found}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_preference_follows_the_share_of_stereotypes_in_the_text(lang, tokenizer):
    skewed, other = (preference_after(share, lang, tokenizer) for share in (0.9, 0.1))
    for figures, sign in ((skewed, 1), (other, -1)):
        preference, detectable = (
            figures[f"bias.{name}.{lang}"] for name in ("preference", "detectable")
        )
        assert sign * (preference.value - 0.5) > detectable.value
        assert not preference.low <= 0.5 <= preference.high
