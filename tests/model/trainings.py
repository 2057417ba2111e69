"""Small trainings over a repeated sentence, made in one line, for the tests of the loop."""

import pydoc_data.topics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model.network.families import AnyNetwork, build
from model.network.networks import GPT
from model.optim.optimizers import build_optimizer
from model.training.config import TrainConfig
from model.training.state import Training

VOCABULARY = 256
TEXT = np.frombuffer(pydoc_data.topics.topics["assert"].encode(), np.uint8).astype(np.int64)


@dataclass
class Bytes:
    """Windows of a text's bytes; batches of `broken` numbers are noise."""

    batch_size: int
    context: int
    broken: tuple[int, ...] = ()

    def batch(self, step: int) -> np.ndarray:
        generator = np.random.default_rng(step)
        shape = (self.batch_size, self.context + 1)
        if step in self.broken:
            return generator.integers(0, VOCABULARY, shape)
        starts = generator.integers(0, len(TEXT) - shape[1], self.batch_size)
        return np.stack([TEXT[start : start + shape[1]] for start in starts])


def training(
    folder: Path,
    config: TrainConfig,
    *,
    broken: tuple[int, ...] = (),
    held_out: str = "text",
    device: str = "cpu",
) -> Training:
    """Return a training that has not begun; `held_out` is 'text', 'noise' or 'none'."""
    torch.manual_seed(config.seed)
    network: AnyNetwork = build(config.model, VOCABULARY).to(device)
    assert isinstance(network, GPT)
    batches = Bytes(config.batch_size, config.model.context, broken)
    noise = Bytes(config.batch_size, config.model.context, tuple(range(10**6, 10**6 + 2)))
    source = {"text": batches, "noise": noise}.get(held_out)
    return Training(
        network=network,
        optimizer=build_optimizer(network, config.optimizer, config.hyperparameters),
        loader=batches,
        validation=[source.batch(10**6 + i) for i in range(2)] if source else [],
        precision=config.precision,
        checkpoints=folder,
        progress=lambda *_: None,
        config=config,
    )
