"""Settings of promotion, the section `[promotion]` of a recipe."""

from dataclasses import dataclass, field

from model.evaluation.config import ALL
from pipeline.config_checks import AtLeast, Between, refused, require


@dataclass(frozen=True)
class PromotionConfig:
    """What a new model must show on held-out text to become champion."""

    tolerance: float = 0.02  # bits per byte by which a language or source may be worse
    gain_min: float = 0.005  # bits per byte by which the whole must be better
    share_min: float = 0.05  # of held-out bytes, from which a language or source has a bound
    # bits per byte that seeds alone cause, as `textmill compare seed=1,2,3` prints it: by all,
    # lang.zh, source.news; a tolerance or gain below it is raised to it
    seed_spread: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        at_least_0 = AtLeast(0)
        require(
            self, "promotion", tolerance=at_least_0, gain_min=at_least_0, share_min=Between(0, 1)
        )
        for key, spread in self.seed_spread.items():
            kind, _, name = key.partition(".")
            if key != ALL and (kind not in ("lang", "source") or not name):
                wanted = "all, lang.NAME or source.NAME as keys"
                raise refused("promotion.seed_spread", key, wanted)
            if not at_least_0.holds(spread):
                raise refused(f"promotion.seed_spread.{key}", spread, at_least_0)

    def worse_max(self, key: str) -> float:
        """Return by how many bits per byte the slice may be worse."""
        return max(self.tolerance, self.seed_spread.get(key, self.seed_spread.get(ALL, 0.0)))

    @property
    def gain_wanted(self) -> float:
        """By how many bits per byte all held-out text together must be better."""
        return max(self.gain_min, self.seed_spread.get(ALL, 0.0))
