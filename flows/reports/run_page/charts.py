"""Geometry of the charts of a page; templates draw it as SVG, in the page's own colours.

Drawn by hand rather than by matplotlib: a chart is about 1 kB instead of 23 kB, its words
are text (any script, any zoom, read aloud), and it follows the page into the dark and onto paper.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.reports.markdown import counted

WIDTH, HEIGHT = 360, 200  # of a chart, in the pixels of a narrow phone
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 34
TICKS = 4
COLOURS = 6  # classes s0 to s5 of the style


@dataclass(frozen=True)
class ChartLine:
    """Points (x, y) joined by a line; marked if they are few and measured apart."""

    label: str
    points: Sequence[tuple[float, float]]
    marked: bool = False


@dataclass(frozen=True)
class ChartAxes:
    """Words of the axes; `log_x` for tokens over several decades, `from_zero` for what has one."""

    x: str
    y: str
    log_x: bool = False
    from_zero: bool = False


def line_chart(lines: Sequence[ChartLine], axes: ChartAxes) -> dict[str, Any] | None:
    """Return paths, dots, ticks and legend; None where there are not two points to join."""
    lines = [_finite(line, axes.log_x) for line in lines]
    lines = [line for line in lines if line.points]
    across = [x for line in lines for x, _ in line.points]
    up = [y for line in lines for _, y in line.points]
    if len(set(across)) < 2:
        return None
    low, high = (0.0 if axes.from_zero else min(up)), max(up)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    y_ticks = ticks(low, high)
    low, high = min(low, y_ticks[0]), max(high, y_ticks[-1])
    x_scale = _Scale(min(across), max(across), LEFT, WIDTH - RIGHT, axes.log_x)
    y_scale = _Scale(low, high, HEIGHT - BOTTOM, TOP)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "bottom": HEIGHT - BOTTOM,
        "x_label": axes.x,
        "y_label": axes.y,
        "x_ticks": [(round(x_scale(x), 1), counted(x)) for x in x_scale.ticks()],
        "y_ticks": [
            (round(y_scale(y), 1), counted(y) if y_ticks[-1] >= 1000 else f"{y:.6g}")
            for y in y_ticks
        ],
        "lines": [
            {
                "colour": f"s{number % COLOURS}",
                "label": line.label,
                "last": line.points[-1][1],
                "path": "M"
                + "L".join(f"{x_scale(x):.1f} {y_scale(y):.1f}" for x, y in line.points),
                "dots": [(round(x_scale(x), 1), round(y_scale(y), 1)) for x, y in line.points]
                if line.marked
                else [],
            }
            for number, line in enumerate(lines)
        ],
    }


def _finite(line: ChartLine, log_x: bool) -> ChartLine:
    points = [
        (x, y)
        for x, y in line.points
        if math.isfinite(x) and math.isfinite(y) and (x > 0 or not log_x)
    ]
    return ChartLine(line.label, points, line.marked)


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def ticks(self) -> list[float]:
        inside = log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high)
        inside = [value for value in inside if self.low <= value <= self.high]
        if len(inside) < 2:
            inside = [v for v in ticks(self.low, self.high) if self.low <= v <= self.high]
        return inside


def ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Return round values that cover a range, about `count` steps apart."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round values within a range for a logarithmic scale, five at most."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        values = [f * 10.0**d for d in decades for f in factors if low <= f * 10.0**d <= high]
        if len(values) <= TICKS + 1:
            return values or [low, high]
    return values[:: -(-len(values) // TICKS)]


@dataclass(frozen=True)
class Mark:
    """A value on an interval's line that is not the figure itself, such as a baseline."""

    value: float
    kind: str


@dataclass(frozen=True)
class IntervalRow:
    """A figure with its interval and marks on the same line."""

    value: float
    low: float | None = None
    high: float | None = None
    marks: Sequence[Mark] = ()


def intervals(rows: Sequence[IntervalRow], bounds: Sequence[float] = ()) -> list[dict[str, Any]]:
    """Return each row's places in per cent of the width, all on one scale that holds `bounds`."""
    values = [*bounds]
    for row in rows:
        values += [v for v in (row.value, row.low, row.high) if v is not None]
        values += [mark.value for mark in row.marks]
    values = [value for value in values if math.isfinite(value)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    scale = _Scale(low, high if high > low else low + 1, 4, 96)

    def place(value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else round(scale(value), 2)

    return [
        {
            "at": place(row.value),
            "low": place(row.low),
            "high": place(row.high),
            "marks": [{"at": place(mark.value), "kind": mark.kind} for mark in row.marks],
            "zero": place(0.0) if low < 0 < high else None,
        }
        for row in rows
    ]
