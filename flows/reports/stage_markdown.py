"""What a stage's run looks like in Prefect, as Markdown: ledger, reasons of its gate, funnel."""

from collections.abc import Mapping, Sequence
from typing import Any

from expectations.expect import Verdict
from flows.reports.summary import data_lines, funnel, reasons
from model.reports.markdown import escape_markdown, markdown_table
from pipeline.stage import StageRun


def markdown(run: StageRun) -> str:
    """Return a stage's run as Markdown for the Prefect UI."""
    ledger, artifact = run.artifact.ledger, run.artifact
    counts = [
        ("in", ledger.seen),
        ("kept", ledger.kept),
        *((f"dropped by `{rule}`", count) for rule, count in ledger.dropped.most_common()),
        *((f"quarantined: {why}", count) for why, count in ledger.quarantined.most_common()),
        *((f"changed: {change}", count) for change, count in ledger.changed.most_common()),
    ]
    lines = [
        f"**{artifact.stage}**: {run.reason}, {run.seconds:.1f} s",
        "",
        markdown_table(("", "rows"), [(label, f"{count:,}") for label, count in counts], 1),
        "",
        *(line + "\n" for line in data_lines(artifact.stats)),
        f"Artifact `{artifact.stage}/{artifact.fingerprint[:16]}`, "
        f"{artifact.bytes_on_disk / 1e6:.1f} MB at `{artifact.path}`",
    ]
    return "\n".join(lines)


def gate_reasons(verdict: Verdict) -> str:
    """Return why a gate wants what it wants, as a Markdown list; what failed comes first."""
    lines = [
        f"- {'' if item.passed else '**failed** '}`{item.metric}` {item.bounds} "
        f"({item.expect.severity}): {item.expect.because}"
        for item in sorted(verdict.outcomes, key=lambda item: item.passed)
    ]
    return "\n\n**gate**\n\n" + "\n".join(lines) if lines else ""


def rows_as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table whose cells are shown as they are."""
    cells = [[escape_markdown(str(value)) for value in row.values()] for row in rows]
    return markdown_table([*rows[0]], cells)


def funnel_markdown(runs: Mapping[str, StageRun]) -> str:
    """Return the funnel of the stages run so far as a Markdown table."""
    rows = [
        (
            row["stage"],
            f"{row['documents_in']:,}",
            f"{row['documents_kept']:,}",
            f"{row['bytes_kept'] / 1e6:.2f}",
            reasons(row),
        )
        for row in funnel(runs)
    ]
    return markdown_table(("stage", "in", "kept", "MB", "why the rest went"), rows)
