"""The stage `train`: shards to a model folder with its training curve."""

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pydantic
import torch
from typing_extensions import TypedDict

from model.contracts import CURVE
from model.data import loader
from model.data.config import open_loader, realised, unused_tokens
from model.distributed import launch as launched
from model.distributed.launch import DDP, FSDP, Launch
from model.distributed.world import World, spread
from model.embeddings import initialise
from model.formats import model_folder
from model.network import families
from model.network.batch import batch_of
from model.network.families import AnyNetwork
from model.optim.optimizers import OPTIMIZERS, build_optimizer
from model.planning import usage
from model.planning.usage import Meter
from model.training import precision
from model.training.compilation import NOTE, forget_activations, settle_compile
from model.training.config import TrainConfig
from model.training.loop import fit
from model.training.state import Batches, Training, objective_of
from pipeline.batching.token_file import Layout
from pipeline.errors import ConfigError
from pipeline.stage import Job, Progress, Stage, silent
from pipeline.store import storage
from pipeline.store.artifact import Artifact, load_artifact
from pipeline.store.sink import Sink
from pipeline.tokenizer import load_tokenizer

HERE, ALONE = Launch(), World()
SPEED = "speed.json"  # tokens per second; not part of the artifact's identity
SOURCES_SHOWN, OTHERS = 8, "other sources"  # in the held-out loss by source
MEASURED = "measured.json"  # what was chosen by measuring, and why; nor is this


def run(job: Job, launch: Launch = HERE) -> None:
    """Train on the shards' train split; the shards carry their tokenizer.

    The account is kept in tokens: those that fill no window, that no share of the mixture takes or
    that lie in skipped shards are dropped.
    """
    config: TrainConfig = job.config
    shards: Artifact = job.parents[0]
    place = job.scratch("checkpoints").parent
    if config.batch_size % launch.size:
        raise ConfigError(
            f"train.batch_size {config.batch_size} on {launch.size} processes: wanted a multiple"
        )
    if launch.size > 1:
        again = {"config": asdict(config), "shards": str(shards.path), "place": str(place)}
        launched.train(launch, job.scratch("launch") / "job", again, job.progress)
    training = prepare(config, shards, place, job.progress, on_cpu=launch.size > 1)
    meter = Meter(training)
    fit(training)
    tokenizer_file = shards.file("tokenizer.model")
    model_folder.write(training.network, tokenizer_file, job.file)
    storage.write_json(job.folder / SPEED, training.state.speed)
    if launch.size > 1:
        storage.link_or_copy(place / usage.SPENT, job.folder / usage.SPENT)
    else:
        usage.write(meter.read(training, job.folder), job.folder)
    storage.write_json(job.folder / MEASURED, _measured(place / "precision"))
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


def resume(
    config: dict[str, Any],
    shards: str,
    place: str,
    *,
    world: World,
    parallel: str,
    progress: Progress,
) -> None:
    """Take part in a training as one of several processes; the last checkpoint is the result."""
    made = pydantic.TypeAdapter(TrainConfig).validate_python(config)
    report = progress if world.is_first else silent
    opened = load_artifact(Path(shards), files=False)  # the parts are checked when read
    training = prepare(made, opened, Path(place), report, world=world, parallel=parallel)
    meter = Meter(training)
    fit(training)
    if world.is_first:
        usage.write(meter.read(training, Path(place)), Path(place))


def prepare(
    config: TrainConfig,
    shards: Artifact,
    place: Path,
    progress: Progress,
    *,
    world: World = ALONE,
    parallel: str = DDP,
    on_cpu: bool = False,
) -> Training:
    """Return the training of a config, its scratch files below `place`.

    Raises ConfigError where the optimizer's state cannot be split as `parallel` asks for.
    """
    if parallel == FSDP and not OPTIMIZERS[config.optimizer].shards:
        raise ConfigError(
            f"--parallel fsdp: the state of {config.optimizer!r} is not split with its weights; "
            f"use ddp or another train.optimizer"
        )
    tokenizer, tokens = load_tokenizer(shards.file("tokenizer.model")), place / "tokens"
    tokens.mkdir(parents=True, exist_ok=True)
    batches = open_loader(
        config.data, shards, tokenizer, tokens,
        context=config.model.context, batch_size=config.batch_size, seed=config.seed,
        rank=world.rank, world_size=world.size,
    )  # fmt: skip
    held_out = Layout(skip_parts=config.data.skip_parts)
    validation = loader.token_file(shards, "validation", tokenizer, tokens, held_out)
    batches_held_out, sources = _held_out(config, validation)
    torch.manual_seed(config.seed)
    network = families.build(config.model, tokenizer.vocab_size)
    network = network.to("cpu" if on_cpu else world.device)
    note = place / "embeddings" / "embeddings.npz"
    note.parent.mkdir(parents=True, exist_ok=True)
    with world.first_goes_first():  # it measures and learns, the others read what it noted
        initialise.initialise(
            network, config.embeddings, shards, tokenizer,
            seed=config.seed, note=note, progress=progress,
        )  # fmt: skip
        kind = settle_precision(config, network, batches, place / "precision")
        if not on_cpu:
            rows_BT = _probe_rows(config, network, batches)
            rows = config.steps * config.batch_size // world.size
            settle_compile(config.compile, network, rows_BT, kind, rows, place / "precision")
    if config.activation_checkpointing:
        forget_activations(network)
    spread_out = spread(objective_of(network, config), world, parallel)
    return Training(
        network=network,
        optimizer=build_optimizer(
            network, config.optimizer, config.hyperparameters, precision.product_type(kind)
        ),
        loader=batches,
        validation=batches_held_out,
        validation_sources=sources,
        precision=kind,
        checkpoints=place / "checkpoints",
        progress=progress,
        config=config,
        world=world,
        spread=spread_out if world.size > 1 else None,
    )


def _held_out(
    config: TrainConfig, validation: loader.TokenFile
) -> tuple[list[np.ndarray], list[str]]:
    """Return the validation batches, each of one source, and their sources; rare ones together."""
    context, windows = config.model.context, config.validation_windows
    ids_BT = loader.spread_windows(validation, context, windows)
    names = loader.spread_sources(validation, context, windows)
    common = [name for name, _ in Counter(names).most_common(SOURCES_SHOWN)]
    groups = np.array([common.index(name) if name in common else len(common) for name in names])
    size = config.micro_batch_size or config.batch_size
    batches: list[np.ndarray] = []
    sources: list[str] = []
    for place, name in enumerate([*common, OTHERS]):
        own_BT = ids_BT[groups == place]
        batches += [own_BT[row : row + size] for row in range(0, len(own_BT), size)]
        sources += [name] * (len(batches) - len(sources))
    return batches, sources


def settle_precision(
    config: TrainConfig, network: AnyNetwork, batches: Batches, folder: Path
) -> str:
    """Return the configured arithmetic, or measure once and keep the answer for every resume."""
    if config.precision != precision.AUTO:
        return config.precision
    note = folder / "precision.json"
    noted = storage.recall_json(note, _Noted)
    if noted is None:
        rates = precision.rates_of(network, _probe_rows(config, network, batches))
        noted = {"precision": precision.faster(rates), "passes_per_second": rates}
        storage.write_json(note, noted)
    return noted["precision"]


class _Noted(TypedDict):
    precision: Literal["float32", "bfloat16"]


def _probe_rows(config: TrainConfig, network: AnyNetwork, batches: Batches) -> torch.Tensor:
    """Return ids as many as a forward pass takes at once."""
    return batch_of(batches.batch(0), network.device).ids_BT[: config.micro_batch_size]


def _measured(folder: Path) -> dict[str, Any]:
    """Return the notes of choices made by measuring, by what was chosen."""
    names = {"precision": "precision.json", "compile": NOTE}
    files = {what: folder / name for what, name in names.items()}
    found = {what: storage.recall_json(file) for what, file in files.items()}
    return {what: noted for what, noted in found.items() if noted is not None}


def write_curve(
    kept: int, unused: Mapping[str, int], curve: list[dict[str, Any]], sink: Sink
) -> None:
    """Write the curve; the account is of what was trained on, `kept`, and what was not, by why."""
    sink.saw(kept + sum(unused.values()))
    sink.kept(kept)
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
    skips_damaged_parts=True,
)
