"""One page with every verdict of a run: opens from disk, needs nothing from outside."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import polars as pl

from expectations.expect import Outcome, Verdict
from expectations.figures import number
from expectations.html_table import breakable, html_table, table_row
from expectations.page_style import STYLE
from expectations.rejects import pairs_table, rejects_table

MEGA = 1_000_000
HEAD = ("figure", "found", "wanted", "why, and what to do")


def render(
    verdicts: Sequence[Verdict],
    funnel: Sequence[Mapping[str, Any]],
    title: str,
    figures: Mapping[str, str],
    typical: Mapping[str, pl.DataFrame],
    pairs: pl.DataFrame | None = None,
) -> str:
    """Return the page as HTML.

    `funnel` holds a row per document stage: stage, documents_in, documents_kept, bytes_kept,
    dropped and quarantined ({name: count}), seconds, reused. `figures` are shown as given,
    `typical` holds rejects by stage, `pairs` duplicates for a person to judge, see
    `expectations.rejects`.
    """
    body = [
        f"<h1>{escape(title)}</h1>",
        _headline(verdicts),
        _figures(figures),
        _funnel(funnel),
        *(_rejects(stage, rows) for stage, rows in typical.items() if len(rows)),
        "" if pairs is None or pairs.is_empty() else _pairs(pairs),
        *(_section(verdict) for verdict in verdicts),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _headline(verdicts: Sequence[Verdict]) -> str:
    stopped = [v.stage for v in verdicts if v.critical_failures]
    warned = [v.stage for v in verdicts if v.failures and not v.critical_failures]
    if stopped:
        kind, text = "failed", f"Stopped by the gate after {', '.join(stopped)}."
    elif warned:
        kind, text = "warned", f"Passed, with warnings after {', '.join(warned)}."
    elif verdicts:
        kind, text = "passed", f"All {len(verdicts)} gates passed."
    else:
        kind, text = "warned", "No gate has been reached."
    return f'<p class="headline {kind}">{escape(text)}</p>'


def _figures(figures: Mapping[str, str]) -> str:
    if not figures:
        return ""
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>"
        for name, value in figures.items()
    )
    return f'<h2>Key figures</h2><dl class="figures">{items}</dl>'


def _funnel(funnel: Sequence[Mapping[str, Any]]) -> str:
    if not funnel:
        return ""
    widest = max(max(int(row["documents_in"]) for row in funnel), 1)
    return "<h2>Funnel</h2>" + "".join(_funnel_row(row, widest) for row in funnel)


def _funnel_row(row: Mapping[str, Any], widest: int) -> str:
    kept, seen = int(row["documents_kept"]), int(row["documents_in"])
    gone = [(name, int(n), "dropped") for name, n in row["dropped"].items()]
    gone += [(name, int(n), "quarantined") for name, n in row["quarantined"].items()]
    chips = "".join(
        f'<span class="chip {kind}" title="{kind}">{escape(name)} {count:,}</span>'
        for name, count, kind in sorted(gone, key=lambda item: -item[1])
    )
    badge = '<span class="badge">reused</span>' if row["reused"] else ""
    return (
        f'<div class="stage"><b>{escape(row["stage"])}</b>{badge}'
        f'<span class="numbers">{kept:,} of {seen:,} documents, '
        f"{row['bytes_kept'] / MEGA:,.2f} MB, {row['seconds']:,.1f} s</span></div>"
        f'<div class="bar"><i class="in" style="width:{100 * seen / widest:.1f}%"></i>'
        f'<i class="kept" style="width:{100 * kept / widest:.1f}%"></i></div>'
        f'<div class="chips">{chips}</div>'
    )


def _rejects(stage: str, typical: pl.DataFrame) -> str:
    return (
        f"<details><summary>Typical rejects of {escape(stage)}, up to five per rule</summary>"
        f"{rejects_table(typical)}</details>"
    )


def _pairs(pairs: pl.DataFrame) -> str:
    return (
        "<details><summary>Near-duplicates to judge: each removed document above the one that "
        f"stands for it, least similar first</summary>{pairs_table(pairs)}</details>"
    )


def _section(verdict: Verdict) -> str:
    kind, word = "passed", "passed"
    if verdict.critical_failures:
        kind, word = "failed", "stopped the run"
    elif verdict.failures:
        kind, word = "warned", f"passed with {len(verdict.failures)} warnings"
    passed = [outcome for outcome in verdict.outcomes if outcome.passed]
    parts = [f'<h2>{escape(verdict.stage)} <span class="badge {kind}">{word}</span></h2>']
    if verdict.failures:
        parts.append(_table(verdict.failures))
    if passed:
        opened = "" if verdict.failures else " open"
        parts.append(
            f"<details{opened}><summary>{len(passed)} expectations met</summary>"
            f"{_table(passed)}</details>"
        )
    return f"<section>{''.join(parts)}</section>"


def _table(outcomes: Sequence[Outcome]) -> str:
    return html_table(HEAD, map(_row, outcomes))


def _row(outcome: Outcome) -> str:
    expect = outcome.expect
    kind = "passed" if outcome.passed else {"critical": "failed"}.get(expect.severity, "warned")
    advice = "" if outcome.passed else f"<p class='next'>{escape(expect.next_step)}</p>"
    figure = f"<code>{breakable(outcome.metric)}</code><small>{escape(expect.severity)}</small>"
    found, wanted = escape(number(outcome.observed)), escape(bounds(outcome))
    return table_row(HEAD, (figure, found, wanted, escape(expect.because) + advice), (1, 2), kind)


def bounds(outcome: Outcome) -> str:
    """Return what was wanted, for people, in signs that Markdown does not take for a quotation."""
    return outcome.expect.wanted().replace(">=", "≥").replace("<=", "≤")
