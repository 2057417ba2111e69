"""A linear map over a network's vectors: padding changes nothing, the best rate is kept."""

import numpy as np
import pytest
import torch

from model.network.architecture import PRESETS, ModelConfig
from model.network.families import build
from model.transferring import classifier
from model.transferring.classifier import Classifier, LabelledTexts
from model.transferring.config import ClassifierConfig
from pipeline.errors import ConfigError

SIZES = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "hidden": 48, "context": 16}


def network(preset="llama"):
    torch.manual_seed(3)
    return build(ModelConfig(**{**PRESETS[preset], **SIZES, "dropout": 0.0}), 60)


@pytest.mark.parametrize("preset", ["llama", "bert", "modern_encoder_decoder"])
def test_a_text_costs_the_same_alone_and_beside_longer_ones(preset):
    made = Classifier(network(preset), 3, 0.0)
    texts = [[1, 9, 8], [1, *range(20, 34)], [1]]
    together = classifier.label_nll(made, texts)
    assert together == pytest.approx(
        np.vstack([classifier.label_nll(made, [t]) for t in texts]), 1e-4
    )
    assert np.exp(-together).sum(1) == pytest.approx(np.ones(3))


def colours(count, seed):
    """Texts whose label is told by one token among others that tell nothing."""
    generator = np.random.default_rng(seed)
    labels = [n % 3 for n in range(count)]
    texts = [[1, *generator.integers(30, 60, 6).tolist(), 10 + label] for label in labels]
    return LabelledTexts([[t[0], *generator.permutation(t[1:]).tolist()] for t in texts], labels)


def test_the_rate_that_held_aside_labels_cost_least_is_kept():
    examples, dev = colours(300, 1), colours(60, 2)
    config = ClassifierConfig(learning_rates=(1e-6, 2e-2), epochs=5, batch_size=8, dropout=0.0)
    fitted = classifier.fit(network, examples, dev, 3, config, seed=1)
    assert fitted.learning_rate == 2e-2
    assert np.array_equal(fitted.dev_nll_NC, classifier.label_nll(fitted.classifier, dev.ids))
    assert (fitted.dev_nll_NC.argmin(1) != dev.labels).mean() < 0.1
    again = classifier.fit(network, examples, dev, 3, config, seed=1)
    assert np.array_equal(again.dev_nll_NC, fitted.dev_nll_NC)


def test_settings_that_cannot_be_are_refused():
    for wrong in ({"learning_rates": ()}, {"learning_rates": (0.0,)}, {"epochs": 0},
                  {"dropout": 1.0}, {"reading_epochs": -1}, {"reading_texts_max": 0}):  # fmt: skip
        with pytest.raises(ConfigError, match=f"classifier.{next(iter(wrong))}"):
            ClassifierConfig(**wrong)
