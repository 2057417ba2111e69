"""Checkpoints: a folder of safetensors and JSON, whole or absent, enough to go on bit for bit.

Tensors are written whole, however they were split over processes, so any number of processes reads
what any number wrote. `step-00000100/` holds `weights`, `optimizer`, `average` (empty without one)
and `state.json`; `best-00000100/` is the same files under a second name.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.distributed.world import World, distribute_like, full_tensor
from model.formats.file_names import OPTIMIZER
from model.optim.optimizers import Optimizer
from model.training.ema import ExponentialMovingAverage
from pipeline.errors import ArtifactError, TrainingError
from pipeline.store import storage
from pipeline.store.artifact import HASHES_FILE, check_hashes, write_hashes
from pipeline.store.loading import reading

STATE = "state.json"
STEP, BEST = "step-", "best-"


class Tensors(NamedTuple):
    """What a checkpoint holds as tensors."""

    network: nn.Module
    optimizer: Optimizer
    average: ExponentialMovingAverage


def save(
    folder: Path,
    step: int,
    tensors: Tensors,
    state: Any,
    *,
    keep: int = 2,
    world: World | None = None,
) -> None:
    """Write the checkpoint of `step` and remove all but the last `keep`; every process calls it."""
    network, optimizer, average = tensors
    is_rank_zero = world is None or world.is_rank_zero
    tables = {
        "weights": _gathered(dict(network.named_parameters()), is_rank_zero),
        "optimizer": _gathered(_moments(network, optimizer), is_rank_zero),
        "average": _gathered(average.weights, is_rank_zero),
    }
    if is_rank_zero:
        _write(folder, f"{STEP}{step:08d}", tables, state)
        for old in steps(folder)[:-keep]:
            shutil.rmtree(_path(folder, old))
    if world is not None:
        world.barrier()


def restore(folder: Path, step: int, tensors: Tensors) -> Any:
    """Load the checkpoint of `step`; return its state.

    Raises TrainingError naming the folder if it cannot be read or is of another network.
    """
    network, optimizer, average = tensors
    path = _path(folder, step)
    try:
        check_hashes(path)
        with reading(path, "a checkpoint of this network"):
            _fill(dict(network.named_parameters()), load_file(path / "weights.safetensors"))
            if average.weights:
                _fill(average.weights, load_file(path / "average.safetensors"))
            _fill_moments(network, optimizer, load_file(path / OPTIMIZER))
            return storage.read_json(path / STATE)
    except (ArtifactError, FileNotFoundError) as error:
        raise TrainingError(
            f"checkpoint {path}: cannot be read ({error}); remove this folder to go on from the "
            f"checkpoint before it"
        ) from error


def rewrite_state(folder: Path, step: int, state: Any, world: World) -> None:
    """Replace the state of the checkpoint of `step` and remove all later ones."""
    if world.is_rank_zero:
        for later in (other for other in steps(folder) if other > step):
            shutil.rmtree(_path(folder, later))
        with storage.whole_folder(_path(folder, step)) as temporary:
            kept = [file for file in _path(folder, step).iterdir() if file.name != STATE]
            for file in kept:
                storage.link_or_copy(file, temporary / file.name)
            storage.write_json(temporary / STATE, state)
            names = {file.name for file in temporary.iterdir()} - {HASHES_FILE}
            write_hashes(temporary, sorted(names))
    world.barrier()


def mark_best(folder: Path, step: int) -> None:
    """Keep the checkpoint of `step` as the best so far, in place of the one before it."""
    name = f"{BEST}{step:08d}"
    with storage.whole_folder(folder / name) as temporary:
        for file in _path(folder, step).iterdir():
            storage.link_or_copy(file, temporary / file.name)
    for old in folder.glob(f"{BEST}*"):
        if old.name != name:
            shutil.rmtree(old)


def write_optimizer(path: Path, folder: Path, tensors: Tensors, *, best: bool) -> None:
    """Write what the optimizer remembers to a safetensors file, to go on from in another training.

    It is that of the step whose weights are kept: the best checkpoint's, or the present one.
    """
    if best:
        storage.link_or_copy(max(folder.glob(f"{BEST}*")) / OPTIMIZER, path)
        return
    moments = _gathered(_moments(tensors.network, tensors.optimizer), True)
    with storage.whole_file(path) as temporary:
        save_file(moments, temporary)


def read_optimizer(path: Path, tensors: Tensors) -> None:
    """Give the optimizer what `write_optimizer` wrote of the same network and optimizer.

    Raises ArtifactError naming the file if it cannot be read.
    """
    with reading(path, "the state of an optimizer of this network"):
        _fill_moments(tensors.network, tensors.optimizer, load_file(path))


def copy_weights(network: nn.Module, source: nn.Module) -> None:
    """Give a network the weights of another of the same architecture."""
    _fill(dict(network.named_parameters()), dict(source.named_parameters()))


def load_best(folder: Path, network: nn.Module, average: ExponentialMovingAverage) -> None:
    """Give the network the weights of the best checkpoint, averaged ones if they were validated."""
    path = max(folder.glob(f"{BEST}*"))
    file = path / ("average" if average.weights else "weights")
    file = file.with_suffix(".safetensors")
    check_hashes(path, [file.name])
    with reading(file, "a checkpoint of this network"):
        _fill(dict(network.named_parameters()), load_file(file))


def steps(folder: Path) -> list[int]:
    """Return the steps that have a checkpoint, in order."""
    return sorted(int(path.name.removeprefix(STEP)) for path in folder.glob(f"{STEP}*"))


def _path(folder: Path, step: int) -> Path:
    return folder / f"{STEP}{step:08d}"


def _write(folder: Path, name: str, tables: Mapping[str, Mapping[str, Tensor]], state: Any) -> None:
    with storage.whole_folder(folder / name) as temporary:
        for table, tensors in tables.items():
            save_file(dict(tensors), temporary / f"{table}.safetensors")
        storage.write_json(temporary / STATE, state)
        write_hashes(temporary, [*(f"{table}.safetensors" for table in tables), STATE])


def _gathered(tensors: Mapping[str, Tensor], is_rank_zero: bool) -> dict[str, Tensor]:
    """Return whole tensors on the CPU in the first process; the others only take part."""
    gathered = {}
    for name, tensor in tensors.items():
        full = full_tensor(tensor.detach())
        if is_rank_zero:
            gathered[name] = full.to("cpu").contiguous()
    return gathered


def _moments(network: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    return {
        f"{moment}/{name}": value
        for name, weight in network.named_parameters()
        for moment, value in optimizer.state(weight).items()
    }


@torch.no_grad()
def _fill(weights: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> None:
    if weights.keys() != stored.keys():
        odd = sorted(weights.keys() ^ stored.keys())
        raise ValueError(f"{len(odd)} weights are missing or not of this network, as {odd[0]!r}")
    for name, weight in weights.items():
        weight.copy_(distribute_like(weight, stored[name]))


def _fill_moments(network: nn.Module, optimizer: Optimizer, stored: Mapping[str, Tensor]) -> None:
    moments: dict[str, dict[str, Tensor]] = {}
    for key, value in stored.items():
        moment, _, name = key.partition("/")
        moments.setdefault(name, {})[moment] = value
    for name, weight in network.named_parameters():
        optimizer.restore(weight, moments.get(name, {}))
