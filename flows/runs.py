"""The record of runs: which artifacts a recipe led to, for `explain` and for the summary."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from flows.chain import PlannedArtifact
from flows.config import Recipe, as_shown
from pipeline.reading.addresses import without_secrets
from pipeline.sources.source_set import Source
from pipeline.store import storage
from pipeline.store.fingerprint import Inputs, changed_inputs, plain


class _Source(TypedDict):
    path: str


class _Recipe(TypedDict):
    sources: list[_Source]


class _Stage(TypedDict):
    fingerprint: str
    inputs: Inputs


class RunRecord(TypedDict):
    """The shape of a record, as far as it is read."""

    recipe: _Recipe
    stages: dict[str, _Stage]
    registration: dict[str, str] | None


def record_run(
    runs: Path, recipe: Recipe, planned: list[PlannedArtifact], registration: dict[str, Any] | None
) -> Path:
    """Write the next record of this recipe, unless it equals the last one; return its path."""
    record = {
        "recipe": recorded_recipe(recipe),
        "stages": {
            step.stage: {"fingerprint": step.fingerprint, "inputs": step.identity.inputs}
            for step in planned
            if step.exists
        },
        "registration": registration,
    }
    return write_record(runs, recipe.name, record)


def write_record(runs: Path, name: str, record: Mapping[str, Any]) -> Path:
    """Write a recipe's next record, unless it equals the last one; return its path."""
    records = _records(runs, name)
    if records and storage.recall_json(records[-1]) == record:
        return records[-1]
    number = int(records[-1].stem) + 1 if records else 1
    path = storage.inside(runs, name, f"{number:04d}.json")
    storage.write_json(path, record)
    return path


def recorded_recipe(recipe: Recipe) -> Any:
    """Return a recipe as it stands in a record."""
    return plain(asdict(as_shown(recipe)))


def last_run(
    runs: Path, name: str, sources: Sequence[Source] | None = None
) -> dict[str, Any] | None:
    """Return the last record of the recipe with this name, or None.

    With `sources` only records count that read one of these paths: a recipe may have been run on
    several corpora.
    """
    return next(_latest_first(runs, name, sources), None)


def last_made(
    runs: Path, name: str, stage: str, sources: Sequence[Source] | None = None
) -> dict[str, Any] | None:
    """Return fingerprint and inputs of a stage in the last run of the recipe that got to it."""
    for record in _latest_first(runs, name, sources):
        stage_record = record["stages"].get(stage)
        if stage_record is not None:
            return stage_record
    return None


def recipe_names(runs: Path) -> list[str]:
    """Return the names of all recipes that have records."""
    return sorted({path.parent.name for path in runs.glob("*/[0-9]*.json")})


def records_of(runs: Path, name: str) -> list[tuple[int, dict[str, Any]]]:
    """Return number and content of a recipe's records, the latest first; damaged ones are out."""
    read = ((int(p.stem), storage.recall_json(p, RunRecord)) for p in _records(runs, name))
    return [(number, record) for number, record in read if record is not None][::-1]


def nothing_new(planned: list[PlannedArtifact], last: dict[str, Any] | None) -> bool:
    """Tell whether the last run made all of this, every stage and a registered model."""
    if last is None or last["registration"] is None:
        return False
    made = {stage: record["fingerprint"] for stage, record in last["stages"].items()}
    return all(step.exists and made.get(step.stage) == step.fingerprint for step in planned)


def _latest_first(
    runs: Path, name: str, sources: Sequence[Source] | None
) -> Iterator[dict[str, Any]]:
    own = None if sources is None else {without_secrets(source.path) for source in sources}
    for path in reversed(_records(runs, name)):
        record = storage.recall_json(path, RunRecord)
        if record is None:  # damaged: the one before tells what is known
            continue
        if own is None or own & {source["path"] for source in record["recipe"]["sources"]}:
            yield record


def _records(runs: Path, name: str) -> list[Path]:
    return sorted(storage.inside(runs, name).glob("[0-9]*.json"))


def explain(planned: list[PlannedArtifact], last: dict[str, Any] | None) -> list[dict[str, str]]:
    """Say for every stage whether it would be reused or made, and why.

    Returns rows with `stage`, `decision` ('reuse' or 'make'), `because` and `artifact`.
    """
    before = (last or {}).get("stages", {})
    remade: set[str] = set()
    rows = []
    for step in planned:
        changes = changed_inputs(before.get(step.stage, {}).get("inputs"), step.identity.inputs)
        if step.exists:
            because = "its artifact is in the store"
            if changes and last is not None:
                because += f", from an earlier run; since the last run: {'; '.join(changes)}"
            decision = "reuse"
        else:
            remade.add(step.stage)
            decision = "make"
            if last is None:
                because = "no run of this recipe yet"
            elif step.stage not in before:
                because = "the last run did not get this far"
            else:
                because = "; ".join(changes) or "its artifact is no longer in the store"
        rows.append(
            {
                "stage": step.stage,
                "decision": decision,
                "because": because,
                "artifact": f"{step.stage}/{step.fingerprint[:16]}",
            }
        )
    return rows
