"""What a training run consists of: the parts that steps touch, the state that checkpoints hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from model.distributed.world import World
from model.network.batch import Batch
from model.network.distillation import Distillation
from model.network.families import AnyNetwork
from model.network.objectives import Objective
from model.optim.optimizers import Optimizer
from model.training import divergence, precision
from model.training.checkpoint import Tensors
from model.training.config import BEST, TrainConfig
from model.training.divergence import DivergenceMonitor, Rollback
from model.training.ema import ExponentialMovingAverage


class Batches(Protocol):
    """Where the steps' batches come from: windows of plain text, or examples of a task."""

    batch_size: int  # rows of all processes
    context: int  # tokens predicted per row; on average where rows differ

    def batch(self, step: int) -> np.ndarray | Batch:
        """Return this process's rows of the batch of 0-based `step`, a pure function of it."""
        ...


@dataclass
class State:
    """What a checkpoint holds beside tensors; all of it is JSON.

    `curve` has a row per log interval, as CURVE says; `speed` triples of (tokens seen, tokens per
    second, share of the time that went into waiting for batches). A batch's number is the step plus
    the batches that rollbacks passed by.
    """

    step: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    speed: list[tuple[int, float, float]] = field(default_factory=list)
    source_losses: list[dict[str, Any]] = field(default_factory=list)  # step, source, loss
    loss_sum: float = 0.0
    loss_count: int = 0
    seconds: float = 0.0  # since the last row
    waited: float = 0.0  # of them for batches
    last: dict[str, float] = field(default_factory=dict)
    best_loss: float | None = None
    best_step: int = 0
    stale: int = 0  # validations since the best
    watch: DivergenceMonitor = field(default_factory=DivergenceMonitor)
    scale: dict[str, Any] = field(default_factory=dict)  # of the loss scaler, in float16
    rollbacks: list[Rollback] = field(default_factory=list)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "State":
        """Read what `asdict` gave."""
        rollbacks = [Rollback(**event) for event in stored.pop("rollbacks")]
        watch = DivergenceMonitor(**stored.pop("watch"))
        return cls(**stored, watch=watch, rollbacks=rollbacks)

    @property
    def batch(self) -> int:
        """Number of the batch that the next step reads."""
        return self.step + sum(event.skipped for event in self.rollbacks)

    @property
    def learning_rate_scale(self) -> float:
        """What rollbacks have left of the learning rate."""
        return divergence.ROLLBACK_RATE_SCALE ** len(self.rollbacks)


@dataclass
class Training:
    """Everything a step touches."""

    network: AnyNetwork
    optimizer: Optimizer
    loader: Batches
    validation: Sequence[np.ndarray | Batch]  # the same in every process
    precision: str
    checkpoints: Path
    progress: Callable[[str, int, int], None]
    config: TrainConfig
    world: World = field(default_factory=World)
    validation_sources: Sequence[str] = ()  # of each validation batch, where known
    # In the place of `objective_of`: that over several processes, or that of another task.
    own_objective: torch.nn.Module | None = None
    distillation: Distillation | None = None
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        self.average = ExponentialMovingAverage(self.network, self.config.ema_decay)
        self.objective = self.own_objective or objective_of(
            self.network, self.config, self.distillation
        )
        self.scaler = precision.loss_scaler(self.precision, self.device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.device

    @property
    def tensors(self) -> Tensors:
        """What checkpoints hold beside the state."""
        return Tensors(self.network, self.optimizer, self.average)

    @property
    def tokens_per_step(self) -> int:
        """Tokens predicted in one step, over all processes."""
        return self.loader.batch_size * self.loader.context

    @property
    def keeps_best(self) -> bool:
        """Tell whether the weights of the lowest validation loss become the model."""
        wanted = self.config.keep == BEST or self.config.patience is not None
        return wanted and self.state.best_loss is not None

    @property
    def kept_step(self) -> int:
        """The step whose weights become the model."""
        return self.state.best_step if self.keeps_best else self.state.step


def objective_of(
    network: AnyNetwork, config: TrainConfig, distillation: Distillation | None = None
) -> Objective:
    """Return what the network learns under the config's loss terms."""
    return Objective(network, config.label_smoothing, config.z_loss, distillation)
