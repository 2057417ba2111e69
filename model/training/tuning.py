"""Fine-tune a network on examples: the settings of `[finetune]` and the training they make."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from model.data.chat import EncodedExample
from model.data.example_batches import ExampleBatches
from model.distributed.world import World
from model.formats import model_folder
from model.formats.base_model import BaseModel
from model.network import families
from model.network.architecture import ModelConfig
from model.network.families import AnyNetwork
from model.optim.optimizers import build_optimizer
from model.optim.schedule import SCHEDULES
from model.training import lora, precision
from model.training.build import choose_precision
from model.training.config import BEST, LAST, TrainConfig
from model.training.loop import fit, validation_loss
from model.training.lora import LoraConfig
from model.training.state import Training
from pipeline.config_checks import Above, AtLeast, Between, Check, OneOf, OrOff, refused, require
from pipeline.errors import TrainingError
from pipeline.stage import Job

STARTS = (WEIGHTS, RANDOM) = ("weights", "random")
FULL_RATE, LORA_RATE = 5e-4, 5e-3  # adapters begin at zero and want larger steps
# What a setting may be.
ONE = AtLeast(1)
CHECKS: dict[str, Check] = {
    "epochs": Above(0),
    "batch_size": ONE,
    "learning_rate": OrOff(Above(0)),
    "keep": OneOf((LAST, BEST)),
    "warmup_share": Between(0, 1, below_high=True),
    "schedule": OneOf(tuple(SCHEDULES)),
    "start": OneOf(STARTS),
    "unusable_share_max": Between(0, 1),
    "precision": OneOf(precision.PRECISIONS),
    "checkpoint_every": ONE,
    "validate_every": ONE,
    "log_every": ONE,
}


@dataclass(frozen=True)
class FinetuneConfig:
    """How a model is fine-tuned; a row holds up to a context's length of whole examples."""

    epochs: float = 3.0
    batch_size: int = 8  # rows
    learning_rate: float | None = None  # default 5e-4, with lora 5e-3
    # Each is tried instead, all epochs long; the one of the lowest validation loss is kept.
    learning_rates: tuple[float, ...] = ()
    keep: str = BEST  # weights of the best validation, where there is one, or the last
    warmup_share: float = 0.06  # of the steps
    schedule: str = "linear"
    weight_decay: float = 0.01
    gradient_clip: float | None = 1.0
    start: str = WEIGHTS  # 'random': the same network untrained, what a transfer is compared with
    lora: LoraConfig | None = None  # default: every weight is trained
    examples_max: int | None = None  # of the training split
    validation_examples: int = 512
    unusable_share_max: float = 0.5  # of the records; above it the data is taken for a mistake
    precision: str = precision.AUTO
    seed: int = 1
    checkpoint_every: int = 100
    validate_every: int = 100
    log_every: int = 10

    def __post_init__(self) -> None:
        require(self, "finetune", "", **CHECKS)
        if min(self.learning_rates, default=1.0) <= 0:
            raise refused("finetune.learning_rates", self.learning_rates, Above(0))
        if self.lora is not None and self.start == RANDOM:
            raise refused(
                "finetune.start", RANDOM, WEIGHTS, "adapters of finetune.lora need weights to adapt"
            )


def starting_network(base: BaseModel, config: FinetuneConfig) -> AnyNetwork:
    """Return the network to train: the base's, or one of its shape with new weights."""
    network = model_folder.read(base.path)
    if config.start == RANDOM:
        torch.manual_seed(config.seed)
        network = families.build(network.config, network.vocab_size)
    if config.lora is not None:
        lora.add(network, config.lora, config.seed)
    return network.to(World().device).train()


@dataclass(frozen=True)
class FinetuneResult:
    """A finished fine-tuning; `loss_before` is that of the validation examples, where there are."""

    training: Training
    batches: ExampleBatches
    loss_before: float | None

    @property
    def loss(self) -> float:
        """Validation loss of the weights that were kept."""
        curve = {row["step"]: row["validation_loss"] for row in self.training.state.curve}
        return curve[self.training.kept_step]


def best_of_rates(
    job: Job[Any],
    config: FinetuneConfig,
    base: BaseModel,
    train: Sequence[EncodedExample],
    held_out: Sequence[EncodedExample],
) -> FinetuneResult:
    """Return what `tune` does at the rate whose validation loss is the lowest; the first wins ties.

    Raises TrainingError where rates are to be chosen and nothing is held out to choose by.
    """
    if config.learning_rates and not held_out:
        raise TrainingError(
            "finetune.learning_rates: no example is held out to choose by; raise "
            "examples.validation_share, or give one finetune.learning_rate"
        )
    best: FinetuneResult | None = None
    for number, rate in enumerate(config.learning_rates or (config.learning_rate,)):
        with_rate = replace(config, learning_rate=rate)
        checkpoints = f"checkpoints-{number}" if config.learning_rates else "checkpoints"
        network = starting_network(base, config)
        result = tune(job, with_rate, network, train, held_out, checkpoints)
        if best is None or result.loss < best.loss:
            best = result
    assert best is not None  # there is at least one rate
    return best


def tune(
    job: Job[Any],
    config: FinetuneConfig,
    network: AnyNetwork,
    train: Sequence[EncodedExample],
    held_out: Sequence[EncodedExample],
    checkpoints: str,
) -> FinetuneResult:
    """Train the network in place, from the newest checkpoint of that name if there is one."""
    batches = ExampleBatches(train, network.config, config.batch_size, config.seed)
    validation = (
        ExampleBatches(held_out, network.config, config.batch_size, config.seed).in_order()
        if held_out
        else []
    )
    settings = train_config(config, batches, network.config)
    training = Training(
        network=network,
        optimizer=build_optimizer(network, settings.optimizer, settings.hyperparameters),
        loader=batches,
        validation=validation,
        precision=choose_precision(settings, network, batches, job.scratch("precision")),
        checkpoints=job.scratch(checkpoints),
        progress=job.progress,
        config=settings,
    )
    loss_before = validation_loss(training)
    fit(training)
    return FinetuneResult(training, batches, loss_before)


def train_config(
    config: FinetuneConfig, batches: ExampleBatches, model: ModelConfig
) -> TrainConfig:
    """Return the loop's settings: steps from epochs, warm-up from its share."""
    steps = max(1, math.ceil(config.epochs * batches.batches_per_epoch))
    rate = config.learning_rate or (FULL_RATE if config.lora is None else LORA_RATE)
    return TrainConfig(
        steps=steps,
        batch_size=config.batch_size,
        learning_rate=rate,
        warmup_steps=round(config.warmup_share * steps),
        schedule=config.schedule,
        final_learning_rate_share=0.0,
        weight_decay=config.weight_decay,
        gradient_clip=config.gradient_clip,
        spike_nats=None,  # batches of long answers and of labels differ by more
        precision=config.precision,
        seed=config.seed,
        keep=config.keep,
        checkpoint_every=config.checkpoint_every,
        validate_every=min(config.validate_every, batches.batches_per_epoch),
        log_every=config.log_every,
        model=model,
    )
