"""Training and evaluation of a snapshot as charts and lines of a report."""

from collections.abc import Mapping, Sequence
from typing import Any

from flows.reports.run_page.changes import FINER, PROBES
from flows.reports.run_page.charts import (
    ChartAxes,
    ChartLine,
    IntervalRow,
    Mark,
    intervals,
    line_chart,
)
from flows.reports.run_page.words import ReportWords

BASELINES = ("unigram", "ngram", "ppmd", "xz")  # before _bits_per_byte
# What a probe is at when it found nothing, by the beginning of the figure's name.
NOTHING = {"memorisation.": 0.0, "toxicity.": 0.0, "bias.preference": 0.5}
STEP, TOKENS, LOSS, HELD_OUT, RATE = range(5)  # columns of a curve


def training_charts(training: Mapping[str, Any], words: ReportWords) -> list[dict[str, Any]]:
    """Return the charts of a training: loss, by source, learning rate, speed."""
    curve = training["curve"]
    nats = ChartAxes(words("axis.tokens"), words("axis.nats"), log_x=True)
    held_out = [(row[TOKENS], row[HELD_OUT]) for row in curve if row[HELD_OUT] is not None]
    loss = [
        ChartLine(words("loss.train"), [(row[TOKENS], row[LOSS]) for row in curve]),
        ChartLine(words("loss.held_out"), held_out, marked=len(held_out) <= 40),
    ]
    rates = [ChartLine(words("rate"), [(row[TOKENS], row[RATE]) for row in curve])]
    speed = [ChartLine(words("speed"), training["speed"])]
    sources = [ChartLine(name, points) for name, points in training["source_losses"].items()]
    wanted = (
        ("loss", loss, nats),
        ("by_source", sources, nats),
        ("rate", rates, ChartAxes(words("axis.tokens"), words("axis.rate"), from_zero=True)),
        ("speed", speed, ChartAxes(words("axis.tokens"), words("axis.speed"), from_zero=True)),
    )
    charts = []
    for key, lines, axes in wanted:
        drawn = line_chart(lines, axes)
        if drawn is not None:
            charts.append({**drawn, "title": words(key), "caption": words(f"{key}.caption")})
    return charts


def evaluation_view(evaluation: Mapping[str, Any], words: ReportWords) -> dict[str, Any]:
    """Return slices with their places on one line, and which baselines there are."""
    slices: list[Mapping[str, Any]] = []
    for row in evaluation["slices"]:
        same = (row["bits_per_byte"], row["documents"], row["kind"] == "all")
        if any(same[:2] == (r["bits_per_byte"], r["documents"]) for r in slices):
            continue  # one language or one source: the same documents once more
        slices.append(row)
    baselines = [n for n in BASELINES if any(_baseline(row, n) is not None for row in slices)]
    places = intervals(
        [
            IntervalRow(
                row["bits_per_byte"],
                row["bits_per_byte_low"],
                row["bits_per_byte_high"],
                [Mark(_baseline(row, n), n) for n in baselines if _baseline(row, n) is not None],
            )
            for row in slices
        ]
    )
    return {
        "slices": [
            {**row, "place": place, "title": slice_name(row["name"], words)}
            for row, place in zip(slices, places, strict=True)
        ],
        "baselines": baselines,
    }


def _baseline(row: Mapping[str, Any], name: str) -> Any:
    return row[f"{name}_bits_per_byte"]


def slice_name(name: str, words: ReportWords) -> str:
    """Return what a slice of text is called: a language or source by its own name."""
    return words("all") if name == "all" else name


def champion_view(champion: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return a promotion's ledger with the places of its differences on one line."""
    if champion is None:
        return None
    gates = {gate["name"]: gate for gate in champion["gates"]}
    rows = champion["slices"]
    places = intervals(
        [IntervalRow(row["difference"], row["low"], row["high"]) for row in rows], bounds=(0.0,)
    )
    slices = [
        {**row, "place": place, "verdict": gates.get(_gate_name(row), {}).get("verdict", "")}
        for row, place in zip(rows, places, strict=True)
    ]
    shown = {_gate_name(row) for row in rows}
    others = [
        gate
        for gate in champion["gates"]
        if gate["name"] not in shown and gate["verdict"] != "passed"
    ]
    return {**champion, "slices": slices, "others": others}


def _gate_name(row: Mapping[str, Any]) -> str:
    return row["kind"] if row["kind"] == "all" else f"{row['kind']} {row['name']}"


def figure_views(evaluation: Mapping[str, Any] | None, words: ReportWords) -> dict[str, Any]:
    """Return figures of tasks and of probes that found something, and the names of the rest."""
    figures = evaluation["figures"] if evaluation else []
    rows = [row for row in figures if not row["name"].startswith(FINER)]
    probes = [row for row in rows if row["name"].startswith(PROBES)]
    tasks = [row for row in rows if row["name"].startswith("task.")]
    return {
        "tasks": _placed(tasks),
        "probes": _placed([row for row in probes if not is_nothing(row)]),
        "nothing": _nothing(probes, words),
    }


def is_nothing(row: Mapping[str, Any]) -> bool:
    """Tell whether a probe's figure is what a probe is at that found nothing."""
    return any(
        row["name"].startswith(start) and row["value"] == at for start, at in NOTHING.items()
    )


def _placed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    places = intervals(
        [IntervalRow(row["value"], row["low"], row["high"]) for row in rows], bounds=(0.0, 1.0)
    )
    return [{**row, "place": place} for row, place in zip(rows, places, strict=True)]


def _nothing(probes: Sequence[Mapping[str, Any]], words: ReportWords) -> str:
    """Name the probes none of whose figures found anything, with their examples."""
    told = []
    for start in PROBES:
        own = [row for row in probes if row["name"].startswith(start)]
        if own and all(is_nothing(row) for row in own):
            most = words("examples_up_to", count=f"{max(row['examples'] for row in own):,}")
            told.append(f"{words('probe.' + start.rstrip('.'))} ({most})")
    return ", ".join(told)
