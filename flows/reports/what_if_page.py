"""The page of `textmill what-if`: what would be kept as each threshold moves."""

from pathlib import Path

import polars as pl

from expectations import html
from expectations.rejects import COLUMNS, NUMBERS, TEXTS, reject_rows
from model.reports.line_plot import LinePlot, PlotLine, line_svg
from model.reports.plot_style import BLUE, GREEN, ORANGE
from pipeline.reject_samples import typical_rejects
from pipeline.store.artifact import Artifact

TEMPLATES = Path(__file__).with_name("templates")
COLOURS = (BLUE, ORANGE, GREEN, "#8a5ab5", "#b03a48", "#5c6b73")
LEAST_EFFECT = 0.0005  # a rule that moves less than this anywhere gets no plot
COST_HEAD = ("rule", "language", "documents", "bound", "kept now", "kept without it")


def what_if_page(artifact: Artifact, profile: str, swept: pl.DataFrame) -> str:
    """Return the page as HTML: plots of the rules that matter, a table, typical rejects."""
    return html.render(
        "what_if.html",
        TEMPLATES,
        title=f"What if: {profile} on {artifact.path.name}",
        plots=_plots(swept, _rules_that_matter(swept)),
        costs=cost_rows(rule_costs(swept)),
        rejects=[list(row.values()) for row in reject_rows(typical_rejects(artifact))],
        COST_HEAD=COST_HEAD,
        REJECT_COLUMNS=COLUMNS,
        NUMBERS=NUMBERS,
        TEXTS=TEXTS,
    )


def rule_costs(swept: pl.DataFrame) -> pl.DataFrame:
    """One row per rule and group: bound, share kept now, share kept without the rule, its cost."""
    now = swept.filter("current").with_columns(cost=pl.col("kept_if_off") - pl.col("kept_share"))
    return now.select(
        "rule", "group", "documents", "threshold", "kept_share", "kept_if_off", "cost"
    ).sort(["cost", "rule", "group"], descending=[True, False, False])


def _rules_that_matter(swept: pl.DataFrame) -> list[str]:
    span = pl.col("kept_share").max() - pl.col("kept_share").min()
    moved = swept.group_by("rule", "group", maintain_order=True).agg(span=span)
    return moved.filter(pl.col("span") > LEAST_EFFECT)["rule"].unique(maintain_order=True).to_list()


def _plots(swept: pl.DataFrame, rules: list[str]) -> list[str]:
    """Return a plot per rule."""
    colours = dict(zip(swept["group"].unique(maintain_order=True), COLOURS * 9, strict=False))
    return [_plot(swept.filter(pl.col("rule") == rule), colours) for rule in rules]


def _plot(rows: pl.DataFrame, colours: dict[str, str]) -> str:
    rule, lines = rows["rule"][0], []
    for (group,), line in rows.group_by("group", maintain_order=True):
        name, kept = str(group), 100 * line["kept_share"].to_numpy()
        current = line["current"].arg_true().to_list()
        lines.append(PlotLine(name, colours[name], line["threshold"].to_numpy(), kept, current))
    counts = rows["threshold"].to_numpy().max() > 1.5  # spread over decades
    look = {"axes.titlesize": 9}
    return line_svg(LinePlot(rule, "kept, %", log_base=10 if counts else None, look=look), lines)


def cost_rows(costs: pl.DataFrame) -> list[list[str]]:
    """Return the rows of `rule_costs` as strings under COST_HEAD."""
    return [
        [
            row["rule"],
            row["group"],
            f"{row['documents']:,}",
            f"{row['threshold']:g}",
            f"{row['kept_share']:.2%}",
            f"{row['kept_if_off']:.2%}",
        ]
        for row in costs.iter_rows(named=True)
    ]
