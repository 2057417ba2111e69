"""The training loop: steps, a row of the curve now and then, checkpoints to go on from."""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from model import checkpoint, objectives, precision
from model.architecture import ModelConfig
from model.networks import AnyNetwork
from model.objectives import Batch
from model.optim import set_learning_rate
from model.schedule import DECAYS, learning_rate
from pipeline.errors import ConfigError, Interrupted, TrainingError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """How the model is trained; sizes count sequences of `model.context` tokens."""

    steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 3e-3
    warmup_steps: int = 50
    decay: str = "cosine"
    final_learning_rate_share: float = 0.1
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    gradient_clip: float | None = 1.0
    label_smoothing: float = 0.0  # 0.1 in Vaswani et al. 2017; validation loss is without
    precision: str = precision.AUTO
    seed: int = 1
    checkpoint_every: int = 100
    validate_every: int = 100
    validation_windows: int = 64
    log_every: int = 10
    model: ModelConfig = field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        whole = ("steps", "batch_size", "checkpoint_every", "validate_every", "log_every")
        for name in whole:
            if getattr(self, name) < 1:
                raise ConfigError(f"train.{name}: {getattr(self, name)}, wanted at least 1")
        if self.learning_rate <= 0:
            raise ConfigError(f"train.learning_rate: {self.learning_rate}, wanted above 0")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"train.label_smoothing: {self.label_smoothing}, wanted from 0 to below 1"
            )
        for name, table in (("decay", tuple(DECAYS)), ("precision", precision.PRECISIONS)):
            if getattr(self, name) not in table:
                found = getattr(self, name)
                raise ConfigError(f"train.{name}: {found!r}, wanted one of {', '.join(table)}")


class Batches(Protocol):
    """Where the steps' batches come from: windows of plain text, or examples of a task."""

    batch_size: int
    context: int  # tokens predicted per row; on average where rows differ

    def batch(self, step: int) -> np.ndarray | Batch:
        """Return the batch of 0-based `step`, a pure function of it."""
        ...


@dataclass
class Training:
    """Everything a step touches; `curve` holds a row per log interval, as CURVE says."""

    network: AnyNetwork
    optimizer: torch.optim.Optimizer
    loader: Batches
    validation: Sequence[np.ndarray | Batch]
    precision: str
    checkpoints: Path
    progress: Callable[[str, int, int], None]
    step: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    loss_sum: float = 0.0
    loss_count: int = 0
    speed: list[tuple[int, float]] = field(default_factory=list)  # (tokens seen, tokens / second)

    @property
    def tokens_per_step(self) -> int:
        """Tokens predicted in one step."""
        return self.loader.batch_size * self.loader.context

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.device


def fit(training: Training, config: TrainConfig) -> None:
    """Train to `config.steps`, from the newest checkpoint if there is one.

    Raises TrainingError at a loss that is not finite, Interrupted after SIGTERM or Ctrl-C, when a
    checkpoint has been written.
    """
    state = checkpoint.restore(training.checkpoints, training.network, training.optimizer)
    if state is not None:
        training.step, training.curve = state["step"], state["curve"]
        training.loss_sum, training.loss_count = state["loss_sum"], state["loss_count"]
        logger.info("going on from step %d", training.step)
    training.progress("train", training.step, config.steps)
    marked_at, marked_step = time.perf_counter(), training.step
    with _stop_requests() as stop_requested:
        while training.step < config.steps:
            rate, norm = _step(training, config)
            last = training.step == config.steps
            if training.step % config.log_every == 0 or last:
                _log(training, config, rate, norm)
                seconds = time.perf_counter() - marked_at
                done = (training.step - marked_step) * training.tokens_per_step
                training.speed.append((training.curve[-1]["tokens"], done / seconds))
                marked_at, marked_step = time.perf_counter(), training.step
            if training.step % config.checkpoint_every == 0 or last or stop_requested():
                _save(training)
            if stop_requested() and not last:
                raise Interrupted(
                    f"training stopped at step {training.step} of {config.steps} as asked; "
                    f"a checkpoint is written, the same command goes on from it"
                )


def _step(training: Training, config: TrainConfig) -> tuple[float, float]:
    """Take one optimizer step; return its learning rate and the gradient's norm before clipping."""
    rate = learning_rate(
        training.step,
        steps=config.steps,
        peak=config.learning_rate,
        warmup_steps=config.warmup_steps,
        decay=config.decay,
        final_share=config.final_learning_rate_share,
    )
    set_learning_rate(training.optimizer, rate)
    batch = objectives.batch_of(training.loader.batch(training.step), training.device)
    seed = objectives.step_seed(config.seed, training.step)
    smoothing = config.label_smoothing
    loss = mean_loss(training.network, batch, training.precision, seed, smoothing)
    loss.backward()
    limit = math.inf if config.gradient_clip is None else config.gradient_clip
    norm = torch.nn.utils.clip_grad_norm_(training.network.parameters(), limit).item()
    value = loss.item()
    if not (math.isfinite(value) and math.isfinite(norm)):
        raise TrainingError(
            f"training diverged at step {training.step}: loss {value}, gradient norm {norm}, "
            f"learning rate {rate:.2e}; lower train.learning_rate or raise train.warmup_steps"
        )
    training.optimizer.step()
    training.optimizer.zero_grad(set_to_none=True)
    training.step += 1
    training.loss_sum += value
    training.loss_count += 1
    return rate, norm


def mean_loss(
    network: AnyNetwork,
    batch: Batch,
    kind: str,
    seed: int = 0,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Return the mean cross-entropy in nats of what the network's family predicts in a batch."""
    with precision.arithmetic(kind, batch.ids_BT.device):
        return objectives.loss(network, batch, seed=seed, label_smoothing=label_smoothing)


def _log(training: Training, config: TrainConfig, rate: float, norm: float) -> None:
    due = training.step % config.validate_every == 0 or training.step == config.steps
    row = {
        "step": training.step,
        "tokens": training.step * training.tokens_per_step,
        "loss": training.loss_sum / training.loss_count,
        "learning_rate": rate,
        "gradient_norm": norm,
        "validation_loss": validation_loss(training) if due else None,
    }
    training.curve.append(row)
    training.loss_sum, training.loss_count = 0.0, 0
    training.progress("train", training.step, config.steps)
    logger.info("step %d of %d: loss %.4f", training.step, config.steps, row["loss"])


def validation_loss(training: Training) -> float | None:
    """Return the mean loss per predicted token over the validation batches, None without any."""
    total, predicted = 0.0, 0.0
    training.network.eval()
    with torch.no_grad():
        for number, rows in enumerate(training.validation):
            batch = objectives.batch_of(rows, training.device)
            tokens = objectives.predicted_tokens(batch)
            found = mean_loss(training.network, batch, training.precision, seed=number)
            total += found.item() * tokens
            predicted += tokens
    training.network.train()
    return total / predicted if predicted else None


def _save(training: Training) -> None:
    state = {
        "curve": training.curve,
        "loss_sum": training.loss_sum,
        "loss_count": training.loss_count,
    }
    checkpoint.save(
        training.checkpoints, training.step, training.network, training.optimizer, state
    )


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Note SIGTERM and Ctrl-C instead of dying, where signals can be had (the main thread)."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {
        number: signal.signal(number, lambda n, _frame: received.append(n))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
