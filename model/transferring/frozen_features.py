"""Labels from a network as it is: word vectors, last vectors, and logistic regression over both.

Where examples are few, this is better than training the network on them (`model/LOG.md`).
The word vectors are the embeddings, or what they become by reading texts without labels
(`read_words`): Word2Vec goes on with them, every word of a text being told by all others, as
language models go on with a task's own texts before they are taught it (Howard and Ruder 2018,
arXiv:1801.06146; Gururangan et al. 2020, arXiv:2004.10964).
Shapes: N texts, V vocabulary, D width, F features, C labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.embeddings import word2vec
from model.embeddings.config import EmbeddingConfig
from model.network.families import AnyNetwork
from model.transferring.classifier import in_batches, mean_vectors, padded
from model.transferring.tfidf import fitted

READING_WINDOW = 50  # words to either side: all of a short text
FOLDS = 5
UNSEEN = 1e-6  # probability of a label that no example has


@dataclass(frozen=True)
class WordVectors:
    """Vectors (V, D) around the mean of all texts read; zeros for what does not occur there."""

    values_VD: np.ndarray

    def means(self, texts: Sequence[list[int]]) -> np.ndarray:
        """Return the mean vector (N, D) of each text, of length 1."""
        return _units(_means(self.values_VD, texts))


def read_words(
    begin_VD: np.ndarray | None,
    shape: tuple[int, int],
    texts: Sequence[list[int]],
    epochs: int,
    seed: int,
) -> WordVectors:
    """Return what vectors become by reading texts `epochs` times, from `begin_VD` or random ones.

    With no epochs they stay what they are; `shape` is (V, D).
    """
    values_VD = np.zeros(shape, np.float32) if begin_VD is None else begin_VD.astype(np.float32)
    if epochs:
        names_V = word2vec.token_names(shape[0])
        sentences = [names_V[ids].tolist() for ids in texts]
        config = EmbeddingConfig(window=READING_WINDOW, epochs=epochs)
        found = word2vec.skip_gram(sentences, shape, config, seed, begin_VD)
        values_VD = found.values_VW
    counts_V = np.bincount(np.concatenate(texts), minlength=shape[0])
    centred_VD = values_VD - (counts_V / counts_V.sum()) @ values_VD
    return WordVectors(np.where(counts_V[:, None] > 0, centred_VD, 0).astype(np.float32))


def last_means(network: AnyNetwork, texts: Sequence[list[int]]) -> np.ndarray:
    """Return the mean (N, D) of the network's last vectors of each text."""
    network.eval()
    return in_batches(
        texts, lambda some: mean_vectors(network, *padded(some, network.device)).float()
    )


@dataclass(frozen=True)
class Features:
    """Word vectors and, where there is a network, its last vectors around `middle_D`."""

    words: WordVectors
    network: AnyNetwork | None = None
    middle_D: np.ndarray | None = None

    def of(self, texts: Sequence[list[int]]) -> np.ndarray:
        """Return the features (N, F) of texts."""
        found = [self.words.means(texts)]
        if self.network is not None:
            found.append(_units(last_means(self.network, texts) - self.middle_D))
        return np.concatenate(found, axis=1)


def nats_from(
    known_NF: np.ndarray, known: Sequence[int], asked_NF: np.ndarray, labels: int, seed: int
) -> np.ndarray:
    """Return what each label costs after each text, in nats (N, C), learned from `known` labels."""
    shares_NC = np.full((len(asked_NF), labels), UNSEEN)
    if len(set(known)) < 2:
        shares_NC[:, list(known[:1])] = 1.0
        return -np.log(shares_NC)
    model = fitted(known_NF, np.array(known), seed)
    shares_NC[:, model.classes_] = np.maximum(model.predict_proba(asked_NF), UNSEEN)
    return -np.log(shares_NC)


def crossed_nats(known_NF: np.ndarray, known: Sequence[int], labels: int, seed: int) -> np.ndarray:
    """Return what each label costs after each known text (N, C), learned from the others.

    All but a fifth of them are learned from at a time.
    """
    nats_NC = np.empty((len(known), labels))
    order_N = np.random.Generator(np.random.PCG64(seed)).permutation(len(known))
    for fold in range(FOLDS):
        asked, learned = order_N[fold::FOLDS], np.delete(order_N, np.s_[fold::FOLDS])
        told = [known[int(index)] for index in learned]
        if len(asked):
            nats_NC[asked] = nats_from(known_NF[learned], told, known_NF[asked], labels, seed)
    return nats_NC


def _means(vectors_VD: np.ndarray, texts: Sequence[list[int]]) -> np.ndarray:
    lengths_N = np.array([len(ids) for ids in texts])
    starts_N = np.cumsum(lengths_N) - lengths_N
    sums_ND = np.add.reduceat(vectors_VD[np.concatenate(texts)], starts_N, axis=0)
    return sums_ND / lengths_N[:, None]


def _units(vectors_ND: np.ndarray) -> np.ndarray:
    return vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-9)
