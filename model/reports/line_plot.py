"""A small plot of lines over one quantity, as SVG for a page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from model.reports.plot_style import svg

WIDTH_INCHES = 3.6


@dataclass(frozen=True)
class PlotLine:
    """Points joined by a line; those at `dots` are marked, all of them where that is None."""

    label: str
    colour: str
    x: np.ndarray
    y: np.ndarray
    dots: Sequence[int] | None = None


@dataclass(frozen=True)
class LinePlot:
    """What is drawn around the lines; `log_base` None is a linear scale."""

    title: str
    ylabel: str
    xlabel: str = ""
    height_inches: float = 2.3
    log_base: int | None = None
    ticks: Sequence[float] | None = None
    tick_label: Callable[[float], str] = "{:g}".format
    look: dict[str, Any] = field(default_factory=dict)  # matplotlib's settings beside the style


def line_svg(plot: LinePlot, lines: Sequence[PlotLine]) -> str:
    """Return the plot as the text of an <svg> element; equal data give equal text."""
    look = {"font.size": 8, "svg.hashsalt": plot.title, **plot.look}
    return svg(lambda axes: _paint(axes, plot, lines), (WIDTH_INCHES, plot.height_inches), look)


def _paint(axes: Axes, plot: LinePlot, lines: Sequence[PlotLine]) -> None:
    for line in lines:
        if line.dots is None:
            axes.plot(line.x, line.y, "o-", ms=3.5, lw=1.4, color=line.colour, label=line.label)
            continue
        axes.plot(line.x, line.y, color=line.colour, lw=1.4, label=line.label)
        dots = list(line.dots)
        axes.plot(line.x[dots], line.y[dots], "o", color=line.colour, ms=4)
    if plot.log_base is not None:
        axes.set_xscale("log", base=plot.log_base)
        if plot.ticks is not None:
            axes.set_xticks(plot.ticks)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plot.tick_label(value)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(title=plot.title, ylabel=plot.ylabel)
    if plot.xlabel:
        axes.set_xlabel(plot.xlabel)
    axes.legend(frameon=False, fontsize=7)
