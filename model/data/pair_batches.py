"""Pairs of answers to batches: a row each, the chosen answer's before the rejected one's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from model.data.chat import EncodedExample
from model.data.example_batches import ExampleBatches, collate
from model.network.batch import Batch


def interleaved(
    chosen: Sequence[EncodedExample], rejected: Sequence[EncodedExample]
) -> list[EncodedExample]:
    """Return both answers of each pair after each other."""
    return [answer for pair in zip(chosen, rejected, strict=True) for answer in pair]


@dataclass
class PairBatches(ExampleBatches):
    """Batches of `batch_size` pairs; `examples` are those of `interleaved`.

    `reference_nats` holds what each answer costs the network that the learned one is held against;
    None where it is held against none.
    """

    reference_nats: np.ndarray | None = None

    @property
    def packed(self) -> bool:
        """An answer has a row of its own."""
        return False

    def rows_of(self, lengths: np.ndarray) -> list[np.ndarray]:
        """Return the pairs."""
        return list(np.arange(len(lengths)).reshape(-1, 2))

    def collated(self, rows: Sequence[np.ndarray]) -> Batch:
        """Return pairs as a batch."""
        chosen = np.concatenate(rows)
        nats = np.zeros(len(self.examples)) if self.reference_nats is None else self.reference_nats
        batch = collate([[self.examples[index]] for index in chosen], self.config)
        return replace(batch, reference_nats_B=torch.from_numpy(nats[chosen]).float())
