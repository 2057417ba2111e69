"""Plots of means with their intervals: a row per set of examples, a colour per method."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from model.reports.plot_style import INK, save, style, svg

SVG_WIDTH_INCHES = 5.2


@dataclass(frozen=True)
class IntervalSeries:
    """One method's means; `rows` says at which height each stands, 0 the uppermost row."""

    label: str
    colour: str
    rows: Sequence[float]
    means: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]


@dataclass(frozen=True)
class IntervalPlot:
    """A plot and the name of its file."""

    name: str
    title: str
    xlabel: str
    row_names: Sequence[str]  # the first one on top
    series: Sequence[IntervalSeries]
    chances: Sequence[float] = ()  # what guessing comes to in each row, where values are shares
    tick_format: str | None = None


def draw(folder: Path, plots: Sequence[IntervalPlot]) -> list[Path]:
    """Write each plot as a PNG into `folder` and return their paths."""
    with matplotlib.rc_context(style()):
        return [
            save(folder, plot.name, functools.partial(_paint, plot), _height_inches(plot))
            for plot in plots
        ]


def interval_svg(plot: IntervalPlot) -> str:
    """Return a plot as the text of an <svg> element, narrow enough to stand beside others."""
    look = {"svg.hashsalt": plot.name, "axes.titlesize": 9}
    size = (SVG_WIDTH_INCHES, _height_inches(plot))
    return svg(functools.partial(_paint, plot), size, look)


def _height_inches(plot: IntervalPlot) -> float:
    return 1.9 + 0.62 * len(plot.row_names)


def _paint(plot: IntervalPlot, axes: Axes) -> None:
    for series in plot.series:
        low = [mean - low for mean, low in zip(series.means, series.lows, strict=True)]
        high = [high - mean for mean, high in zip(series.means, series.highs, strict=True)]
        axes.errorbar(
            series.means,
            series.rows,
            xerr=[low, high],
            fmt="o",
            ms=5,
            color=series.colour,
            label=series.label,
            lw=1.6,
            clip_on=not plot.chances,  # a share of 0 or 1 stands on the edge
        )
    if plot.chances:
        rows = range(len(plot.chances))
        axes.scatter(plot.chances, rows, marker="|", s=420, color=INK, lw=1, label="chance")
        axes.set_xlim(0, 1)
    else:
        axes.axvline(0, color=INK, lw=1)
    count = len(plot.row_names)
    axes.set_yticks(range(count), plot.row_names, fontsize=8.5)
    axes.set_ylim(count - 0.4, -0.6)
    below = (0.5, -0.7 / (1 + count))
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=below, ncols=2)
    axes.set(title=plot.title, xlabel=plot.xlabel)
    if plot.tick_format:
        spec = plot.tick_format
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format(value, spec)))
