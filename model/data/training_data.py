"""The loader that the settings of `[train.data]` make, and what came of them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model.data.config import DataConfig
from model.data.exposure import layout_of
from model.data.loader import Loader
from pipeline.batching.token_file import token_file
from pipeline.batching.token_layout import Replay
from pipeline.shard import TRAIN
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import Tokenizer

STEPS_AHEAD = 2  # prepared in the background: a slow disk is waited for once, not at every step


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
    replay: Replay | None = None,
) -> Loader:
    """Return the loader of one process's rows of the training split, its token file in `folder`.

    With `replay` its share of the rows is old text, the rest new; the mixture holds within each.
    Raises what `token_file` and `Loader` raise.
    """
    layout = replace(layout_of(config), replay=replay)
    source = token_file(shards, TRAIN, tokenizer, folder, layout)
    return Loader(
        source,
        share.context,
        share.batch_size,
        share.seed,
        block=config.block,
        shares=replay.weighted(config.mixture, source.strata) if replay else config.mixture,
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


def replayed_share(loader: Loader, steps: int) -> float:
    """Return the share of old text in what `steps` steps were made of, by a loader with replay."""
    tokens = loader.tokens_by_group(steps)
    old = sum(count for group, count in tokens.items() if group % 2 == 0)
    return old / max(1, sum(tokens.values()))


def unused_tokens(loader: Loader) -> dict[str, int]:
    """Return tokens that no row of any epoch holds, by reason."""
    skipped = sum(entry["tokens"] or 0 for entry in loader.source.skipped)
    return {
        "shorter_than_a_window": loader.leftover,
        "outside_the_mixture": loader.source.outside,
        "skipped_parts": skipped,
    }
