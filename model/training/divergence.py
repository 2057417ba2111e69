"""When a run has left the road, and what the policy `rollback` does about it.

Diverged is a run whose loss or gradient norm is not finite; whose mean loss of `WINDOW` steps lies
`train.spike_nats` above the lowest such mean, or above the first loss and chance (the logarithm of
the vocabulary: all tokens as likely); which had learned (`LEARNED_NATS` below chance) and is back
at chance; or which is dead: for `WINDOW` steps no gradient, and a loss of over half of chance. A
slow start is none of these: its loss stays near chance, but its gradient does not vanish.

`rollback` goes back to a checkpoint from before the window, halves the learning rate and skips the
batches that led there, at most `ROLLBACKS_MAX` times. (Chowdhery et al. 2022, section 5.1, skip
batches; a rate that is too high needs the rest.)
"""

import math
from dataclasses import dataclass, field

WINDOW = 8  # steps; short enough to stop early, long enough that one odd batch is no spike
ROLLBACKS_MAX = 3
LEARNED_NATS = 0.5  # below chance; what a spike forgets without being high
VANISHED = 1e-12  # gradient norm; rates of 1e9 leave exactly 0, slow starts 0.1 to 1
ROLLBACK_RATE_SCALE = 0.5  # of the learning rate after each rollback


class Diverged(Exception):
    """Why a step cannot be taken; the loop turns it into a rollback or a TrainingError."""


@dataclass
class DivergenceMonitor:
    """The last losses, the lowest mean of a window of them, and steps without a gradient so far."""

    recent: list[float] = field(default_factory=list)
    lowest: float | None = None
    still: int = 0

    def observe(self, loss: float, norm: float, spike_nats: float | None, chance: float) -> None:
        """Take in a step's loss and gradient norm; raise Diverged if they tell of it.

        `chance` is the loss of one who finds all tokens equally likely.
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Diverged(f"loss {loss}, gradient norm {norm}")
        if self.lowest is None:
            self.lowest = max(loss, chance)
        self.recent = [*self.recent[1 - WINDOW :], loss]
        self.still = self.still + 1 if norm < VANISHED else 0
        if len(self.recent) < WINDOW:
            return
        mean = math.fsum(self.recent) / WINDOW
        self.lowest = min(mean, self.lowest)
        if self.still >= WINDOW and mean > chance / 2:
            raise Diverged(
                f"loss {mean:.3f} and no gradient for {self.still} steps: the network is dead, its "
                f"weights have grown until nothing moves it (chance is {chance:.3f})"
            )
        self._compare(loss, mean, spike_nats, chance)

    def _compare(self, loss: float, mean: float, spike_nats: float | None, chance: float) -> None:
        assert self.lowest is not None  # set by the first step
        if spike_nats is None:
            return
        if self.lowest < chance - LEARNED_NATS and mean >= chance:
            raise Diverged(
                f"loss {loss:.3f}, the mean of {WINDOW} steps is {mean:.3f}: back at chance "
                f"({chance:.3f}) from {self.lowest:.3f}, what was learned is lost"
            )
        if mean > self.lowest + spike_nats:
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
