"""Networks whose n-grams are counted in documents of our own making."""

import numpy as np
import torch

from model.counts import count_table
from model.network.networks import GPT

BOS, EOS = 1, 2


def texts(vocab_size: int, count: int = 30, length: int = 12, seed: int = 0) -> list[np.ndarray]:
    """Documents that repeat no n-gram within themselves: an id never comes twice."""
    step = max(2, (vocab_size - 5) // length)
    steps = np.random.default_rng(seed).integers(1, step, (count, length))
    return list(np.cumsum(steps, axis=1) + 4)


def filled(network: GPT, documents: list[np.ndarray]) -> GPT:
    """Count the documents' n-grams in the network; return it."""
    assert network.counts is not None
    table = count_table.count(documents, network.vocab_size, BOS, EOS, network.counts.order)
    arrays = count_table.arrays_of(table)
    network.counts.fill({name: torch.from_numpy(array) for name, array in arrays.items()})
    return network
