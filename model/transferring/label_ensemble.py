"""Two classifiers of labels, pooled (`model.transferring.opinion_pool`).

`tuned`: the network is trained with a linear map over it (`model.transferring.classifier`);
`frozen`: it stays as it is under logistic regression (`model.transferring.frozen_features`).
Shapes: N texts, C labels, V vocabulary, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from model.network.families import AnyNetwork
from model.transferring import classifier, frozen_features
from model.transferring.classifier import LabelledTexts
from model.transferring.config import ClassifierConfig
from model.transferring.frozen_features import TextFeatures
from model.transferring.opinion_pool import ExpertNll, log_opinion_pool

TUNED, FROZEN = "tuned", "frozen"


@dataclass(frozen=True)
class LabelPredictions:
    """Nats (N, C) of each label for each test text, and how they came about.

    `weights`: of either classifier in the pool, at most 1.
    """

    nll_NC: np.ndarray
    weights: dict[str, float]
    learning_rate: float  # of the tuned network


@dataclass(frozen=True)
class LabelDataset:
    """A labelled task as token ids: which examples to train on, which to choose settings by."""

    examples: LabelledTexts
    train: list[int]  # indices of examples
    dev: list[int]
    unlabelled: list[list[int]]
    test: list[list[int]]
    labels: int  # how many there are


def fit_and_predict(
    network: Callable[[], AnyNetwork],
    dataset: LabelDataset,
    config: ClassifierConfig,
    seed: int,
    *,
    adapt_word_vectors: bool,
) -> LabelPredictions:
    """Fit both classifiers on the training texts and predict the test texts' labels.

    `network` returns a fresh copy with the same weights at every call.
    `adapt_word_vectors`: continue Word2Vec on the unlabelled texts first.
    """
    examples, dev = dataset.examples, dataset.examples.subset(dataset.dev)
    tuned = classifier.fit(
        network, examples.subset(dataset.train), dev, dataset.labels, config, seed
    )
    epochs = config.reading_epochs if adapt_word_vectors else 0
    features = _features(network(), dataset.unlabelled, epochs, seed)
    examples_NF, test_NF = features.of(examples.ids), features.of(dataset.test)
    cross_NC = frozen_features.cross_validated_nll(
        examples_NF, examples.labels, dataset.labels, seed
    )
    experts = {
        TUNED: ExpertNll(tuned.dev_nll_NC, classifier.label_nll(tuned.classifier, dataset.test)),
        FROZEN: ExpertNll(
            cross_NC[dataset.dev],
            frozen_features.predict_nll(
                examples_NF, examples.labels, test_NF, dataset.labels, seed
            ),
        ),
    }
    nll_NC, weights = log_opinion_pool(list(experts.values()), dev.labels)
    return LabelPredictions(nll_NC, dict(zip(experts, weights, strict=True)), tuned.learning_rate)


def predict_by_words(
    shape: tuple[int, int], dataset: LabelDataset, config: ClassifierConfig, seed: int
) -> np.ndarray:
    """Return nats (N, C) without a network: by word vectors (V, D) of the texts alone."""
    words = frozen_features.adapt_word_vectors(
        None, shape, dataset.unlabelled, max(1, config.reading_epochs), seed
    )
    examples = dataset.examples
    return frozen_features.predict_nll(
        words.means(examples.ids),
        examples.labels,
        words.means(dataset.test),
        dataset.labels,
        seed,
    )


def _features(
    network: AnyNetwork, unlabelled: Sequence[list[int]], epochs: int, seed: int
) -> TextFeatures:
    initial_VD = network.embed_tokens.weight.detach().float().cpu().numpy()
    words = frozen_features.adapt_word_vectors(
        initial_VD, initial_VD.shape, unlabelled, epochs, seed
    )
    center_D = frozen_features.last_vector_means(network, unlabelled).mean(axis=0)
    return TextFeatures(words, network, center_D)
