"""The whole chain in this process, without a server: what `textmill run` does by default."""

from collections.abc import Sequence
from typing import Any

from expectations import gate
from flows import steps
from flows.chain import CHAIN, SOURCES, Link, walk
from flows.config import Recipe
from flows.reports.summary import cut_in_words
from flows.reports.terminal import Narrator
from flows.settings import Settings
from pipeline.stage import Progress
from pipeline.store.artifact import Artifact
from pipeline.store.set_aside import dropped_places, quarantined_places


def run_chain(
    recipe: Recipe, settings: Settings, progress: Progress, narrate: Narrator
) -> steps.Outcome:
    """Run every stage and its gate, then register; return everything the run made.

    Raises GateError at the first critical failure, after writing verdict, page and record.
    """
    outcome = steps.Outcome(recipe, settings)
    settings.store.mkdir(parents=True, exist_ok=True)
    sources = steps.open_sources(recipe, settings)

    def step(link: Link, parents: Sequence[Any]) -> Artifact:
        run = steps.make(link, recipe, parents, settings, progress)
        outcome.runs[link.name] = run
        verdict = steps.judge(run.artifact, recipe)
        outcome.verdicts[link.name] = verdict
        for line in stage_lines(link, outcome):
            narrate(line)
        gate.enforce(verdict)
        return run.artifact

    try:
        walk(CHAIN, {SOURCES: sources}, step)
        steps.write_page(outcome)
        steps.register(outcome)
    finally:
        if outcome.verdicts:
            steps.write_page(outcome)
            steps.finish(outcome, sources)
    return outcome


def stage_lines(link: Link, outcome: steps.Outcome) -> list[str]:
    """Return what a stage did, and where what it could not read stands if it was read now.

    Below a stage whose gate failed stands which rules dropped what, too.
    """
    run, failed = outcome.runs[link.name], outcome.verdicts[link.name].critical_failures
    places = quarantined_places(run.artifact) if failed or not run.reused else []
    places += dropped_places(run.artifact) if failed else []
    return [stage_line(link, outcome), *(f"           {place}" for place in places)]


def stage_line(link: Link, outcome: steps.Outcome) -> str:
    """Return one line on what a stage did and what its gate said."""
    run, verdict = outcome.runs[link.name], outcome.verdicts[link.name]
    ledger = run.artifact.ledger
    gone = ledger.dropped.total() + ledger.quarantined.total()
    of_all = f" of {ledger.seen:,}" if gone else ""
    rows = f"{ledger.kept:,}{of_all} {link.unit} kept{cut_in_words(run.artifact.stats)}"
    warned = len(verdict.failures) - len(verdict.critical_failures)
    said = "FAILED" if verdict.critical_failures else "passed"
    said += f", {warned} warning{'s' * (warned != 1)}" if warned else ""
    took = "reused" if run.reused else f"{run.seconds:.1f} s"
    done = "kept the earlier tokenizer" if "origin" in run.artifact.stats else link.done
    return f"{link.name:<10} {done}: {rows}; {took}; gate {said}"
