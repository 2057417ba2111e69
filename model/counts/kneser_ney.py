"""An n-gram model: interpolated modified Kneser-Ney (Chen and Goodman 1998, section 4.1.6).

A network that needs as many bits as this one has learned counts and nothing more. All is sorting:
n-grams are numbered order by order, each by (number of its first n - 1 tokens, last token), which
fits 64 bits and collides never. Memory is about 180 bytes per training token for five orders.
T tokens, G n-grams of one order, V vocabulary.
Written by hand, in 158 lines: kenlm needs a compiler, nltk is slow.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

FALLBACK = (0.5, 1.0, 1.5)  # discounts where the text is too short to estimate them


@dataclass(frozen=True)
class NgramOrder:
    """The n-grams of one order: sorted keys, and what each adds to a probability.

    `held_back` belongs to contexts, the n-grams of the order below: the share that is left to
    shorter contexts; NaN where nothing follows.
    """

    keys_G: np.ndarray
    share_G: np.ndarray
    held_back: np.ndarray


class KneserNey:
    """A trained model; build one with `train`."""

    def __init__(self, unigrams_V: np.ndarray, orders: list[NgramOrder], bos_id: int):
        self._unigrams_V, self._orders, self._bos_id = unigrams_V, orders, bos_id

    @property
    def order(self) -> int:
        """Tokens in the longest n-gram."""
        return len(self._orders) + 1

    def nats(self, ids: np.ndarray) -> np.ndarray:
        """Return -log p of each token of a document (T,), the first one after `<|bos|>`."""
        sequence_T = np.concatenate(([self._bos_id], ids)).astype(np.int64)
        probability_T = self._unigrams_V[sequence_T]
        gram_T = sequence_T
        for order in self._orders:
            if not len(order.keys_G):
                break  # no document was that long
            context_T = np.concatenate(([-1], gram_T[:-1]))
            gram_T = _find(order.keys_G, context_T, sequence_T, len(self._unigrams_V))
            held_T = np.where(context_T >= 0, order.held_back[np.maximum(context_T, 0)], np.nan)
            share_T = np.where(gram_T >= 0, order.share_G[np.maximum(gram_T, 0)], 0.0)
            longer_T = share_T + held_T * probability_T
            probability_T = np.where(np.isnan(held_T), probability_T, longer_T)
        return -np.log(probability_T[1:])


def _find(
    keys_G: np.ndarray, context_T: np.ndarray, last_T: np.ndarray, vocab_size: int
) -> np.ndarray:
    wanted_T = np.where(context_T >= 0, context_T * vocab_size + last_T, -1)
    place_T = np.minimum(np.searchsorted(keys_G, wanted_T), len(keys_G) - 1)
    return np.where(keys_G[place_T] == wanted_T, place_T, -1)


def train(
    documents: Iterable[np.ndarray], vocab_size: int, bos_id: int, eos_id: int, order: int = 5
) -> KneserNey:
    """Count n-grams up to `order` in documents of token ids, each between bos and eos.

    No n-gram spans two documents. Below the highest order an n-gram counts how many tokens come
    before it, except where it begins a document. Discounts are those of Chen and Goodman.
    """
    grams, depth_T, _ = numbered(documents, vocab_size, bos_id, eos_id, order)
    counts = [adjusted(grams, n, vocab_size, depth_T) for n in range(order)]
    counts[0][bos_id] = 0  # is never predicted
    unigrams_V = unigrams(counts[0], bos_id)
    orders = [
        _order(grams[n].keys_G, counts[n], len(counts[n - 1]), vocab_size) for n in range(1, order)
    ]
    return KneserNey(unigrams_V, orders, bos_id)


def numbered(
    documents: Iterable[np.ndarray], vocab_size: int, bos_id: int, eos_id: int, order: int
) -> tuple[list["Grams"], np.ndarray, np.ndarray]:
    """Number the n-grams of each order in documents between bos and eos.

    Returns them with each token's place in its document (T,) and its document's number (T,).
    """
    framed = [np.concatenate(([bos_id], ids, [eos_id])) for ids in documents]
    sequence_T = np.concatenate([np.zeros(0, np.int64), *framed]).astype(np.int64)
    starts_T = np.cumsum([0, *map(len, framed)])
    depth_T = np.arange(len(sequence_T)) - np.repeat(starts_T[:-1], np.diff(starts_T))
    document_T = np.repeat(np.arange(len(framed)), np.diff(starts_T))
    return _number(sequence_T, depth_T, vocab_size, order), depth_T, document_T


@dataclass(frozen=True)
class Grams:
    """Numbered n-grams: sorted keys, a place (T) where each ends, and each place's number or -1."""

    keys_G: np.ndarray
    place_G: np.ndarray
    count_G: np.ndarray
    number_T: np.ndarray


def _number(
    sequence_T: np.ndarray, depth_T: np.ndarray, vocab_size: int, order: int
) -> list[Grams]:
    everything_V = np.arange(vocab_size)
    count_V = np.bincount(sequence_T, minlength=vocab_size)
    grams = [Grams(everything_V, everything_V, count_V, sequence_T)]
    for n in range(1, order):
        inside = np.flatnonzero(depth_T >= n)
        keys = grams[-1].number_T[inside - 1].astype(np.int64) * vocab_size + sequence_T[inside]
        keys_G, first_G, number, count_G = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True
        )
        number_T = np.full(len(sequence_T), -1, np.int32)
        number_T[inside] = number
        place_G, count_G = inside[first_G].astype(np.int32), count_G.astype(np.int32)
        grams.append(Grams(keys_G, place_G, count_G, number_T))
    return grams


def adjusted(grams: list[Grams], n: int, vocab_size: int, depth_T: np.ndarray) -> np.ndarray:
    """Return how many different tokens precede each n-gram; at the highest order its count."""
    own = grams[n]
    if n + 1 == len(grams):
        return own.count_G
    preceded = np.bincount(own.number_T[grams[n + 1].place_G], minlength=len(own.keys_G))
    if n == 0:
        return preceded
    begins = (
        depth_T[own.place_G] == n
    )  # one that begins a document always does: bos is nowhere else
    return np.where(begins, own.count_G, preceded)


def discounts(count_G: np.ndarray) -> np.ndarray:
    """Return the discounts of counts 0, 1, 2 and 3 or more."""
    seen = np.bincount(np.minimum(count_G, 5), minlength=5)[1:5].astype(np.float64)
    if not seen.all():
        return np.array([0.0, *FALLBACK])
    share = seen[0] / (seen[0] + 2 * seen[1])
    estimated = [k - (k + 1) * share * seen[k] / seen[k - 1] for k in (1, 2, 3)]
    good = all(0 <= discount <= k for k, discount in enumerate(estimated, 1))
    return np.array([0.0, *(estimated if good else FALLBACK)])


def unigrams(count_V: np.ndarray, bos_id: int) -> np.ndarray:
    """Return the probability of each token (V,) by how many tokens come before it."""
    off_V = discounts(count_V)[np.minimum(count_V, 3)]
    total = max(count_V.sum(), 1)
    held_back = off_V.sum() / total if count_V.any() else 1.0
    unigrams_V = (count_V - off_V) / total + held_back / (len(count_V) - 1)
    unigrams_V[bos_id] = 1.0  # the log of nothing would only warn: no text holds it
    return unigrams_V


def _order(keys_G: np.ndarray, count_G: np.ndarray, contexts: int, vocab_size: int) -> NgramOrder:
    off_G = discounts(count_G)[np.minimum(count_G, 3)]
    context_G = keys_G // vocab_size
    total = np.bincount(context_G, count_G, contexts)
    held = np.bincount(context_G, off_G, contexts)
    with np.errstate(invalid="ignore"):
        held_back = held / total  # 0 / 0 where nothing follows
    return NgramOrder(keys_G, (count_G - off_G) / total[context_G], held_back)
