"""Two runs side by side: what differs in settings, text and figures, and on equal documents."""

from collections.abc import Mapping, Sequence
from typing import Any

from expectations import html
from flows.reports.run_page.charts import IntervalRow, intervals
from flows.reports.run_page.page import TEMPLATES, differences, tools
from flows.reports.run_page.words import ReportWords


def render(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    paired: Sequence[Mapping[str, Any]],
    language: str,
) -> str:
    """Return the page; `paired` are differences on the same documents, second less first."""
    words = ReportWords(language)
    places = intervals(
        [IntervalRow(row["difference"], row["low"], row["high"]) for row in paired], bounds=(0.0,)
    )
    funnels = [{row["stage"]: row for row in run["funnel"]} for run in (first, second)]
    return html.render(
        "comparison.html",
        TEMPLATES,
        **tools(words),
        first=first,
        second=second,
        names=[f"{run['name']}/{run['number']}" for run in (first, second)],
        changes=differences(first, second, words),
        paired=[{**row, "place": place} for row, place in zip(paired, places, strict=True)],
        funnels=funnels,
        stages=list(dict.fromkeys([*funnels[0], *funnels[1]])),
    )
