"""What a promotion was decided on: every gate with its figure, its bound and its verdict."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from model.evaluation.paired import SliceDifference
from model.reports.markdown import markdown_table

PROMOTE, HOLD, REJECT = "promote", "hold", "reject"
PASSED = "passed"  # of a gate
UNBOUNDED = "no bound"  # of a slice that is shown only
HEADINGS = ("gate", "figure", "95 % interval", "bound", "verdict", "because")


@dataclass(frozen=True)
class PromotionGate:
    """One figure held against one bound.

    `figure` of held-out text is bits per byte of the challenger less the champion's; `verdict` is
    'passed', 'no bound', or what the gate wants done: 'hold' or 'reject'.
    """

    name: str
    figure: float | None
    bound: str
    verdict: str
    because: str
    low: float | None = None
    high: float | None = None
    worse_max: float | None = None  # bits per byte by which a slice may be worse

    def cells(self) -> list[str]:
        """Return the gate as text under HEADINGS."""
        has_interval = self.low is not None and self.high is not None
        interval = f"{self.low:+.4f} to {self.high:+.4f}" if has_interval else ""
        figure = "" if self.figure is None else format(self.figure, ".4f" if interval else ".4g")
        return [self.name, figure, interval, self.bound, self.verdict, self.because]


@dataclass(frozen=True)
class PromotionLedger:
    """The verdict ('promote', 'hold' or 'reject'), why in a sentence, and what it rests on.

    `champion` and `challenger` are versions; figures are bits per byte over the same documents.
    """

    verdict: str
    reason: str
    champion: str
    challenger: str
    champion_bits_per_byte: float
    challenger_bits_per_byte: float
    gates: tuple[PromotionGate, ...] = ()
    slices: tuple[SliceDifference, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the form that is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "PromotionLedger":
        """Read the stored form; raise KeyError or TypeError for anything else."""
        gates = tuple(PromotionGate(**gate) for gate in value["gates"])
        slices = tuple(SliceDifference(**part) for part in value["slices"])
        return cls(**{**value, "gates": gates, "slices": slices})

    def to_markdown(self) -> str:
        """Return the ledger as a page."""
        rows = [gate.cells() for gate in self.gates]
        return (
            f"# Version {self.challenger}: {self.verdict.upper()}\n\n{self.reason}\n\n"
            f"Figures of held-out text are bits per byte, version {self.challenger} less version "
            f"{self.champion}, on the same documents: below zero is better.\n\n"
            f"{markdown_table(HEADINGS, rows)}\n"
        )


def gravest(gates: Sequence[PromotionGate]) -> str:
    """Return what all gates together come to."""
    verdicts = {gate.verdict for gate in gates}
    return next((verdict for verdict in (REJECT, HOLD) if verdict in verdicts), PROMOTE)
