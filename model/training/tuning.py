"""Fine-tune a network on examples."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from model.data.chat import EncodedExample
from model.data.example_batches import ExampleBatches
from model.data.pair_batches import PairBatches
from model.distributed.world import World
from model.formats import model_folder
from model.formats.base_model import BaseModel
from model.network import families
from model.network.architecture import ModelConfig
from model.network.batch import Batch
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
PAIR_RATE_SHARE = 0.1  # of these: a preference has a gradient as long as it is not certain


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


@dataclass(frozen=True)
class TuningData:
    """What a fine-tuning learns from and is judged by; another objective than answers, if any."""

    batches: ExampleBatches
    validation: Sequence[Batch]
    objective: Callable[[AnyNetwork], nn.Module] | None = None


def answers_to_learn(
    config: FinetuneConfig,
    model: ModelConfig,
    train: Sequence[EncodedExample],
    held_out: Sequence[EncodedExample],
) -> TuningData:
    """Return examples whose answers are learned, and those held out."""
    batches = ExampleBatches(train, model, config.batch_size, config.seed)
    validation = replace(batches, examples=held_out).in_order() if held_out else []
    return TuningData(batches, validation)


def best_of_rates(
    job: Job[Any], config: FinetuneConfig, base: BaseModel, data: TuningData
) -> FinetuneResult:
    """Return what `tune` does at the rate whose validation loss is the lowest; the first wins ties.

    Raises TrainingError where rates are to be chosen and nothing is held out to choose by.
    """
    if config.learning_rates and not data.validation:
        raise TrainingError(
            "finetune.learning_rates: no example is held out to choose by; raise "
            "examples.validation_share, or give one finetune.learning_rate"
        )
    best: FinetuneResult | None = None
    for number, rate in enumerate(config.learning_rates or (config.learning_rate,)):
        with_rate = replace(config, learning_rate=rate)
        checkpoints = f"checkpoints-{number}" if config.learning_rates else "checkpoints"
        network = starting_network(base, config)
        result = tune(job, with_rate, network, data, checkpoints)
        if best is None or result.loss < best.loss:
            best = result
    assert best is not None  # there is at least one rate
    return best


def tune(
    job: Job[Any], config: FinetuneConfig, network: AnyNetwork, data: TuningData, checkpoints: str
) -> FinetuneResult:
    """Train the network in place, from the newest checkpoint of that name if there is one."""
    settings = train_config(config, data.batches, network.config)
    training = Training(
        network=network,
        optimizer=build_optimizer(network, settings.optimizer, settings.hyperparameters),
        loader=data.batches,
        validation=data.validation,
        own_objective=None if data.objective is None else data.objective(network),
        precision=choose_precision(settings, network, data.batches, job.scratch("precision")),
        checkpoints=job.scratch(checkpoints),
        progress=job.progress,
        config=settings,
    )
    loss_before = validation_loss(training)
    fit(training)
    return FinetuneResult(training, data.batches, loss_before)


def train_config(
    config: FinetuneConfig, batches: ExampleBatches, model: ModelConfig
) -> TrainConfig:
    """Return the loop's settings: steps from epochs, warm-up from its share."""
    steps = max(1, math.ceil(config.epochs * batches.batches_per_epoch))
    usual = FULL_RATE if config.lora is None else LORA_RATE
    if isinstance(batches, PairBatches):
        usual *= PAIR_RATE_SHARE
    rate = config.learning_rate or usual
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
