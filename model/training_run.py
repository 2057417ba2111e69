"""The work of the stage `train`: from its parents to a finished training and its files."""

import functools
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from model.data import loader
from model.data.training_data import realised, unused_tokens
from model.distributed.launch import Launch, train_in_processes
from model.distributed.world import World
from model.formats import model_folder
from model.planning import usage
from model.planning.device import machine_of
from model.planning.usage_meter import UsageMeter
from model.training import checkpoint
from model.training.build import build_training, write_token_files
from model.training.config import TrainConfig
from model.training.continuation import plan_training
from model.training.curve import (
    MACHINE,
    MEASURED_FILE,
    NOTES,
    SPEED_FILE,
    choices_measured,
    note_choices,
    write_curve,
)
from model.training.loop import fit
from model.training.state import Training
from pipeline.config_checks import refused
from pipeline.stage import Job
from pipeline.store import storage
from pipeline.tokenizer import load_tokenizer


def train(job: Job[TrainConfig], launch: Launch, choices: Mapping[str, Any]) -> None:
    """Train as `plan_training` says and write the model folder and the curve.

    What `choices` has is not chosen by measuring.
    """
    plan = plan_training(job.config, job.parents)
    config, inputs = plan.config, plan.inputs
    scratch = job.scratch("checkpoints").parent
    note_choices(scratch / NOTES, choices)
    if config.batch_size % launch.size:
        wanted = f"a multiple of the {launch.size} processes"
        raise refused("train.batch_size", config.batch_size, wanted)
    if launch.size > 1:
        parts = {"config": asdict(config), "inputs": inputs.to_json(), "scratch": str(scratch)}
        train_in_processes(launch, job.scratch("launch") / "job", parts, job.progress)
    write_token_files(config, inputs, scratch)
    meter = UsageMeter(torch.device("cpu") if launch.size > 1 else World().device)
    training = build_training(config, inputs, scratch, job.progress, on_cpu=launch.size > 1)
    fit(training)
    tokenizer_file = inputs.shards.file("tokenizer.model")
    model_folder.write(training.network, tokenizer_file, job.file)
    optimizer_file = job.file(checkpoint.OPTIMIZER)
    checkpoint.write_optimizer(
        optimizer_file, training.checkpoints, training.tensors, best=training.keeps_best
    )
    storage.write_json(job.folder / SPEED_FILE, training.state.speed)
    if launch.size > 1:
        storage.link_or_copy(scratch / usage.SPENT, job.folder / usage.SPENT)
    else:
        usage.write(meter.read(training, job.folder), job.folder)
    measured = {**choices_measured(scratch / NOTES), MACHINE: machine_of(training.device)}
    storage.write_json(job.folder / MEASURED_FILE, measured)
    batches = training.loader
    assert isinstance(batches, loader.Loader)
    used = batches.tokens - batches.leftover
    write = functools.partial(write_curve, used, unused_tokens(batches))
    job.map(write, [training.state.curve])
    job.stats.update(_figures(training, config, batches))
    job.stats.update(plan.realised(batches, training.state.batch))
    job.stats["tokenizer_sha256"] = load_tokenizer(tokenizer_file).fingerprint


def _figures(training: Training, config: TrainConfig, batches: loader.Loader) -> dict[str, Any]:
    last = training.state.curve[-1]
    return {
        "parameters": training.network.parameter_count(),
        "tokens_seen": last["tokens"],
        "epochs": round(last["tokens"] / (batches.windows * config.model.context), 4),
        "loss": last["loss"],
        "validation_loss": last["validation_loss"],
        "kept_step": training.kept_step,
        "source_losses": training.state.source_losses,
        "precision": training.precision,
        "optimizer": {"name": config.optimizer, **asdict(training.optimizer.hyperparameters)},
        "rollbacks": [asdict(event) for event in training.state.rollbacks],
        **realised(batches, training.state.batch),
    }
