"""The report of a run: a snapshot drawn as one HTML page that asks nothing of anywhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expectations import html
from expectations.expect import CRITICAL
from expectations.figures import number
from flows.reports import plan_report
from flows.reports.run_page.changes import (
    Figure,
    changed_figures,
    changed_settings,
    changed_sources,
)
from flows.reports.run_page.lineage import lineage
from flows.reports.run_page.model_view import (
    champion_view,
    evaluation_view,
    figure_views,
    slice_name,
    training_charts,
)
from flows.reports.run_page.snapshot import GATE, REGISTERED
from flows.reports.run_page.words import ReportWords
from flows.reports.summary import retrain_in_words
from model.reports.markdown import size

TEMPLATES = Path(__file__).parent.with_name("templates")
Snapshot = Mapping[str, Any]
UNTOLD = {"energy_joules"}  # figures that a report says are not known
KINDS = {"passed": "passed", "warning": "warned", "failed": "failed"}  # of a gate: class of style


def render(snapshot: Snapshot, language: str, before: Snapshot | None = None) -> str:
    """Return the page in a language; `before` is the run it is compared with, if there is one."""
    words = ReportWords(language)
    training, evaluation = snapshot["training"], snapshot["evaluation"]
    return html.render(
        "run_report.html",
        TEMPLATES,
        **tools(words),
        run=snapshot,
        headline=_headline(snapshot, words),
        changes=before and differences(before, snapshot, words),
        widest=max([1, *(row["documents_in"] for row in snapshot["funnel"])]),
        charts=training_charts(training, words) if training else [],
        retrain=training and training["retrain"] and retrain_in_words(training["retrain"]),
        spent=_spent(snapshot, words),
        evaluation=evaluation and evaluation_view(evaluation, words),
        whole=_whole(evaluation),
        champion=champion_view(snapshot["champion"]),
        figures=figure_views(evaluation, words),
        lineage=lineage(
            snapshot, {key: words(key) for key in ("sources", "files", "earlier", "version")}
        ),
        met=sum(gate["expectations"] - gate["failed"] for gate in snapshot["gates"]),
        expectations=sum(gate["expectations"] for gate in snapshot["gates"]),
        libraries=_libraries(snapshot),
    )


def tools(words: ReportWords) -> dict[str, Any]:
    """Return what the templates of reports call: words and figures for people."""
    return {
        "t": words,
        "language": words.language,
        "count": "{:,}".format,
        "size": size,
        "number": number,
        "percent": "{:.1%}".format,
        "duration": plan_report.duration,
        "KINDS": KINDS,
        "slice_name": lambda name: slice_name(name, words),
    }


def _headline(snapshot: Snapshot, words: ReportWords) -> dict[str, Any]:
    ending, registration = snapshot["ending"], snapshot["registration"] or {}
    how = ending["how"]
    text = words(
        f"ended.{how}",
        stage=ending["stage"],
        name=registration.get("name", ""),
        version=registration.get("version", ""),
    )
    warned = [gate["stage"] for gate in snapshot["gates"] if gate["word"] == "warning"]
    stopped = how not in (REGISTERED, "corpus")
    note = ""
    if warned and not stopped:
        note = words("warnings", stages=", ".join(warned))
    step = ending["next_step"] or words("step.gate" if how == GATE else "step.failed")
    return {
        "kind": "failed" if stopped else "warned" if warned else "passed",
        "text": text,
        "note": note,
        "said": ending["words"],
        "failures": [
            outcome
            for gate in snapshot["gates"]
            if how == GATE and gate["stage"] == ending["stage"]
            for outcome in gate["outcomes"]
            if not outcome["passed"] and outcome["severity"] == CRITICAL
        ],
        "next_step": step if stopped else "",
    }


def differences(before: Snapshot, now: Snapshot, words: ReportWords) -> dict[str, Any]:
    """Return what differs between two runs, for the template."""
    found = {
        "number": before["number"],
        "settings": changed_settings(before["settings"], now["settings"]),
        "sources": changed_sources(before["sources"], now["sources"]),
        "figures": [_changed(old, new, words) for old, new in changed_figures(before, now)],
    }
    return {**found, "any": any(found[key] for key in ("settings", "sources", "figures"))}


def _changed(old: Figure, new: Figure, words: ReportWords) -> dict[str, Any]:
    label = words(new.word)
    if new.word == "figure":
        label = new.about
    elif new.about:
        label = f"{label}, {slice_name(new.about, words)}"
    return {
        "label": label,
        "key": new.key,
        "before": _with_interval(old),
        "now": _with_interval(new),
        "value": new.value,
        "difference": signed(new.value - old.value),
    }


def signed(value: float) -> str:
    """Return a difference with its sign."""
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{number(abs(value))}"


def _with_interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return number(figure.value)
    return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"


def _spent(snapshot: Snapshot, words: ReportWords) -> list[dict[str, Any]]:
    """Return planned and actual figures in words; what is not known is empty."""
    plan, spent = snapshot["plan"] or {}, snapshot["spent"] or {}
    rows = []
    for key, (label, in_words) in plan_report.FIGURES.items():
        values = [side.get(key) for side in (plan, spent)]
        untold = spent and key in UNTOLD and key in spent and spent[key] is None
        if spent and (untold or any(value is not None for value in values)):
            cells = ["" if value is None else in_words(value) for value in values]
            cells[1] = words(f"spent.{key}.none") if untold else cells[1]
            rows.append(
                {
                    "key": key,
                    "label": words.known(f"spent.{key}", label),
                    "planned": cells[0],
                    "actual": cells[1],
                    "value": values[1],
                }
            )
    return rows


def _whole(evaluation: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    slices: Sequence[Mapping[str, Any]] = evaluation["slices"] if evaluation else []
    return next((row for row in slices if row["kind"] == "all"), None)


def _libraries(snapshot: Snapshot) -> dict[str, str]:
    versions: dict[str, str] = {}
    for stage in snapshot["stages"]:
        versions |= stage["libraries"]
    return dict(sorted(versions.items()))
