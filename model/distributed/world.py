"""One process or many: who this one is, sums over all, a network parallelized over all.

Each process holds a `World`; that of a single process does nothing. Networks and optimizers know
nothing of it: `parallelize` wraps a module from outside.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.distributed.launch import DDP, FSDP
from model.network.blocks import Block


@dataclass(frozen=True)
class World:
    """The processes that train one model together; `rank` counts from 0 to `size` - 1."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among those of this host
    parallel: str = DDP  # how weights are held, as `Launch` says

    @property
    def is_rank_zero(self) -> bool:
        """Tell whether this process writes files and reports."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """This process's device: a CUDA GPU, an Apple GPU, else the CPU."""
        if torch.cuda.is_available():
            return torch.device("cuda", self.local_rank)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes, the same bits in each."""
        if self.size > 1:
            torch.distributed.all_reduce(values)
        return values

    @contextmanager
    def rank_zero_first(self) -> Iterator[None]:
        """Run the block in the first process, then in the others."""
        if not self.is_rank_zero:
            self.barrier()
        yield
        if self.is_rank_zero:
            self.barrier()

    def barrier(self) -> None:
        """Return when all processes have come here."""
        if self.size > 1:
            torch.distributed.barrier()


def init_process_group(environment: Mapping[str, str], parallel: str) -> World:
    """Join the processes that torchrun started, over NCCL where there are GPUs, else over gloo."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    rank, size, local_rank = (int(environment[name]) for name in names)
    world = World(rank, size, local_rank, parallel)
    if torch.cuda.is_available():
        torch.cuda.set_device(world.device)
        torch.distributed.init_process_group("nccl", device_id=world.device)
    else:
        torch.distributed.init_process_group("gloo")
    return world


def destroy_process_group() -> None:
    """Leave the processes that `init_process_group` joined."""
    torch.distributed.destroy_process_group()


def parallelize(module: nn.Module, world: World) -> nn.Module:
    """Return what computes `module` over all processes, gradients averaged.

    With DDP each holds all weights (Li et al. 2020); with FSDP2 they are split, block by block, and
    gathered when they are needed (Zhao et al. 2023).
    """
    if world.size == 1:
        return module
    if world.parallel == FSDP:
        return _split(module, world)
    return DistributedDataParallel(
        module,
        device_ids=[world.local_rank] if world.device.type == "cuda" else None,
        broadcast_buffers=False,
        gradient_as_bucket_view=True,
    )


def _split(module: nn.Module, world: World) -> nn.Module:
    # imported here: 2 s that a single process need not pay
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(world.device.type, (world.size,))
    for block in module.modules():
        if isinstance(block, Block):
            fully_shard(block, mesh=mesh)
    # Resharded after the forward pass too: validation swaps weights between two forward passes.
    fully_shard(module, mesh=mesh, reshard_after_forward=True)
    return module


def gradient_sync(module: nn.Module, now: bool) -> AbstractContextManager[object]:
    """Return the context of a backward pass that ends with an exchange of gradients, or not."""
    set_exchange = getattr(module, "set_requires_gradient_sync", None)  # FSDP2
    if set_exchange is not None:
        set_exchange(now)
    elif isinstance(module, DistributedDataParallel) and not now:
        return module.no_sync()
    return nullcontext()


def full_tensor(tensor: Tensor) -> Tensor:
    """Return a tensor that is split over processes in one piece; all of them must call this."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def distribute_like(weight: Tensor, value: Tensor) -> Tensor:
    """Return `value` on the weight's device, split as the weight is if it has the same shape.

    All processes hold all of `value`; nothing is sent.
    """
    value = value.to(weight.device)
    if value.shape != weight.shape or not hasattr(weight, "device_mesh"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(weight, DTensor)
    return distribute_tensor(value, weight.device_mesh, weight.placements, src_data_rank=None)


def sum_device(device: torch.device) -> torch.device:
    """Return where sums in float64 are kept for a device."""
    return torch.device("cpu") if device.type == "mps" else device  # MPS has no float64
