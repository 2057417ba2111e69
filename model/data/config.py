"""What a run trains on: the settings of `[train.data]`."""

from dataclasses import dataclass

from pipeline.batching.curriculum import MEASURES
from pipeline.batching.shares import Share, check_shares
from pipeline.config_checks import AtLeast, OneOf, OrOff, require
from pipeline.shard_measures import check_measures

STREAM, BEST_FIT = "stream", "best_fit"


@dataclass(frozen=True)
class ContextFrom:
    """From `step` on, rows have this context, as many more rows as they are shorter."""

    step: int
    context: int


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
