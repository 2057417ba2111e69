"""Several trainings side by side: one row each, figures over seeds, two plots."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from model.reports.markdown import counted, markdown_table
from model.reports.plot_style import COLOURS, DASHES, INK, Row, save, style
from model.reports.plots import token_axis

FIGURES = ("validation_loss", "bits_per_byte", "loss", "tokens_per_second", "tokens")
HEADINGS = ("variant", "validation loss", "bits per byte", "tokens per second", "tokens", "seeds")


@dataclass(frozen=True)
class Trained:
    """One training: what it was called, with which seed, its curve, its figures; or why it failed.

    `figures` has entries of FIGURES, those that could be measured; `slices` bits per byte of all
    held-out text, its languages and sources, by the names that settings give them.
    """

    name: str
    seed: int
    curve: Sequence[Row] = ()
    figures: dict[str, float] = field(default_factory=dict)
    slices: dict[str, float] = field(default_factory=dict)
    failed: str | None = None


@dataclass(frozen=True)
class Line:
    """A row of the table: a variant's means over its seeds, spreads as standard deviations."""

    name: str
    seeds: int
    means: dict[str, float]
    spreads: dict[str, float]
    failed: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the row for files and scripts."""
        spreads = {f"{key}_sd": value for key, value in self.spreads.items()}
        about = {"variant": self.name, "seeds": self.seeds, "failed": self.failed}
        return about | self.means | spreads


def lines(trained: Sequence[Trained]) -> list[Line]:
    """Return a row per variant, lowest validation loss first, failed ones last."""
    names = list(dict.fromkeys(training.name for training in trained))
    all_lines = [
        _line(name, [training for training in trained if training.name == name]) for name in names
    ]
    return sorted(all_lines, key=lambda line: line.means.get("validation_loss", math.inf))


def _line(name: str, runs: Sequence[Trained]) -> Line:
    good = [run for run in runs if run.failed is None]
    means, spreads = {}, {}
    for figure in FIGURES:
        values = [run.figures[figure] for run in good if figure in run.figures]
        if values:
            means[figure] = statistics.fmean(values)
        if len(values) > 1:
            spreads[figure] = statistics.stdev(values)
    failed = next((run.failed for run in runs if run.failed is not None), None)
    return Line(name, len(good), means, spreads, failed)


def cells(line: Line) -> list[str]:
    """Return a row as text under HEADINGS."""
    if not line.means:
        return [line.name, f"failed: {line.failed}", "", "", "", str(line.seeds)]
    also = "" if line.failed is None else " (others failed)"
    return [
        line.name,
        _with_spread(line, "validation_loss"),
        _with_spread(line, "bits_per_byte"),
        counted(line.means["tokens_per_second"]) if "tokens_per_second" in line.means else "",
        counted(line.means["tokens"]),
        f"{line.seeds}{also}",
    ]


def _with_spread(line: Line, figure: str) -> str:
    if figure not in line.means:
        return ""
    spread = f" ± {line.spreads[figure]:.4f}" if figure in line.spreads else ""
    return f"{line.means[figure]:.4f}{spread}"


def markdown(rows: Sequence[Line]) -> str:
    """Return the table in Markdown."""
    return markdown_table(HEADINGS, map(cells, rows)) + "\n"


def draw(folder: Path, trained: Sequence[Trained]) -> list[Path]:
    """Write `compare_loss.png` and `compare_final.png` into `folder`; return their paths."""
    rows = [line for line in lines(trained) if line.means]
    if not rows:
        return []
    with matplotlib.rc_context(style()):
        return [
            save(folder, "compare_loss", lambda axes: curves(axes, trained, rows), 5.0),
            save(folder, "compare_final", lambda axes: finals(axes, rows), 1.6 + 0.4 * len(rows)),
        ]


def curves(axes: Axes, trained: Sequence[Trained], rows: Sequence[Line]) -> None:
    """Draw the loss over tokens of every training, a colour per variant, best first.

    On held-out text, or on training text where that was measured less than twice in a run.
    """
    drawn = [
        training
        for training in trained
        if training.curve and any(training.name == line.name for line in rows)
    ]
    held_out = all(len(_points(training, "validation_loss")) > 1 for training in drawn)
    column = "validation_loss" if held_out else "loss"
    for position, line in enumerate(rows):
        for number, run in enumerate(training for training in drawn if training.name == line.name):
            axes.plot(
                *zip(*_points(run, column), strict=True),
                color=_colour(position),
                ls=_dash(position),
                lw=1.6,
                marker="o",
                ms=3,
                label=line.name if number == 0 else None,
            )
    text = "held-out" if held_out else "training"
    axes.set(title="Loss at equal tokens", ylabel=f"{text} text, nats per token")
    token_axis(axes, log=True)
    axes.legend(frameon=False)


def _points(run: Trained, column: str) -> list[tuple[int, float]]:
    """Return (tokens, loss) wherever a loss was measured."""
    return [(row["tokens"], row[column]) for row in run.curve if row[column] is not None]


def finals(axes: Axes, rows: Sequence[Line]) -> None:
    """Draw each variant's last loss with its spread over seeds, best on top."""
    losses = [line.means.get("validation_loss", line.means["loss"]) for line in rows]
    spreads = [line.spreads.get("validation_loss", 0.0) for line in rows]
    places = range(len(rows))
    axes.hlines(
        places, min(losses), losses, color=[_colour(position) for position in places], lw=1.2
    )
    for position in places:
        axes.errorbar(
            losses[position],
            position,
            xerr=spreads[position] or None,
            color=_colour(position),
            fmt="o",
            capsize=3,
        )
        axes.annotate(
            f"{losses[position]:.3f}",
            (losses[position], position),
            (6, 6),
            textcoords="offset points",
            color=INK,
            fontsize=9,
        )
    axes.set_yticks(list(places), [line.name for line in rows])
    axes.invert_yaxis()
    axes.margins(x=0.08, y=0.15)
    axes.set(title="Loss after the last token, lower is better", xlabel="nats per token")


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _dash(index: int) -> str:
    return DASHES[index // len(COLOURS) % len(DASHES)]
