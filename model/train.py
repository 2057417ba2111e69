"""The stage `train`: shards to a model folder with its training curve."""

import functools
from dataclasses import asdict
from typing import Any

from model.contracts import CURVE
from model.data import loader
from model.data.config import realised, unused_tokens
from model.distributed.launch import Launch, train_in_processes
from model.formats import model_folder
from model.planning import usage
from model.planning.usage import UsageMeter
from model.training.build import build_training
from model.training.config import TrainConfig
from model.training.curve import MEASURED_FILE, SPEED_FILE, choices_measured, write_curve
from model.training.loop import fit
from model.training.state import Training
from pipeline.config_checks import refused
from pipeline.stage import Job, Stage
from pipeline.store import storage
from pipeline.tokenizer import load_tokenizer

HERE = Launch()


def run(job: Job[TrainConfig], launch: Launch = HERE) -> None:
    """Train on the shards' train split; the shards carry their tokenizer.

    The account is kept in tokens: those that fill no window, that no share of the mixture takes or
    that lie in skipped shards are dropped.
    """
    config = job.config
    shards = job.parents[0]
    scratch = job.scratch("checkpoints").parent
    if config.batch_size % launch.size:
        wanted = f"a multiple of the {launch.size} processes"
        raise refused("train.batch_size", config.batch_size, wanted)
    if launch.size > 1:
        parts = {"config": asdict(config), "shards": str(shards.path), "scratch": str(scratch)}
        train_in_processes(launch, job.scratch("launch") / "job", parts, job.progress)
    training = build_training(config, shards, scratch, job.progress, on_cpu=launch.size > 1)
    meter = UsageMeter(training)
    fit(training)
    tokenizer_file = shards.file("tokenizer.model")
    model_folder.write(training.network, tokenizer_file, job.file)
    storage.write_json(job.folder / SPEED_FILE, training.state.speed)
    if launch.size > 1:
        storage.link_or_copy(scratch / usage.SPENT, job.folder / usage.SPENT)
    else:
        usage.write(meter.read(training, job.folder), job.folder)
    storage.write_json(job.folder / MEASURED_FILE, choices_measured(scratch / "precision"))
    batches = training.loader
    assert isinstance(batches, loader.Loader)
    used = batches.tokens - batches.leftover
    write = functools.partial(write_curve, used, unused_tokens(batches))
    job.map(write, [training.state.curve])
    job.stats.update(_figures(training, config, batches))
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


STAGE = Stage(
    name="train",
    contract=CURVE,
    run=run,
    module="model.train",
    libraries=("torch", "numpy", "safetensors"),
    counts_rows=False,
    skips_damaged_parts=True,
)
