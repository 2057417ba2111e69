"""The learning rate as a function of the step; plain floats."""

import math
from collections.abc import Callable
from dataclasses import dataclass

# (progress in [0, 1] after the warm-up, share of it that decays) -> share of the way down
Schedule = Callable[[float, float], float]


@dataclass(frozen=True)
class RateCurve:
    """The learning rate over a run: linear warm-up to `peak`, then down to its final share.

    `schedule` names an entry of SCHEDULES; `decay_share` is the part of the steps after the warm-up
    in which `wsd` goes down.
    """

    steps: int
    peak: float
    warmup_steps: int
    schedule: str
    final_share: float
    decay_share: float


def learning_rate(step: int, curve: RateCurve) -> float:
    """Return the rate for 0-based `step`; the last comes just above `final_share * peak`."""
    if step < curve.warmup_steps:
        return curve.peak * (step + 1) / (curve.warmup_steps + 1)
    progress = (step - curve.warmup_steps) / max(1, curve.steps - curve.warmup_steps)
    way_down = SCHEDULES[curve.schedule](progress, curve.decay_share)
    return curve.peak * (1.0 - (1.0 - curve.final_share) * way_down)


def cosine(progress: float, decay_share: float) -> float:
    """Go down slowly, fast, slowly (Loshchilov & Hutter 2017)."""
    return 0.5 * (1.0 - math.cos(math.pi * progress))


def linear(progress: float, decay_share: float) -> float:
    """Go down evenly."""
    return progress


def constant(progress: float, decay_share: float) -> float:
    """Do not go down."""
    return 0.0


def wsd(progress: float, decay_share: float) -> float:
    """Stay, then go down (Hu et al. 2024) as 1 - sqrt (Hägele et al. 2024)."""
    return math.sqrt(max(0.0, progress - (1.0 - decay_share)) / decay_share)


SCHEDULES: dict[str, Schedule] = {
    schedule.__name__: schedule for schedule in (cosine, linear, constant, wsd)
}
