"""One page with every verdict of a run: opens from disk, needs nothing from outside."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from expectations import html
from expectations.expect import Outcome, Verdict
from expectations.figures import number
from expectations.rejects import COLUMNS, NUMBERS, PAIR_COLUMNS, TEXTS, pair_rows, reject_rows

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
    widest = max([1, *(int(row["documents_in"]) for row in funnel)])
    return html.render(
        "gates.html",
        title=title,
        headline=_headline(verdicts),
        figures=figures,
        funnel=[_funnel_row(row, widest) for row in funnel],
        typical={
            stage: [list(row.values()) for row in reject_rows(rejects)]
            for stage, rejects in typical.items()
            if len(rejects)
        },
        pairs=[] if pairs is None else [list(row.values()) for row in pair_rows(pairs)],
        verdicts=[_section(verdict) for verdict in verdicts],
        HEAD=HEAD,
        REJECT_COLUMNS=COLUMNS,
        PAIR_COLUMNS=PAIR_COLUMNS,
        NUMBERS=NUMBERS,
        TEXTS=TEXTS,
    )


def _headline(verdicts: Sequence[Verdict]) -> dict[str, str]:
    stopped = [v.stage for v in verdicts if v.critical_failures]
    warned = [v.stage for v in verdicts if v.failures and not v.critical_failures]
    if stopped:
        return {"kind": "failed", "text": f"Stopped by the gate after {', '.join(stopped)}."}
    if warned:
        return {"kind": "warned", "text": f"Passed, with warnings after {', '.join(warned)}."}
    if verdicts:
        return {"kind": "passed", "text": f"All {len(verdicts)} gates passed."}
    return {"kind": "warned", "text": "No gate has been reached."}


def _funnel_row(row: Mapping[str, Any], widest: int) -> dict[str, Any]:
    kept, seen = int(row["documents_kept"]), int(row["documents_in"])
    gone = [(name, int(n), "dropped") for name, n in row["dropped"].items()]
    gone += [(name, int(n), "quarantined") for name, n in row["quarantined"].items()]
    size, seconds = f"{row['bytes_kept'] / MEGA:,.2f} MB", f"{row['seconds']:,.1f} s"
    return {
        "name": row["stage"],
        "reused": row["reused"],
        "numbers": f"{kept:,} of {seen:,} documents, {size}, {seconds}",
        "seen_percent": f"{100 * seen / widest:.1f}",
        "kept_percent": f"{100 * kept / widest:.1f}",
        "chips": [
            {"kind": kind, "text": f"{name} {count:,}"}
            for name, count, kind in sorted(gone, key=lambda item: -item[1])
        ],
    }


def _section(verdict: Verdict) -> dict[str, Any]:
    kind, word = "passed", "passed"
    if verdict.critical_failures:
        kind, word = "failed", "stopped the run"
    elif verdict.failures:
        kind, word = "warned", f"passed with {len(verdict.failures)} warnings"
    passed = [outcome for outcome in verdict.outcomes if outcome.passed]
    return {
        "stage": verdict.stage,
        "kind": kind,
        "word": word,
        "failed": [_outcome(outcome) for outcome in verdict.failures],
        "passed": [_outcome(outcome) for outcome in passed],
    }


def _outcome(outcome: Outcome) -> dict[str, str]:
    expect = outcome.expect
    failed = {"critical": "failed"}.get(expect.severity, "warned")
    return {
        "kind": "passed" if outcome.passed else failed,
        "metric": outcome.metric,
        "severity": expect.severity,
        "found": number(outcome.observed),
        "wanted": bounds(outcome),
        "because": expect.because,
        "next_step": "" if outcome.passed else expect.next_step,
    }


def bounds(outcome: Outcome) -> str:
    """Return what was wanted, for people, in signs that Markdown does not take for a quotation."""
    return outcome.expect.wanted().replace(">=", "≥").replace("<=", "≤")
