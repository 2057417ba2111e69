"""The look that all plots share: colours, fonts, numbers and names; and how they become files."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.store import storage

INK, GRID = "#22303c", "#d9dee3"
# Told apart by people who see colours differently (Okabe & Ito 2008), then by the line's dashes.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#22303c")
DASHES = ("-", "--", ":", "-.")
BLUE, ORANGE, GREEN, GREY = "#2f6db3", "#d9742b", "#3c8c5a", "#b9c2cb"
# First installed one with Chinese glyphs is used behind the default font.
CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "SimHei",
    "Droid Sans Fallback",
    "Arial Unicode MS",
)
DOTS_PER_INCH = 130
BARS = 24  # slices shown; the rest would not be readable
Row = dict[str, Any]


def style() -> Any:  # matplotlib types every key as a literal
    """Return the look that all plots share, for `matplotlib.rc_context`."""
    fonts = ["DejaVu Sans", chinese_font()]
    return {
        "font.family": [font for font in fonts if font],
        "font.size": 10,
        "axes.titlesize": 13,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GRID,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.xmargin": 0.02,
        "grid.color": GRID,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }


def readable(name: str) -> str:
    """Return `name` cut to fit, with characters escaped that no installed font can draw."""
    name = name if len(name) <= 40 else name[:39] + "…"
    if chinese_font() is None:
        return name.encode("ascii", "backslashreplace").decode()
    return name.replace("$", r"\$")  # a pair of $ would start a formula


def chinese_font() -> str | None:
    """Return the name of an installed font with Chinese glyphs."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in CHINESE_FONTS if name in installed), None)


def save(folder: Path, name: str, paint: Callable[[Axes], None], height_inches: float) -> Path:
    """Write what `paint` draws as a PNG into `folder` and return its path."""
    figure = Figure(figsize=(8.4, height_inches))  # Agg, without pyplot's process-wide state
    paint(figure.add_subplot())
    path = storage.inside(folder, f"{name}.png")
    with storage.whole_file(path) as temporary:
        figure.savefig(
            temporary, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight", facecolor="white"
        )
    return path


def svg(
    paint: Callable[[Axes], None], size_inches: tuple[float, float], look: Mapping[str, Any]
) -> str:
    """Return what `paint` draws as the text of an <svg> element.

    `look` holds matplotlib's settings beside the style; 'svg.hashsalt' makes equal plots equal
    text.
    """
    settings = style()
    settings.update(look)
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=size_inches, layout="constrained")
        paint(figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
