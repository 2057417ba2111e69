"""Build a training from its config: data, network, optimizer, what is chosen by measuring."""

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from typing_extensions import TypedDict

from model.data import loader
from model.data.training_data import RowShare, open_loader
from model.distributed.launch import FSDP
from model.distributed.world import World, parallelize
from model.embeddings.initialise import initialise_embeddings
from model.network import families
from model.network.batch import batch_of
from model.network.families import AnyNetwork
from model.optim.optimizers import build_optimizer
from model.optim.table import OPTIMIZERS
from model.training import precision
from model.training.compilation import checkpoint_activations, choose_compile
from model.training.config import AUTO, TrainConfig
from model.training.continuation import TrainingInputs
from model.training.counting import count_ngrams
from model.training.curve import NOTES, PRECISION_NOTE
from model.training.state import Batches, Training, objective_of
from pipeline.batching.token_layout import TokenLayout
from pipeline.errors import ConfigError
from pipeline.stage import Progress
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import Tokenizer, load_tokenizer

ALONE = World()
SOURCES_SHOWN, OTHERS = 8, "other sources"  # in the held-out loss by source


def build_training(
    config: TrainConfig,
    inputs: TrainingInputs,
    scratch: Path,
    progress: Progress,
    *,
    world: World = ALONE,
    on_cpu: bool = False,
) -> Training:
    """Return the training of a config, its scratch files below `scratch`.

    It begins with what `inputs` takes of a champion, if anything.
    Raises ConfigError where the optimizer's state cannot be split as `world` wants it.
    """
    if world.parallel == FSDP and not OPTIMIZERS[config.optimizer].shards:
        raise ConfigError(
            f"--parallel fsdp: the state of {config.optimizer!r} is not split with its weights; "
            f"use ddp or another train.optimizer"
        )
    shards, teacher = inputs.shards, inputs.distillation()
    tokenizer = load_tokenizer(shards.file("tokenizer.model"))
    batches, validation, sources = _batches(config, inputs, tokenizer, scratch / "tokens", world)
    torch.manual_seed(config.seed)
    network = families.build(config.model, tokenizer.vocab_size)
    inputs.load_weights(network)
    network = network.to("cpu" if on_cpu else world.device)
    with world.rank_zero_first():  # it measures and learns, the others read what it noted
        _initialise_from(config, network, shards, scratch, progress)
        earlier = None if inputs.replay is None else inputs.replay.earlier
        count_ngrams(network, shards, tokenizer, scratch / "counts" / "counts.npz", earlier)
        chosen = choose_precision(config, network, batches, scratch / NOTES)
        if not on_cpu:
            ids_BT = _benchmark_rows(config, network, batches)
            rows = config.steps * config.batch_size // world.size
            notes = scratch / NOTES
            choose_compile(config.compile, network, ids_BT, chosen, rows, notes)
    if config.activation_checkpointing:
        checkpoint_activations(network)
    objective, dtype = objective_of(network, config, teacher), precision.matmul_dtype(chosen)
    training = Training(
        network=network,
        own_objective=parallelize(objective, world) if world.size > 1 else None,
        optimizer=build_optimizer(network, config.optimizer, config.hyperparameters, dtype),
        loader=batches,
        validation=validation,
        validation_sources=sources,
        precision=chosen,
        checkpoints=scratch / "checkpoints",
        progress=progress,
        config=config,
        world=world,
        distillation=teacher,
    )
    inputs.load_moments(training.tensors)
    return training


def write_token_files(config: TrainConfig, inputs: TrainingInputs, scratch: Path) -> None:
    """Write what batches are read from, where it is not there yet; keep no memory of it.

    Reading shards takes memory of its own, which is not to be taken for that of training.
    """
    tokenizer = load_tokenizer(inputs.shards.file("tokenizer.model"))
    _batches(config, inputs, tokenizer, scratch / "tokens", ALONE)
    pa.default_memory_pool().release_unused()


def _batches(
    config: TrainConfig, inputs: TrainingInputs, tokenizer: Tokenizer, folder: Path, world: World
) -> tuple[loader.Loader, list[np.ndarray], list[str]]:
    """Return the training batches, the validation batches and the source of each of these."""
    folder.mkdir(parents=True, exist_ok=True)
    share = RowShare(config.model.context, config.batch_size, config.seed, world.rank, world.size)
    shards = inputs.shards
    batches = open_loader(config.data, shards, tokenizer, folder, share, inputs.replay)
    held_out = TokenLayout(skip_parts=config.data.skip_parts)
    tokens = loader.token_file(shards, "validation", tokenizer, folder, held_out)
    return batches, *_validation_batches(config, tokens)


def _initialise_from(
    config: TrainConfig, network: AnyNetwork, shards: Artifact, scratch: Path, progress: Progress
) -> None:
    note = scratch / "embeddings" / "embeddings.npz"
    note.parent.mkdir(parents=True, exist_ok=True)
    initialise_embeddings(
        network, config.embeddings, shards, seed=config.seed, note=note, progress=progress
    )


def _validation_batches(
    config: TrainConfig, tokens: loader.TokenFile
) -> tuple[list[np.ndarray], list[str]]:
    """Return the validation batches, each of one source, and their sources; rare ones together."""
    context, windows = config.model.context, config.validation_windows
    ids_BT = loader.spread_windows(tokens, context, windows)
    names = loader.spread_sources(tokens, context, windows)
    common = [name for name, _ in Counter(names).most_common(SOURCES_SHOWN)]
    groups = np.array([common.index(name) if name in common else len(common) for name in names])
    size = config.micro_batch_size or config.batch_size
    batches: list[np.ndarray] = []
    sources: list[str] = []
    for group, name in enumerate([*common, OTHERS]):
        own_BT = ids_BT[groups == group]
        batches += [own_BT[row : row + size] for row in range(0, len(own_BT), size)]
        sources += [name] * (len(batches) - len(sources))
    return batches, sources


def choose_precision(
    config: TrainConfig, network: AnyNetwork, batches: Batches, folder: Path
) -> str:
    """Return the configured arithmetic, or measure once and keep the answer for every resume."""
    if config.precision != AUTO:
        return config.precision
    note = folder / PRECISION_NOTE
    decision = storage.recall_json(note, _Decision)
    if decision is None:
        rates = precision.benchmark_precisions(network, _benchmark_rows(config, network, batches))
        decision = {"precision": precision.fastest(rates), "passes_per_second": rates}
        storage.write_json(note, decision)
    return decision["precision"]


class _Decision(TypedDict):
    precision: Literal["fp32", "bf16"]


def _benchmark_rows(config: TrainConfig, network: AnyNetwork, batches: Batches) -> torch.Tensor:
    """Return ids as many as a forward pass takes at once."""
    return batch_of(batches.batch(0), network.device).ids_BT[: config.micro_batch_size]
