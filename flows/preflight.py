"""What can be known to be wrong before any work, with and without a server, in a dry run too."""

from pathlib import Path

import numpy as np

from flows.config import Recipe
from flows.settings import Settings
from model.distributed.launch import FSDP
from model.optim.table import OPTIMIZERS
from pipeline.errors import ConfigError
from pipeline.source_sample import SourceSample, local_files, sample_sources
from pipeline.tokenizing.config import TokenizerConfig, TooFewPieces
from pipeline.tokenizing.vocabulary_size import AUTO, character_counts, choose

TYPICAL_SIZE = 8192  # of a vocabulary whose text cannot be looked at


def check(recipe: Recipe, settings: Settings) -> None:
    """Raise ConfigError or SourceError for a run that cannot end well.

    Looked at are the paths of the sources, a sample of their text, and settings that contradict
    each other or the processes asked for.
    """
    if not recipe.sources:
        raise ConfigError(
            "this recipe names no sources; add [[sources]] with a path to it, or give "
            "`--source FOLDER`"
        )
    _check_launch(recipe, settings)
    files = local_files(recipe.sources, Path.cwd())
    config = recipe.tokenizer
    if config.vocab_size == AUTO or not files:
        return
    sample = sample_sources(files, recipe.ingest)
    needed = config.needed(_counts(sample))
    if needed > int(config.vocab_size):
        raise TooFewPieces(config, needed, "this text" if sample.whole else "a sample of this text")


def _check_launch(recipe: Recipe, settings: Settings) -> None:
    launch, train = settings.launch, recipe.train
    if train.batch_size % launch.size:
        raise ConfigError(
            f"train.batch_size: {train.batch_size} on {launch.size} processes, wanted a multiple; "
            f"--set train.batch_size={-(-train.batch_size // launch.size) * launch.size}"
        )
    if launch.size > 1 and launch.parallel == FSDP and not OPTIMIZERS[train.optimizer].shards:
        raise ConfigError(
            f"--parallel fsdp: the state of train.optimizer {train.optimizer!r} is not split with "
            f"its weights; give --parallel ddp or --set train.optimizer=adamw"
        )


def _counts(sample: SourceSample) -> np.ndarray:
    """Count characters; of a part of the text only those that are there twice, to be sure."""
    counts = character_counts(sample.texts)
    return counts if sample.whole else np.where(counts > 1, counts, 0)


def expected_vocab_size(recipe: Recipe) -> int:
    """Return the vocabulary's size as set, or about what it will be for these sources."""
    config: TokenizerConfig = recipe.tokenizer
    if config.vocab_size != AUTO:
        return int(config.vocab_size)
    files = local_files(recipe.sources, Path.cwd()) if recipe.sources else []
    if not files:
        return TYPICAL_SIZE
    sample = sample_sources(files, recipe.ingest)
    return choose(config.needed(character_counts(sample.texts)), sample.corpus_bytes)
