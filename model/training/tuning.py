"""Fine-tune a network on examples."""

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
from model.training import lora
from model.training.build import choose_precision
from model.training.config import TrainConfig
from model.training.finetune_config import RANDOM, FinetuneConfig
from model.training.loop import fit, validation_loss
from model.training.state import Training
from pipeline.errors import TrainingError
from pipeline.stage import Job

FULL_RATE, LORA_RATE = 5e-4, 5e-3  # adapters begin at zero and want larger steps


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
