"""What a run trains on: the settings of `[train.data]`, the loader they make, what came of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.data.loader import BEST_FIT, STREAM, ContextFrom, Loader
from pipeline.batching.curriculum import MEASURES, Levels
from pipeline.batching.mixture import Share, check_shares
from pipeline.batching.token_file import TokenLayout, token_file
from pipeline.config_checks import AtLeast, OneOf, OrOff, require
from pipeline.shard import TRAIN
from pipeline.shard_measures import check_measures
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import Tokenizer

STEPS_AHEAD = 2  # prepared in the background: a slow disk is waited for once, not at every step


@dataclass(frozen=True)
class DataConfig:
    """Which documents are trained on, how often, how they fill rows and in which order."""

    mixture: tuple[Share, ...] = ()  # none: all documents, each once per epoch
    packing: str = STREAM
    mask_documents: bool = False  # documents in a row do not see each other
    block: int | None = None  # tokens the order is made of; contexts must divide it
    contexts: tuple[ContextFrom, ...] = ()  # shorter rows at first: [{step = 0, context = 64}, ...]
    curriculum: str | None = None  # measure that orders the first epoch
    curriculum_levels: int = 8
    hardest_first: bool = False
    skip_parts: tuple[str, ...] = ()  # shards to leave out, damaged ones for example

    def __post_init__(self) -> None:
        check_shares(self.mixture)
        if self.curriculum is not None:
            check_measures([self.curriculum], "train.data.curriculum", [*MEASURES])
        require(
            self,
            "train.data",
            packing=OneOf((STREAM, BEST_FIT)),
            block=OrOff(AtLeast(1)),
            curriculum_levels=AtLeast(2),
        )

    @property
    def layout(self) -> TokenLayout:
        """Where documents lie in the token file."""
        levels = None
        if self.curriculum is not None:
            levels = Levels(self.curriculum, self.curriculum_levels, self.hardest_first)
        return TokenLayout(self.mixture, levels, self.skip_parts)


@dataclass(frozen=True)
class RowShare:
    """The size of batches and the process, of how many, that takes its rows of them."""

    context: int
    batch_size: int  # rows of all processes
    seed: int
    rank: int = 0
    world_size: int = 1


def open_loader(
    config: DataConfig,
    shards: Artifact,
    tokenizer: Tokenizer,
    folder: Path,
    share: RowShare,
) -> Loader:
    """Return the loader of one process's rows of the training split, its token file in `folder`.

    Raises what `token_file` and `Loader` raise.
    """
    source = token_file(shards, TRAIN, tokenizer, folder, config.layout)
    return Loader(
        source,
        share.context,
        share.batch_size,
        share.seed,
        block=config.block,
        shares=config.mixture,
        packing=config.packing,
        number_documents=config.mask_documents,
        contexts=config.contexts,
        rank=share.rank,
        world_size=share.world_size,
        ahead=STEPS_AHEAD,
    )


def realised(loader: Loader, steps: int) -> dict[str, Any]:
    """Return what `steps` steps were made of, for the manifest: JSON, shares to six digits.

    `mixture` has a row per share, source and language, `skipped_parts` one per part left out.
    """
    rows = [
        {**row, "share": round(row["share"], 6), "epochs": round(row["epochs"], 4)}
        for row in loader.account(steps)
    ]
    return {
        "mixture": rows,
        "skipped_parts": list(loader.source.skipped),
        "padding_share": round(loader.padding, 6),
    }


def unused_tokens(loader: Loader) -> dict[str, int]:
    """Return tokens that no row of any epoch holds, by reason."""
    skipped = sum(entry["tokens"] or 0 for entry in loader.source.skipped)
    return {
        "shorter_than_a_window": loader.leftover,
        "outside_the_mixture": loader.source.outside,
        "skipped_parts": skipped,
    }
