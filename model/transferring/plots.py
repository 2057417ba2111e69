"""Plots of a transfer: accuracy of the arms by set of examples, and what the transfer gains."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from model.reports import plots
from model.reports.plot_style import BLUE, GREEN, GREY, INK, ORANGE, readable, style
from model.transfer import LINEAR, SCRATCH, TRANSFERRED, WORDS
from model.transferring.comparison import Comparison, Figure

LOOKS = {
    SCRATCH: (GREY, "from scratch", 0.26),
    TRANSFERRED: (BLUE, "transferred", 0.13),
    LINEAR: (ORANGE, "TF-IDF + logistic regression", -0.13),
    WORDS: (GREEN, "Word2Vec + logistic regression", -0.26),
}


def draw(folder: Path, comparisons: Sequence[Comparison]) -> list[Path]:
    """Write the plots into `folder` and return their paths."""
    height = 1.9 + 0.62 * len(comparisons)
    with matplotlib.rc_context(style()):
        return [
            plots.save(folder, "transfer_accuracy", lambda a: accuracy(a, comparisons), height),
            plots.save(folder, "transfer_gain", lambda a: gain(a, comparisons), height),
            plots.save(folder, "transfer_bits", lambda a: bits(a, comparisons), height),
        ]


def accuracy(axes: Axes, comparisons: Sequence[Comparison]) -> None:
    """Draw each arm's accuracy with its interval, and chance."""
    for arm, (colour, label, shift) in LOOKS.items():
        had = _having(arm, [one.accuracy for one in comparisons])
        places, found = [index - shift for index, _ in had], [one for _, one in had]
        means = [one.mean for one in found]
        errors = [[one.mean - one.low for one in found], [one.high - one.mean for one in found]]
        axes.errorbar(means, places, xerr=errors, fmt="o", ms=5, color=colour, label=label, lw=1.6,
                      clip_on=False)  # fmt: skip
    chance = [one.chance for one in comparisons]
    axes.scatter(chance, range(len(chance)), marker="|", s=420, color=INK, lw=1, label="chance")
    _rows(axes, comparisons)
    axes.set(title="Accuracy on held-out examples", xlabel="accuracy, 95 % interval", xlim=(0, 1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))


def gain(axes: Axes, comparisons: Sequence[Comparison]) -> None:
    """Draw what the transferred network has over the others."""
    for arm, shift in ((SCRATCH, 0.2), (LINEAR, 0), (WORDS, -0.2)):
        colour, label, _ = LOOKS[arm]
        had = _having(arm, [one.over for one in comparisons])
        found = [one for _, one in had]
        errors = [[one.mean - one.low for one in found], [one.high - one.mean for one in found]]
        axes.errorbar(
            [one.mean for one in found], [index - shift for index, _ in had], xerr=errors,
            fmt="o", ms=5, color=colour, label=f"over {label}", lw=1.6,
        )  # fmt: skip
    axes.axvline(0, color=INK, lw=1)
    _rows(axes, comparisons)
    axes.set(title="What the transfer gains", xlabel="difference in accuracy, 95 % interval")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.0%}"))


def bits(axes: Axes, comparisons: Sequence[Comparison]) -> None:
    """Draw what the right answers cost less after the transfer than from scratch."""
    found = [one.bits_saved for one in comparisons]
    errors = [[one.mean - one.low for one in found], [one.high - one.mean for one in found]]
    places, means = range(len(found)), [one.mean for one in found]
    axes.errorbar(means, places, xerr=errors, fmt="o", ms=5, color=BLUE, lw=1.6,
                  label="from scratch minus transferred")  # fmt: skip
    axes.axvline(0, color=INK, lw=1)
    _rows(axes, comparisons)
    axes.set(title="Bits saved on the right answers", xlabel="bits per byte, 95 % interval")


def _having(arm: str, figures: Sequence[Mapping[str, Figure]]) -> list[tuple[int, Figure]]:
    """Return the figures of an arm with the numbers of the sets that have one."""
    return [(index, found[arm]) for index, found in enumerate(figures) if arm in found]


def _rows(axes: Axes, comparisons: Sequence[Comparison]) -> None:
    labels = [f"{readable(one.name)}\n{one.task}" for one in comparisons]
    axes.set_yticks(range(len(labels)), labels, fontsize=8.5)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.7 / (1 + len(labels))),
                ncols=2)  # fmt: skip
