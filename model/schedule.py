"""The learning rate as a function of the step; plain floats."""

import math
from collections.abc import Callable

Decay = Callable[[float], float]  # progress in [0, 1] -> share of the way down in [0, 1]


def learning_rate(
    step: int, *, steps: int, peak: float, warmup_steps: int, decay: str, final_share: float
) -> float:
    """Return the rate for 0-based `step`: linear warm-up to `peak`, then down to its final share.

    `decay` names an entry of DECAYS; the last step comes just above `final_share * peak`.
    """
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return peak * (1.0 - (1.0 - final_share) * DECAYS[decay](progress))


def cosine(progress: float) -> float:
    """Slow, fast, slow (Loshchilov & Hutter 2017)."""
    return 0.5 * (1.0 - math.cos(math.pi * progress))


def linear(progress: float) -> float:
    """Even."""
    return progress


def constant(progress: float) -> float:
    """Do not go down."""
    return 0.0


DECAYS: dict[str, Decay] = {decay.__name__: decay for decay in (cosine, linear, constant)}
