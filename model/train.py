"""The stage `train`: shards to a model folder with its training curve."""

import functools
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from model import embeddings, export, loader, networks, precision, spent
from model.data import open_loader, realised, unused_tokens
from model.loop import fit
from model.networks import AnyNetwork
from model.objectives import batch_of
from model.optim import build_optimizer
from model.spent import Meter
from model.train_config import TrainConfig
from model.training import Batches, Training
from pipeline import storage
from pipeline.artifact import Artifact
from pipeline.batching.token_file import Layout
from pipeline.schema import CURVE
from pipeline.sink import Sink
from pipeline.stage import Job, Stage
from pipeline.tokenizer import Tokenizer, load_tokenizer

SPEED = "speed.json"  # tokens per second; not part of the artifact's identity


def run(job: Job) -> None:
    """Train on the shards' train split; the shards carry their tokenizer.

    The account is kept in tokens: those that fill no window, that no share of the mixture takes or
    that lie in skipped shards are dropped.
    """
    config: TrainConfig = job.config
    shards: Artifact = job.parents[0]
    tokenizer_file = shards.file("tokenizer.model")
    tokenizer = load_tokenizer(tokenizer_file)
    tokens = job.scratch("tokens")
    batches = open_loader(
        config.data, shards, tokenizer, tokens,
        context=config.model.context, batch_size=config.batch_size, seed=config.seed,
    )  # fmt: skip
    held_out = Layout(skip_parts=config.data.skip_parts)
    validation = loader.token_file(shards, "validation", tokenizer, tokens, held_out)
    training = _prepare(job, config, batches, validation, tokenizer)
    meter = Meter(training)
    fit(training)
    export.write(training.network, tokenizer_file, job.file)
    storage.write_json(job.folder / SPEED, training.state.speed)
    spent.write(meter.read(training, job.folder), job.folder)
    used = batches.tokens - batches.leftover
    write = functools.partial(_write_curve, used, unused_tokens(batches))
    job.map(write, [training.state.curve])
    last = training.state.curve[-1]
    job.stats.update(
        parameters=training.network.parameter_count(),
        tokens_seen=last["tokens"],
        epochs=round(last["tokens"] / (batches.windows * config.model.context), 4),
        loss=last["loss"],
        validation_loss=last["validation_loss"],
        kept_step=training.kept_step,
        precision=training.precision,
        optimizer={"name": config.optimizer, **asdict(training.optimizer.hyperparameters)},
        rollbacks=[asdict(event) for event in training.state.rollbacks],
        tokenizer_sha256=tokenizer.fingerprint,
        **realised(batches, training.state.batch),
    )


def _prepare(
    job: Job,
    config: TrainConfig,
    batches: loader.Loader,
    validation: loader.TokenFile,
    tokenizer: Tokenizer,
) -> Training:
    held_out_BT = loader.spread_windows(validation, config.model.context, config.validation_windows)
    size = config.micro_batch_size or config.batch_size
    torch.manual_seed(config.seed)
    network = networks.build(config.model, tokenizer.vocab_size).to(device())
    note = job.scratch("embeddings") / "embeddings.npz"
    note.parent.mkdir(parents=True, exist_ok=True)
    shards: Artifact = job.parents[0]
    embeddings.initialise(
        network, config.embeddings, shards, tokenizer, seed=config.seed, note=note
    )
    return Training(
        network=network,
        optimizer=build_optimizer(network, config.optimizer, config.hyperparameters),
        loader=batches,
        validation=[held_out_BT[row : row + size] for row in range(0, len(held_out_BT), size)],
        precision=settle_precision(config, network, batches, job.scratch("precision")),
        checkpoints=job.scratch("checkpoints"),
        progress=job.progress,
        config=config,
    )


def device() -> torch.device:
    """Return the device to train on: a CUDA GPU, an Apple GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def settle_precision(
    config: TrainConfig, network: AnyNetwork, batches: Batches, folder: Path
) -> str:
    """Return the configured arithmetic, or measure once and keep the answer for every resume."""
    if config.precision != precision.AUTO:
        return config.precision
    note = folder / "precision.json"
    if not note.exists():
        ids_BT = batch_of(batches.batch(0), device()).ids_BT
        storage.write_json(note, precision.measure(network, ids_BT))
    return storage.read_json(note)


def _write_curve(
    tokens: int, unused: dict[str, int], curve: list[dict[str, Any]], sink: Sink
) -> None:
    sink.saw(tokens + sum(unused.values()))
    sink.kept(tokens)
    for reason, count in unused.items():
        sink.dropped(reason, count)
    sink.write("main", pa.Table.from_pylist(curve, schema=CURVE.schema))


STAGE = Stage(
    name="train",
    contract=CURVE,
    run=run,
    module="model.train",
    libraries=("torch", "numpy", "safetensors"),
    counts_rows=False,
)
