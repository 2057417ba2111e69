"""When a run has left the road, and what the policy `rollback` does about it.

A loss or gradient norm that is not finite is divergence; so is a mean loss of `WINDOW` steps that
lies `train.spike_nats` above the lowest such mean. `rollback` goes back to a checkpoint from before
the window, halves the learning rate and skips the batches that led there, at most `ROLLBACKS_MAX`
times. (Chowdhery et al. 2022, section 5.1, skip batches; a rate that is too high needs the rest.)
"""

import math
from dataclasses import dataclass, field

WINDOW = 8  # steps; short enough to stop early, long enough that one odd batch is no spike
ROLLBACKS_MAX = 3
RATE_SHARE = 0.5  # of the learning rate after each rollback


class Diverged(Exception):
    """Why a step cannot be taken; the loop turns it into a rollback or a TrainingError."""


@dataclass
class Watch:
    """The last losses and the lowest mean of a window of them."""

    recent: list[float] = field(default_factory=list)
    lowest: float | None = None

    def see(self, loss: float, norm: float, spike_nats: float | None) -> None:
        """Take in a step's loss and gradient norm; raise Diverged if they tell of it."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Diverged(f"loss {loss}, gradient norm {norm}")
        self.recent = [*self.recent[1 - WINDOW :], loss]
        if len(self.recent) < WINDOW:
            return
        mean = math.fsum(self.recent) / WINDOW
        if self.lowest is None or mean < self.lowest:
            self.lowest = mean
        if spike_nats is not None and mean > self.lowest + spike_nats:
            raise Diverged(
                f"loss {loss:.3f}, the mean of {WINDOW} steps is {mean:.3f}, "
                f"{mean - self.lowest:.3f} nats above the lowest ({self.lowest:.3f})"
            )


@dataclass(frozen=True)
class Rollback:
    """One return to an earlier step: why, from where, to where."""

    reason: str
    diverged_step: int
    resumed_step: int

    @property
    def skipped(self) -> int:
        """Batches that are passed by from now on."""
        return self.diverged_step - self.resumed_step + 1
