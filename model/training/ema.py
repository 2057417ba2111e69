"""Averaged weights: an exponential moving average that is validated and kept (Polyak 1990)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """The moving average of a network's weights, by name; none of it where decay is None."""

    def __init__(self, network: nn.Module, decay: float | None):
        self.decay = decay
        self.current = dict(network.named_parameters()) if decay is not None else {}
        self.weights: dict[str, Tensor] = {
            name: weight.detach().clone() for name, weight in self.current.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps; early ones weigh more, or the start would stay.

        The decay is at most (1 + step) / (10 + step), as TensorFlow's has it.
        """
        if self.decay is None:
            return
        share = 1.0 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.weights.values()), list(self.current.values()), share)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Give the network the average inside the block; afterwards it has its own bits again."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def copy_to_network(self) -> None:
        """Give the network the average for good."""
        for name, weight in self.current.items():
            weight.copy_(self.weights[name])

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self.current.items():
            own = weight.clone()
            weight.copy_(self.weights[name])
            self.weights[name].copy_(own)
