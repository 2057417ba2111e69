"""The parts of a mixture as settings: which documents each takes, and how much it counts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config_checks import Between, OrOff, require
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Share:
    """A part of a mixture: the documents of a source and language that no share before it took.

    `weight` is its share of the tokens, relative to the other shares' weights. Without weights a
    share's tokens count `epochs` times: 2 is seen twice while 1 is seen once. At `epochs_max`
    passes it is exhausted, and the others take its place in proportion.
    """

    source: str | None = None  # None: any
    lang: str | None = None
    weight: float | None = None
    epochs: float = 1.0
    epochs_max: float | None = None

    def __post_init__(self) -> None:
        positive = OrOff(Between(0, math.inf, above_low=True, below_high=True))
        require(self, "mixture", weight=positive, epochs=positive, epochs_max=positive)

    def takes(self, source: str, lang: str) -> bool:
        """Tell whether a document of this source and language is of this share."""
        return self.source in (None, source) and self.lang in (None, lang)

    @property
    def label(self) -> str:
        """Source and language, such as 'wiki/zh'."""
        return f"{self.source or '*'}/{self.lang or '*'}"


def group_of(shares: Sequence[Share], source: str, lang: str) -> int | None:
    """Return the index of the first share that takes such documents, 0 where there are none."""
    if not shares:
        return 0
    return next((i for i, share in enumerate(shares) if share.takes(source, lang)), None)


def check_shares(shares: Sequence[Share]) -> None:
    """Raise ConfigError if some shares have weights and others do not."""
    weighted = [share for share in shares if share.weight is not None]
    if weighted and len(weighted) < len(shares):
        bare = next(share.label for share in shares if share.weight is None)
        raise ConfigError(
            f"mixture: {weighted[0].label} has a weight and {bare} has none; "
            f"give all shares a weight, or none (epochs then say how often each is seen)"
        )
