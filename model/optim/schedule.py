"""The learning rate as a function of the step; plain floats."""

import math
from collections.abc import Callable

# (progress in [0, 1] after the warm-up, share of it that decays) -> share of the way down
Schedule = Callable[[float, float], float]


def learning_rate(
    step: int,
    *,
    steps: int,
    peak: float,
    warmup_steps: int,
    schedule: str,
    final_share: float,
    decay_share: float,
) -> float:
    """Return the rate for 0-based `step`: linear warm-up to `peak`, then down to its final share.

    `schedule` names an entry of SCHEDULES; the last step comes just above `final_share * peak`.
    `decay_share` is the part of the steps after the warm-up in which `wsd` goes down.
    """
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return peak * (1.0 - (1.0 - final_share) * SCHEDULES[schedule](progress, decay_share))


def cosine(progress: float, decay_share: float) -> float:
    """Slow, fast, slow (Loshchilov & Hutter 2017)."""
    return 0.5 * (1.0 - math.cos(math.pi * progress))


def linear(progress: float, decay_share: float) -> float:
    """Even."""
    return progress


def constant(progress: float, decay_share: float) -> float:
    """Do not go down."""
    return 0.0


def wsd(progress: float, decay_share: float) -> float:
    """Warm-up, stable, decay (Hu et al. 2024), down as 1 - sqrt (Hägele et al. 2024)."""
    return math.sqrt(max(0.0, progress - (1.0 - decay_share)) / decay_share)


SCHEDULES: dict[str, Schedule] = {
    schedule.__name__: schedule for schedule in (cosine, linear, constant, wsd)
}
