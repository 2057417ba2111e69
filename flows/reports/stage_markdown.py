"""What a stage's run looks like in Prefect, as Markdown: ledger, reasons of its gate, funnel."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from expectations.expect import Verdict
from expectations.page import bounds
from flows.reports.summary import data_lines, funnel, reasons
from pipeline.stage import StageRun

MARKDOWN_SIGNS = re.compile(r"[\\`*_~\[\]<>|#!&]")


def markdown(run: StageRun) -> str:
    """Return a stage's run as Markdown for the Prefect UI."""
    ledger, artifact = run.artifact.ledger, run.artifact
    lines = [
        f"**{artifact.stage}**: {run.reason}, {run.seconds:.1f} s",
        "",
        "| | rows |",
        "|---|---:|",
        f"| in | {ledger.seen:,} |",
        f"| kept | {ledger.kept:,} |",
        *(f"| dropped by `{rule}` | {n:,} |" for rule, n in ledger.dropped.most_common()),
        *(f"| quarantined: {why} | {n:,} |" for why, n in ledger.quarantined.most_common()),
        *(f"| changed: {change} | {n:,} |" for change, n in ledger.changed.most_common()),
        "",
        *(line + "\n" for line in data_lines(artifact.stats)),
        f"Artifact `{artifact.stage}/{artifact.fingerprint[:16]}`, "
        f"{artifact.bytes_on_disk / 1e6:.1f} MB at `{artifact.path}`",
    ]
    return "\n".join(lines)


def gate_reasons(verdict: Verdict) -> str:
    """Return why a gate wants what it wants, as a Markdown list; what failed comes first."""
    lines = [
        f"- {'' if item.passed else '**failed** '}`{item.metric}` {bounds(item)} "
        f"({item.expect.severity}): {item.expect.because}"
        for item in sorted(verdict.outcomes, key=lambda item: item.passed)
    ]
    return "\n\n**gate**\n\n" + "\n".join(lines) if lines else ""


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table whose cells are shown as they are."""
    heads = [*rows[0]]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(as_written(row).values())} |" for row in rows)])


def funnel_markdown(runs: Mapping[str, StageRun]) -> str:
    """Return the funnel of the stages run so far as a Markdown table."""
    lines = ["| stage | in | kept | MB | why the rest went |", "|---|---:|---:|---:|---|"]
    for row in funnel(runs):
        lines.append(
            f"| {row['stage']} | {row['documents_in']:,} | {row['documents_kept']:,} "
            f"| {row['bytes_kept'] / 1e6:.2f} | {reasons(row)} |"
        )
    return "\n".join(lines)


def as_written(row: Mapping[str, Any]) -> dict[str, str]:
    """Return cells for a page that takes them for Markdown and is to show them as they are."""
    return {name: MARKDOWN_SIGNS.sub(r"\\\g<0>", str(cell)) for name, cell in row.items()}
