"""The plot of a promotion: how much worse or better than the champion, slice by slice."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from model.reports.plot_style import BLUE, GREEN, GREY, INK, ORANGE, readable, save, style

COLOURS = {"passed": GREEN, "hold": ORANGE, "reject": "#b3261e", "no bound": GREY}
WORDS = {"passed": "passed", "hold": "for a person", "reject": "rejected", "no bound": "no bound"}
ROWS_MAX = 24  # slices drawn; those with bounds come first
Ledger = Mapping[str, Any]


def draw(folder: Path, ledger: Ledger) -> list[Path]:
    """Write `promotion.png` of a ledger (as JSON) into `folder`; nothing if no text was scored."""
    rows = _rows(ledger)
    if not rows:
        return []
    paint = functools.partial(_paint, ledger, rows)
    with matplotlib.rc_context(style()):
        return [save(folder, "promotion", paint, 2.1 + 0.52 * len(rows))]


def _rows(ledger: Ledger) -> list[tuple[Ledger, Ledger]]:
    """Return slices with their gates, the whole on top, then those with bounds."""
    gates = {gate["name"]: gate for gate in ledger["gates"]}
    rows = []
    for part in ledger["slices"]:
        name = part["kind"] if part["kind"] == "all" else f"{part['kind']} {part['name']}"
        rows.append((part, gates[name]))
    return sorted(rows, key=lambda row: row[1]["verdict"] == "no bound")[:ROWS_MAX]


def _paint(ledger: Ledger, rows: Sequence[tuple[Ledger, Ledger]], axes: Axes) -> None:
    axes.axvline(0, color=INK, lw=1.2, label=f"champion, version {ledger['champion']}")
    shown: set[str] = set()
    for row, (part, gate) in enumerate(rows):
        _paint_bound(axes, row, gate, "bound" not in shown)
        shown |= {"bound"} if gate["worse_max"] is not None else set()
        verdict = gate["verdict"]
        low, high = (part["difference"] if v is None else v for v in (part["low"], part["high"]))
        axes.errorbar(
            part["difference"],
            row,
            xerr=[[max(part["difference"] - low, 0.0)], [max(high - part["difference"], 0.0)]],
            fmt="o",
            ms=6,
            lw=1.8,
            capsize=3,
            color=COLOURS[verdict],
            label=None if verdict in shown else f"version {ledger['challenger']}: {WORDS[verdict]}",
        )
        shown.add(verdict)
    axes.set_yticks(range(len(rows)), [_label(part) for part, _ in rows], fontsize=8.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.08)
    below = (0.5, -0.75 / (1 + len(rows)) - 0.04)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=below, ncols=3, fontsize=8.5)
    axes.set(
        title=f"Version {ledger['challenger']} against the champion: {ledger['verdict']}",
        xlabel="bits per byte more than the champion, same documents; left of the line is better",
    )


def _paint_bound(axes: Axes, row: int, gate: Ledger, is_first: bool) -> None:
    """Shade how much worse the slice may be: the interval must end within it."""
    if gate["worse_max"] is None:
        return
    label = "tolerance: an interval must end left of its edge" if is_first else None
    axes.barh(row, gate["worse_max"], height=0.62, color=BLUE, alpha=0.18, lw=0, label=label)
    axes.vlines(gate["worse_max"], row - 0.31, row + 0.31, color=BLUE, lw=1.4)


def _label(part: Ledger) -> str:
    kinds = {"all": "all text", "lang": "language {}", "source": "source {}"}
    name = kinds[part["kind"]].format(readable(part["name"]))
    figures = f"{part['champion']:.3f} → {part['challenger']:.3f}"
    documents = f"{part['documents']:,} document{'s' * (part['documents'] != 1)}"
    return f"{name}\n{figures}, {documents}"
