"""Checkpoints: a folder of safetensors and JSON, whole or absent, enough to go on bit for bit."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pipeline import storage

KEPT = 2
STATE = "state.json"


def save(
    folder: Path, step: int, network: nn.Module, optimizer: torch.optim.Optimizer, state: Any
) -> None:
    """Write the checkpoint of `step` and remove all but the last two."""
    final = folder / f"step-{step:08d}"
    temporary = folder / f".step-{step:08d}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(_weights(network), temporary / "weights.safetensors")
    save_file(_moments(network, optimizer), temporary / "optimizer.safetensors")
    storage.write_json(temporary / STATE, {"step": step, **state})
    for file in temporary.iterdir():
        storage.sync(file)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    storage.sync(folder)
    for old in _checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old)


def restore(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Load the newest checkpoint into network and optimizer; return its state, None if none."""
    found = _checkpoints(folder)
    if not found:
        return None
    newest = found[-1]
    weights = load_file(newest / "weights.safetensors")
    moments = load_file(newest / "optimizer.safetensors")
    for name, parameter in network.named_parameters():
        with torch.no_grad():
            parameter.copy_(weights[name])
        if f"step/{name}" not in moments:  # a weight that is not trained
            continue
        optimizer.state[parameter] = {
            kind: moments[f"{kind}/{name}"].to(parameter.device)
            for kind in ("step", "exp_avg", "exp_avg_sq")
        }
    return storage.read_json(newest / STATE)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().contiguous() for name, weight in network.named_parameters()}


def _moments(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{kind}/{name}": value.contiguous()
        for name, parameter in network.named_parameters()
        for kind, value in optimizer.state[parameter].items()
    }
