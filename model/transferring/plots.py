"""Plots of a transfer: accuracy of the arms by set of examples, and what the transfer gains."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from model.reports import interval_plot
from model.reports.interval_plot import IntervalPlot, IntervalSeries
from model.reports.plot_style import BLUE, GREEN, GREY, ORANGE, readable
from model.transferring.arms import LINEAR, SCRATCH, TRANSFERRED, WORDS
from model.transferring.comparison import ArmComparison, MeanInterval

COLOURS = {SCRATCH: GREY, TRANSFERRED: BLUE, LINEAR: ORANGE, WORDS: GREEN}
LABELS = {
    SCRATCH: "from scratch",
    TRANSFERRED: "transferred",
    LINEAR: "TF-IDF + logistic regression",
    WORDS: "Word2Vec + logistic regression",
}
# How far above the middle of its row each arm is drawn, of a row's height.
ACCURACY_OFFSETS = {SCRATCH: 0.26, TRANSFERRED: 0.13, LINEAR: -0.13, WORDS: -0.26}
GAIN_OFFSETS = {SCRATCH: 0.2, LINEAR: 0, WORDS: -0.2}


def draw(folder: Path, comparisons: Sequence[ArmComparison]) -> list[Path]:
    """Write the plots into `folder` and return their paths."""
    names = [f"{readable(comparison.name)}\n{comparison.task}" for comparison in comparisons]
    accuracy = IntervalPlot(
        "transfer_accuracy",
        "Accuracy on held-out examples",
        "accuracy, 95 % interval",
        names,
        [
            _series(LABELS[arm], arm, offset, [c.accuracy for c in comparisons])
            for arm, offset in ACCURACY_OFFSETS.items()
        ],
        chances=[comparison.chance for comparison in comparisons],
        tick_format=".0%",
    )
    gain = IntervalPlot(
        "transfer_gain",
        "What the transfer gains",
        "difference in accuracy, 95 % interval",
        names,
        [
            _series(f"over {LABELS[arm]}", arm, offset, [c.over for c in comparisons])
            for arm, offset in GAIN_OFFSETS.items()
        ],
        tick_format="+.0%",
    )
    saved = [{TRANSFERRED: comparison.bits_saved} for comparison in comparisons]
    bits = IntervalPlot(
        "transfer_bits",
        "Bits saved on the right answers",
        "bits per byte, 95 % interval",
        names,
        [_series("from scratch minus transferred", TRANSFERRED, 0, saved)],
    )
    return interval_plot.draw(folder, [accuracy, gain, bits])


def _series(
    label: str, arm: str, offset: float, figures: Sequence[Mapping[str, MeanInterval]]
) -> IntervalSeries:
    """Return an arm's figures, in the rows of those sets that have it."""
    rows = [row for row, by_arm in enumerate(figures) if arm in by_arm]
    intervals = [figures[row][arm] for row in rows]
    return IntervalSeries(
        label,
        COLOURS[arm],
        [row - offset for row in rows],
        [interval.mean for interval in intervals],
        [interval.low for interval in intervals],
        [interval.high for interval in intervals],
    )
