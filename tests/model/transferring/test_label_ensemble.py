"""Labels from a network as it is, and from training it, said together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.network.architecture import PRESETS, ModelConfig
from model.network.families import build
from model.transferring import classifier, frozen_features, label_ensemble
from model.transferring.classifier import LabelledTexts
from model.transferring.config import ClassifierConfig
from model.transferring.frozen_features import adapt_word_vectors
from model.transferring.label_ensemble import FROZEN, TUNED, LabelDataset

SIZES = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "hidden": 48, "context": 16}
VOCAB = 200
FAST = ClassifierConfig(learning_rates=(1e-6,), epochs=1, batch_size=8, reading_epochs=12)


def network(preset="llama"):
    torch.manual_seed(3)
    return build(ModelConfig(**{**PRESETS[preset], **SIZES, "dropout": 0.0}), VOCAB)


def themes(count, seed, words=80):
    """Texts of one of two themes, each with `words` words of its own."""
    generator = np.random.default_rng(seed)
    told = [n % 2 for n in range(count)]
    return LabelledTexts(
        [[1, *generator.integers(20 + 80 * t, 20 + 80 * t + words, 4)] for t in told], told
    )


def dataset(known=12):
    """Few examples: most words of what is asked occur in texts without labels alone."""
    examples, asked = themes(known, 1), themes(200, 2)
    train, dev = list(range(known * 2 // 3)), list(range(known * 2 // 3, known))
    return LabelDataset(examples, train, dev, themes(1000, 3).ids, asked.ids, 2), asked.labels


def test_words_read_without_labels_tell_those_of_one_theme_from_others():
    given, _ = dataset()
    before = network().embed_tokens.weight.detach().numpy()
    kept = adapt_word_vectors(before, before.shape, given.unlabelled, 0, seed=1)
    read = adapt_word_vectors(before, before.shape, given.unlabelled, 12, seed=1)
    again = adapt_word_vectors(before, before.shape, given.unlabelled, 12, seed=1)
    assert np.array_equal(read.values_VD, again.values_VD)
    assert not read.values_VD[180:].any()  # never read
    for words, low, high in ((kept, -0.2, 0.2), (read, 0.3, 2.0)):
        units = words.values_VD / np.maximum(np.linalg.norm(words.values_VD, axis=1), 1e-9)[:, None]
        alike = (units[20:100] @ units[20:100].T).mean() - (units[20:100] @ units[100:180].T).mean()
        assert low < alike < high


@pytest.mark.parametrize("preset", ["llama", "bert", "modern_encoder_decoder"])
def test_reading_makes_few_examples_enough(preset):
    given, truth = dataset()
    right = {}
    for adapt in (False, True):
        predictions = label_ensemble.fit_and_predict(
            lambda: network(preset), given, FAST, 1, adapt_word_vectors=adapt
        )
        assert np.exp(-predictions.nll_NC).sum(1) == pytest.approx(np.ones(200), abs=1e-3)
        right[adapt] = (predictions.nll_NC.argmin(1) == truth).mean()
    assert right[True] > 0.9
    assert right[True] > right[False] + 0.05
    alone = label_ensemble.predict_by_words((VOCAB, 32), given, FAST, 1)
    assert (alone.argmin(1) == truth).mean() > 0.8


def test_what_either_way_says_is_heard_as_far_as_it_can_be_believed(monkeypatch):
    """The frozen way says nothing but nonsense, surely: what the trained network says remains."""
    given, _ = dataset(40)

    def surely_wrong(known_NF, known, asked_NF, count, seed):
        return np.random.default_rng(seed).permuted(np.tile([0.0, 9.0], (len(asked_NF), 1)), axis=1)

    monkeypatch.setattr(frozen_features, "predict_nll", surely_wrong)
    settings = replace(FAST, learning_rates=(2e-2,), epochs=10)
    predictions = label_ensemble.fit_and_predict(
        network, given, settings, 1, adapt_word_vectors=False
    )
    alone = classifier.fit(
        network,
        given.examples.subset(given.train),
        given.examples.subset(given.dev),
        2,
        settings,
        1,
    )
    assert predictions.learning_rate == 2e-2
    assert predictions.weights[FROZEN] < 0.1 < predictions.weights[TUNED]
    told = classifier.label_nll(alone.classifier, given.test).argmin(1)
    assert (predictions.nll_NC.argmin(1) == told).mean() > 0.9


def test_every_known_text_is_judged_by_what_others_taught():
    generator = np.random.default_rng(1)
    known_NF = generator.normal(size=(300, 150))
    told = generator.integers(0, 2, 300).tolist()  # nothing to learn, much to remember
    nats_NC = frozen_features.cross_validated_nll(known_NF, told, 2, seed=1)
    assert (
        frozen_features.predict_nll(known_NF, told, known_NF, 2, seed=1).argmin(1) == told
    ).mean() > 0.8
    assert (nats_NC.argmin(1) == told).mean() < 0.6
    assert np.array_equal(nats_NC, frozen_features.cross_validated_nll(known_NF, told, 2, seed=1))
    few = frozen_features.cross_validated_nll(known_NF[:1], [1], 2, seed=1)
    assert few.shape == (1, 2)
    assert few[0, 0] == few[0, 1]  # a single one teaches nothing of itself


def test_a_label_without_an_example_is_possible_but_costs_much():
    known, asked = np.eye(4)[[0, 1, 0, 1]], np.eye(4)[:2]
    found = frozen_features.predict_nll(known, [0, 2, 0, 2], asked, 3, seed=1)
    assert found.argmin(1).tolist() == [0, 2]
    assert found[:, 1] == pytest.approx([-np.log(frozen_features.UNSEEN)] * 2)
    one = frozen_features.predict_nll(known, [2, 2, 2, 2], asked, 3, seed=1)
    assert one.argmin(1).tolist() == [2, 2]
