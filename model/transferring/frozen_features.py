"""Labels by logistic regression over a frozen network: its word vectors and its last vectors.

Where examples are few, this is better than training the network on them (`model/LOG.md`).
The word vectors are the embeddings, or what they become on texts without labels
(`adapt_word_vectors`): Word2Vec continues them, every word of a text predicted by all others, as
language models continue on a task's own texts before fine-tuning (Howard and Ruder 2018,
arXiv:1801.06146; Gururangan et al. 2020, arXiv:2004.10964).
Shapes: N texts, V vocabulary, D width, F features, C labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.embeddings import word2vec
from model.embeddings.config import EmbeddingConfig
from model.network.families import AnyNetwork
from model.transferring.classifier import compute_in_batches, mean_last_vectors, padded
from model.transferring.tfidf import fit_logistic_regression

WINDOW = 50  # words to either side: all of a short text
FOLDS = 5
UNSEEN = 1e-6  # probability of a label that no example has


@dataclass(frozen=True)
class WordVectors:
    """Vectors (V, D) around the mean of all texts; zeros for tokens that do not occur there."""

    values_VD: np.ndarray

    def means(self, texts: Sequence[list[int]]) -> np.ndarray:
        """Return the mean vector (N, D) of each text, of length 1."""
        return _unit_length(_mean_vectors(self.values_VD, texts))


def adapt_word_vectors(
    initial_VD: np.ndarray | None,
    shape: tuple[int, int],
    texts: Sequence[list[int]],
    epochs: int,
    seed: int,
) -> WordVectors:
    """Continue Word2Vec on texts for `epochs`, from `initial_VD` or random vectors.

    With no epochs the vectors stay what they are; `shape` is (V, D).
    """
    values_VD = np.zeros(shape, np.float32) if initial_VD is None else initial_VD.astype(np.float32)
    if epochs:
        names_V = word2vec.token_names(shape[0])
        sentences = [names_V[ids].tolist() for ids in texts]
        config = EmbeddingConfig(window=WINDOW, epochs=epochs)
        trained = word2vec.skip_gram(sentences, shape, config, seed, initial_VD)
        values_VD = trained.values_VW
    counts_V = np.bincount(np.concatenate(texts), minlength=shape[0])
    centred_VD = values_VD - (counts_V / counts_V.sum()) @ values_VD
    return WordVectors(np.where(counts_V[:, None] > 0, centred_VD, 0).astype(np.float32))


def last_vector_means(network: AnyNetwork, texts: Sequence[list[int]]) -> np.ndarray:
    """Return the mean (N, D) of the network's last vectors of each text."""
    network.eval()
    return compute_in_batches(
        texts, lambda batch: mean_last_vectors(network, *padded(batch, network.device)).float()
    )


@dataclass(frozen=True)
class TextFeatures:
    """Word vectors and, where there is a network, its last vectors around `center_D`."""

    words: WordVectors
    network: AnyNetwork | None = None
    center_D: np.ndarray | None = None

    def of(self, texts: Sequence[list[int]]) -> np.ndarray:
        """Return the features (N, F) of texts."""
        parts = [self.words.means(texts)]
        if self.network is not None:
            parts.append(_unit_length(last_vector_means(self.network, texts) - self.center_D))
        return np.concatenate(parts, axis=1)


def predict_nll(
    train_NF: np.ndarray, train_labels: Sequence[int], test_NF: np.ndarray, labels: int, seed: int
) -> np.ndarray:
    """Fit logistic regression on the training texts; return the test texts' label nats (N, C)."""
    probability_NC = np.full((len(test_NF), labels), UNSEEN)
    if len(set(train_labels)) < 2:
        probability_NC[:, list(train_labels[:1])] = 1.0
        return -np.log(probability_NC)
    model = fit_logistic_regression(train_NF, np.array(train_labels), seed)
    probability_NC[:, model.classes_] = np.maximum(model.predict_proba(test_NF), UNSEEN)
    return -np.log(probability_NC)


def cross_validated_nll(
    features_NF: np.ndarray, text_labels: Sequence[int], labels: int, seed: int
) -> np.ndarray:
    """Return the label nats (N, C) of each text under a model fitted without its fold."""
    nll_NC = np.empty((len(text_labels), labels))
    order_N = np.random.Generator(np.random.PCG64(seed)).permutation(len(text_labels))
    for fold in range(FOLDS):
        test, train = order_N[fold::FOLDS], np.delete(order_N, np.s_[fold::FOLDS])
        train_labels = [text_labels[int(index)] for index in train]
        if len(test):
            nll_NC[test] = predict_nll(
                features_NF[train], train_labels, features_NF[test], labels, seed
            )
    return nll_NC


def _mean_vectors(vectors_VD: np.ndarray, texts: Sequence[list[int]]) -> np.ndarray:
    lengths_N = np.array([len(ids) for ids in texts])
    starts_N = np.cumsum(lengths_N) - lengths_N
    sums_ND = np.add.reduceat(vectors_VD[np.concatenate(texts)], starts_N, axis=0)
    return sums_ND / lengths_N[:, None]


def _unit_length(vectors_ND: np.ndarray) -> np.ndarray:
    return vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-9)
