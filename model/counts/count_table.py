"""Counts of n-grams as plain arrays, by which a network looks up what followed in training text.

The counts are those of interpolated modified Kneser-Ney (`kneser_ney`), except that an n-gram of
the highest order counts the documents it is in: less one document it then is what was known without
that document, so that a network can learn from its own training text how far to trust them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from model.counts import kneser_ney


@dataclass(frozen=True)
class CountedOrder:
    """The n-grams of one order, by the n-gram of the order below that they go on from.

    Those that go on from n-gram i lie at `starts[i]` to `starts[i + 1]`, by their last token.
    `discounts_4` are those of counts 0, 1, 2, 3 or more.
    """

    starts: np.ndarray
    last_G: np.ndarray
    count_G: np.ndarray
    discounts_4: np.ndarray


@dataclass(frozen=True)
class CountTable:
    """Probabilities of single tokens (V,), zero for `<|bos|>`, and n-grams from order 2 on."""

    unigrams_V: np.ndarray
    orders: list[CountedOrder]


def count(
    documents: Iterable[np.ndarray], vocab_size: int, bos_id: int, eos_id: int, order: int
) -> CountTable:
    """Count n-grams up to `order` in documents of token ids, each between bos and eos."""
    grams, depth_T, document_T = kneser_ney.numbered(documents, vocab_size, bos_id, eos_id, order)
    counts = [kneser_ney.adjusted(grams, n, vocab_size, depth_T) for n in range(order)]
    counts[-1] = _documents_with(grams[-1].number_T, document_T, len(grams[-1].keys_G))
    counts[0][bos_id] = 0
    unigrams_V = kneser_ney.unigrams(counts[0], bos_id)
    unigrams_V[bos_id] = 0.0
    orders = [
        _order(grams[n].keys_G, counts[n], len(counts[n - 1]), vocab_size) for n in range(1, order)
    ]
    return CountTable(unigrams_V.astype(np.float32), orders)


def _documents_with(number_T: np.ndarray, document_T: np.ndarray, grams: int) -> np.ndarray:
    inside = number_T >= 0
    documents = int(document_T.max(initial=0)) + 1
    pairs = np.unique(number_T[inside].astype(np.int64) * documents + document_T[inside])
    return np.bincount(pairs // documents, minlength=grams)


def _order(keys_G: np.ndarray, count_G: np.ndarray, contexts: int, vocab_size: int) -> CountedOrder:
    starts = np.searchsorted(keys_G, np.arange(contexts + 1, dtype=np.int64) * vocab_size)
    return CountedOrder(
        starts.astype(np.int32),
        (keys_G % vocab_size).astype(np.int32),
        count_G.astype(np.int32),
        kneser_ney.discounts(count_G).astype(np.float32),
    )


def arrays_of(table: CountTable) -> dict[str, np.ndarray]:
    """Return the table as named arrays."""
    named: dict[str, np.ndarray] = {"unigrams": table.unigrams_V}
    for number, order in enumerate(table.orders, 2):
        parts: Sequence[np.ndarray] = tuple(vars(order).values())
        named |= {f"{name}_{number}": part for name, part in zip(PARTS, parts, strict=True)}
    return named


PARTS = ("starts", "last", "counts", "discounts")  # of each order, as they are stored
