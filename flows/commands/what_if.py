"""`textmill what-if`: what a clean corpus would keep as each threshold moves, drawn and printed."""

import io
from argparse import Namespace
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from rich.table import Table

from expectations.html_table import breakable, html_table, table_row
from expectations.page_style import STYLE
from expectations.rejects import rejects_table
from flows import config
from flows.config import Recipe
from flows.reports.terminal import stdout
from model.reports.plot_style import BLUE, GREEN, ORANGE, style
from pipeline.cleaning import profiles
from pipeline.cleaning.threshold_sweep import sweep
from pipeline.reject_samples import typical_rejects
from pipeline.store import storage
from pipeline.store.artifact import Artifact, load_artifact

COLOURS = (BLUE, ORANGE, GREEN, "#8a5ab5", "#b03a48", "#5c6b73")
LEAST_EFFECT = 0.0005  # a rule that moves less than this anywhere gets no plot


def what_if(options: Namespace) -> dict[str, Any] | None:
    """Print what each rule costs now and write a page with the whole sweep."""
    artifact = load_artifact(Path(options.artifact), contract="clean")
    recipe = config.override(Recipe(), options.overrides)
    made = artifact.manifest["inputs"]["config"]
    profile = options.profile or made["profile"]
    table = profiles.thresholds(profile, recipe.clean.thresholds, recipe.clean.switched_off)
    profiles.refuse_unmeasured(table, made, str(artifact.path))
    if options.rule:
        table = {rule: groups for rule, groups in table.items() if rule in options.rule}
    swept = sweep(artifact, table)
    page = Path(options.out or f"{artifact.path}.what-if.html")
    storage.write_bytes(page, render(artifact, profile, swept).encode())
    costs = rule_costs(swept)
    if options.json:
        return {"profile": profile, "page": str(page), "rules": costs.to_dicts()}
    stdout().print(_terminal_table(costs, profile))
    stdout().print(f"\nEvery rule as its threshold moves: {page}", soft_wrap=True)
    return None


def rule_costs(swept: pl.DataFrame) -> pl.DataFrame:
    """One row per rule and group: bound, share kept now, share kept without the rule, its cost."""
    now = swept.filter("current").with_columns(cost=pl.col("kept_if_off") - pl.col("kept_share"))
    return now.select(
        "rule", "group", "documents", "threshold", "kept_share", "kept_if_off", "cost"
    ).sort(["cost", "rule", "group"], descending=[True, False, False])


def _terminal_table(costs: pl.DataFrame, profile: str) -> Table:
    table = Table(
        "rule", "language", "documents", "bound", "kept now", "kept without it",
        title=f"What each rule of {profile!r} costs, all others as they are",
        title_justify="left", header_style="dim", box=None,
    )  # fmt: skip
    for row in costs.filter(pl.col("cost") > 0).iter_rows(named=True):
        table.add_row(
            row["rule"], row["group"], f"{row['documents']:,}", f"{row['threshold']:g}",
            f"{row['kept_share']:.2%}", f"{row['kept_if_off']:.2%}",
        )  # fmt: skip
    return table


def render(artifact: Artifact, profile: str, swept: pl.DataFrame) -> str:
    """Return the page as HTML: plots of the rules that matter, a table, typical rejects."""
    rules = _rules_that_matter(swept)
    plots = _plots(swept, rules) if rules else "<p>No rule drops anything within its range.</p>"
    title = f"What if: {profile} on {artifact.path.name}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>"
        f"<h1>{escape(title)}</h1><p>Share of a language's documents that is kept as one bound "
        "moves and all other rules stay. Dots mark the bounds in force; no text was read.</p>"
        f"{plots}<h2>What each rule costs</h2>{_costs_table(rule_costs(swept))}"
        f"<h2>Typical rejects</h2>{rejects_table(typical_rejects(artifact))}</main></body></html>\n"
    )


def _rules_that_matter(swept: pl.DataFrame) -> list[str]:
    span = pl.col("kept_share").max() - pl.col("kept_share").min()
    moved = swept.group_by("rule", "group", maintain_order=True).agg(span=span)
    return moved.filter(pl.col("span") > LEAST_EFFECT)["rule"].unique(maintain_order=True).to_list()


def _plots(swept: pl.DataFrame, rules: list[str]) -> str:
    """Return a plot per rule, side by side as far as there is room."""
    colours = dict(zip(swept["group"].unique(maintain_order=True), COLOURS * 9, strict=False))
    drawn = (_svg(swept.filter(pl.col("rule") == rule), colours) for rule in rules)
    return f'<div class="plots">{"".join(drawn)}</div>'


def _svg(rows: pl.DataFrame, colours: dict[str, str]) -> str:
    look = {**style(), "axes.titlesize": 9, "font.size": 8, "svg.hashsalt": rows["rule"][0]}
    with matplotlib.rc_context(look):
        figure = Figure(figsize=(3.6, 2.3), layout="constrained")
        _paint(figure.subplots(), rows, colours)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _paint(axes: Axes, rows: pl.DataFrame, colours: dict[str, str]) -> None:
    for (group,), line in rows.group_by("group", maintain_order=True):
        name = str(group)
        bound, kept = line["threshold"].to_numpy(), 100 * line["kept_share"].to_numpy()
        axes.plot(bound, kept, color=colours[name], lw=1.4, label=name)
        now = line["current"].to_numpy()
        axes.plot(bound[now], kept[now], "o", color=colours[name], ms=4)
    if rows["threshold"].max() > 1.5:  # type: ignore[operator] # counts spread over decades
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(title=rows["rule"][0], ylabel="kept, %")
    axes.legend(frameon=False, fontsize=7)


def _costs_table(costs: pl.DataFrame) -> str:
    head = ("rule", "language", "documents", "bound", "kept now", "kept without it")
    rows = (
        table_row(
            head,
            (f"<code>{breakable(row['rule'])}</code>", escape(row["group"]),
             f"{row['documents']:,}", f"{row['threshold']:g}", f"{row['kept_share']:.2%}",
             f"{row['kept_if_off']:.2%}"),
            range(2, 6),
        )
        for row in costs.iter_rows(named=True)
    )  # fmt: skip
    return html_table(head, rows)
