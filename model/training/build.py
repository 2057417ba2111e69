"""Build a training from its config: data, network, optimizer, what is chosen by measuring."""

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from typing_extensions import TypedDict

from model.data import loader
from model.data.config import open_loader
from model.distributed.launch import DDP, FSDP
from model.distributed.world import World, parallelize
from model.embeddings.initialise import initialise_embeddings
from model.network import families
from model.network.batch import batch_of
from model.network.families import AnyNetwork
from model.optim.optimizers import OPTIMIZERS, build_optimizer
from model.training import precision
from model.training.compilation import checkpoint_activations, choose_compile
from model.training.config import TrainConfig
from model.training.state import Batches, Training, objective_of
from pipeline.batching.token_file import Layout
from pipeline.errors import ConfigError
from pipeline.stage import Progress
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import load_tokenizer

ALONE = World()
SOURCES_SHOWN, OTHERS = 8, "other sources"  # in the held-out loss by source


def build_training(
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
    batches_held_out, sources = _held_out_batches(config, validation)
    torch.manual_seed(config.seed)
    network = families.build(config.model, tokenizer.vocab_size)
    network = network.to("cpu" if on_cpu else world.device)
    note = place / "embeddings" / "embeddings.npz"
    note.parent.mkdir(parents=True, exist_ok=True)
    with world.rank_zero_first():  # it measures and learns, the others read what it noted
        initialise_embeddings(
            network, config.embeddings, shards,
            seed=config.seed, note=note, progress=progress,
        )  # fmt: skip
        kind = choose_precision(config, network, batches, place / "precision")
        if not on_cpu:
            rows_BT = _benchmark_rows(config, network, batches)
            rows = config.steps * config.batch_size // world.size
            choose_compile(config.compile, network, rows_BT, kind, rows, place / "precision")
    if config.activation_checkpointing:
        checkpoint_activations(network)
    objective = parallelize(objective_of(network, config), world, parallel)
    return Training(
        network=network,
        optimizer=build_optimizer(
            network, config.optimizer, config.hyperparameters, precision.matmul_dtype(kind)
        ),
        loader=batches,
        validation=batches_held_out,
        validation_sources=sources,
        precision=kind,
        checkpoints=place / "checkpoints",
        progress=progress,
        config=config,
        world=world,
        parallelized=objective if world.size > 1 else None,
    )


def _held_out_batches(
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


def choose_precision(
    config: TrainConfig, network: AnyNetwork, batches: Batches, folder: Path
) -> str:
    """Return the configured arithmetic, or measure once and keep the answer for every resume."""
    if config.precision != precision.AUTO:
        return config.precision
    note = folder / "precision.json"
    noted = storage.recall_json(note, _Noted)
    if noted is None:
        rates = precision.benchmark_precisions(network, _benchmark_rows(config, network, batches))
        noted = {"precision": precision.fastest(rates), "passes_per_second": rates}
        storage.write_json(note, noted)
    return noted["precision"]


class _Noted(TypedDict):
    precision: Literal["float32", "bfloat16"]


def _benchmark_rows(config: TrainConfig, network: AnyNetwork, batches: Batches) -> torch.Tensor:
    """Return ids as many as a forward pass takes at once."""
    return batch_of(batches.batch(0), network.device).ids_BT[: config.micro_batch_size]
