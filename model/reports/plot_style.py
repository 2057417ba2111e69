"""The look that all plots share: colours, fonts, numbers and names as people read them."""

from typing import Any

from matplotlib import font_manager

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


def counted(value: float, _: object = None) -> str:
    """Return a count in short form: 1.5M, 20k."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
