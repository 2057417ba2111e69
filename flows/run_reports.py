"""Reports of runs: taken when a run ends, kept beside its record, drawn again at any time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from expectations import gate
from expectations.expect import Verdict
from flows.chain import STAGES
from flows.config import Recipe, as_shown, build, sections
from flows.reports import plan_report
from flows.reports.run_page import page
from flows.reports.run_page.snapshot import (
    CORPUS_MADE,
    FAILED,
    GATE,
    REGISTERED,
    Ending,
    RunFacts,
    Snapshot,
    take,
)
from flows.reports.samples import recalled_samples
from flows.runs import recipe_names, records_of
from flows.settings import Settings
from model.evaluation.paired import DocumentCost, differences
from model.registry import held, run_pages
from pipeline.errors import ConfigError
from pipeline.stage import StageRun, store_path
from pipeline.store import storage
from pipeline.store.artifact import artifact_exists, load_artifact

PAGE, SNAPSHOT = "report.html", "report.json"
CORPUS_LAST = "shard"


def page_path(settings: Settings, name: str) -> Path:
    """Return where the report of a recipe's last run lies."""
    return storage.inside(settings.runs, name, PAGE)


def snapshot_path(settings: Settings, name: str, number: int) -> Path:
    """Return where the snapshot of a run is kept."""
    return storage.inside(settings.runs, name, f"report-{number:04d}.json")


def keep(facts: RunFacts, settings: Settings, language: str) -> Path:
    """Take the snapshot of a run that ended, write its report, return the page's path.

    A run that only found again what an earlier one had made keeps the snapshot of that one.
    """
    path = snapshot_path(settings, facts.name, facts.number)
    kept = storage.recall_json(path, Snapshot)
    made_anything = any(not run.reused for run in facts.runs.values())
    if kept is None or made_anything or kept["ending"]["how"] != facts.ending.how:
        kept = take(facts)
        storage.write_json(path, kept)
    written = page_path(settings, facts.name)
    storage.write_bytes(written, draw(kept, settings, language).encode())
    return written


def draw(snapshot: Mapping[str, Any], settings: Settings, language: str) -> str:
    """Return the report of a run as HTML, with what changed since the run before it."""
    return page.render(snapshot, language, before(settings, snapshot))


def named(settings: Settings, name: str) -> dict[str, Any]:
    """Return the snapshot of a run (NAME, NAME/NUMBER) or a version (models:/NAME/VERSION)."""
    if not name.startswith("models:"):
        recipe, _, number = name.partition("/")
        if number and not number.isdigit():
            raise ConfigError(f"run {name!r}: wanted NAME, NAME/NUMBER or models:/NAME/VERSION")
        return of_run(settings, recipe, int(number) if number else None)
    path = run_pages.fetch(settings.tracking, name, SNAPSHOT)
    snapshot = None if path is None else storage.recall_json(path, Snapshot)
    if snapshot is None:
        snapshot = of_version(settings, *run_pages.name_and_number(settings.tracking, name))
    if snapshot is None:
        raise ConfigError(
            f"{name!r}: its run has no {SNAPSHOT} in MLflow, and no record in {settings.runs} "
            f"registered it; run its recipe once more, which reuses what is there"
        )
    return snapshot


def before(settings: Settings, snapshot: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the run to compare with: the last one on the same sources, of those that got as far.

    A run with a model is compared with the last that had one, if there is one.
    """
    earlier = []
    for path in sorted(settings.runs.glob(f"{snapshot['name']}/report-*.json"), reverse=True):
        other = storage.recall_json(path, Snapshot)
        if other is None or other["number"] >= snapshot["number"]:
            continue
        if other["settings"].get("sources") == snapshot["settings"].get("sources"):
            earlier.append(other)
    with_model = [other for other in earlier if other["ending"]["how"] == REGISTERED]
    if snapshot["ending"]["how"] == REGISTERED and with_model:
        return with_model[0]
    return earlier[0] if earlier else None


def of_run(settings: Settings, name: str, number: int | None = None) -> dict[str, Any]:
    """Return the snapshot of a recipe's run, the last one unless a number is given.

    Where none was kept it is taken of the record and the artifacts that are left. Raises
    ConfigError for a run that is not known.
    """
    kept = [
        int(path.stem.removeprefix("report-"))
        for path in settings.runs.glob(f"{name}/report-*.json")
    ]
    records = dict(records_of(settings.runs, name))
    numbers = sorted({*kept, *records})
    if not numbers or number not in (None, *numbers):
        runs = ", ".join(str(n) for n in numbers) or "none"
        ran = ", ".join(recipe_names(settings.runs)) or "none"
        wanted = name if number is None else f"{name}/{number}"
        raise ConfigError(
            f"report {wanted!r}: no such run in {settings.runs}; {name} has runs: {runs}. "
            f"Give NAME, NAME/NUMBER or models:/NAME/VERSION; recipes that ran here: {ran}"
        )
    number = numbers[-1] if number is None else number
    snapshot = storage.recall_json(snapshot_path(settings, name, number), Snapshot)
    return snapshot or take(facts_of_record(settings, name, number, records[number]))


def of_version(settings: Settings, name: str, version: str) -> dict[str, Any] | None:
    """Return the snapshot of the run that registered a version, taken of its record here."""
    for recipe in sorted(path.name for path in settings.runs.glob("*") if path.is_dir()):
        for number, record in records_of(settings.runs, recipe):
            if record["registration"] == {"name": name, "version": version}:
                return of_run(settings, recipe, number)
    return None


def facts_of_record(
    settings: Settings, name: str, number: int, record: Mapping[str, Any]
) -> RunFacts:
    """Open what a record names: artifacts that are still there, their verdicts, the promotion."""
    runs = {}
    for stage, made in record["stages"].items():
        path = store_path(settings.store, stage, made["fingerprint"])
        if stage in STAGES and artifact_exists(path):
            runs[stage] = StageRun(load_artifact(path, checksums=False), False, "recorded", 0.0)
    runs = {stage: runs[stage] for stage in STAGES if stage in runs}
    verdicts = [v for run in runs.values() if (v := gate.stored(run.artifact)) is not None]
    recipe = build(dict(record["recipe"]), where=f"record {number} of {name}")
    registered = record["registration"]
    known = run_pages.decided(settings.tracking, **registered) if registered else None
    written = storage.inside(settings.runs, name, f"{number:04d}.json").stat().st_mtime
    return replace(
        common_facts(recipe, settings, number, runs),
        verdicts=verdicts,
        registration=registration_json(known) if known else None,
        ledger=held.stored_ledger(settings.tracking, known.name, known.version) if known else None,
        ending=_ending(runs, verdicts, bool(registered)),
        ended_at=at(written),
    )


def common_facts(
    recipe: Recipe, settings: Settings, number: int, runs: Mapping[str, StageRun]
) -> RunFacts:
    """Return what a recipe and the artifacts of its run tell, however the run ended."""
    train, shards = (runs[name].artifact if name in runs else None for name in ("train", "shard"))
    plan, spent, samples = None, None, None
    if train is not None:
        plan, spent = plan_report.sides(settings.store, recipe, train)
        if shards is not None:
            samples = recalled_samples(settings.store, recipe.register, train, shards)
    own, usual = sections(recipe), sections(Recipe())
    return RunFacts(
        name=recipe.name,
        number=number,
        runs=runs,
        verdicts=(),
        ending=Ending(FAILED),
        description=recipe.description,
        settings=own,
        changed=[key for key, value in own.items() if usual.get(key) != value],
        plan=plan,
        spent=spent,
        samples=samples or (),
        source_paths=[source.path for source in as_shown(recipe).sources],
    )


def registration_json(decided: Any) -> dict[str, str]:
    """Return what a snapshot says of a version: of a Registration or a HeldVersion."""
    return {name: str(getattr(decided, name)) for name in ("name", "version", "verdict", "reason")}


def at(seconds: float) -> str:
    """Return a time since the epoch as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _ending(runs: Mapping[str, StageRun], verdicts: Sequence[Verdict], registered: bool) -> Ending:
    stopped = [verdict for verdict in verdicts if verdict.critical_failures]
    if registered:
        return Ending(REGISTERED)
    if stopped:
        return Ending(GATE, stopped[-1].stage)
    if list(runs)[-1:] == [CORPUS_LAST]:
        return Ending(CORPUS_MADE)
    following = [stage for stage in STAGES if stage not in runs]
    return Ending(FAILED, following[0] if following else "register")


def paired(
    settings: Settings, first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return by how much the second run's model differs on documents that both were scored on.

    Rows of SliceDifference as JSON, `challenger` being the second; none where the evaluations are
    not in the store any more or share no documents.
    """
    evaluations = []
    for snapshot in (first, second):
        made = {stage["stage"]: stage["fingerprint"] for stage in snapshot["stages"]}
        path = store_path(settings.store, "evaluate", made.get("evaluate", "none"))
        if not artifact_exists(path):
            return []
        evaluations.append(load_artifact(path, checksums=False).rows_of("documents"))
    costs = [DocumentCost(row["id"], row["bytes"], row["bits"]) for row in evaluations[0]]
    return [asdict(part) for part in differences(evaluations[1], costs)]
