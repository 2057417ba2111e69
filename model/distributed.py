"""One process or many: who this one is, sums over all, whole tensors out of split ones.

Each process holds a `World`; that of a single process does nothing. Network and optimizer know
nothing of it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class World:
    """The processes that train one model together; `rank` counts from 0 to `size` - 1."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Tell whether this process writes files and reports."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes, the same bits in each."""
        if self.size > 1:
            torch.distributed.all_reduce(values)
        return values

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.size > 1:
            torch.distributed.barrier()


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor that is split over processes in one piece; all of them must call this."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def placed_like(weight: Tensor, value: Tensor) -> Tensor:
    """Return `value` on the weight's device, split as the weight is if it has the same shape.

    All processes hold all of `value`; nothing is sent.
    """
    value = value.to(weight.device)
    if value.shape != weight.shape or not hasattr(weight, "device_mesh"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(weight, DTensor)
    return distribute_tensor(value, weight.device_mesh, weight.placements, src_data_rank=None)
