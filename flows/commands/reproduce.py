"""`textmill reproduce`: make a registered version again, or name the first thing that differs."""

import json
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from flows import config
from flows.config import Recipe
from flows.planning import open_sources
from flows.reports.terminal import progress_bars, stdout
from flows.reproducing.differences import (
    INPUT,
    KINDS,
    Difference,
    all_differences,
    other_libraries,
)
from flows.reproducing.origin import FORMAT, LISTING, RECORD, Origin
from flows.reproducing.replay import ReplayedStage, replay
from flows.settings import Settings, read_settings
from model.registry.model_record import ORIGIN
from model.registry.versions import StoredVersion, run_of, stored_version
from pipeline.errors import ArtifactError, ConfigError, NotReproduced
from pipeline.store import storage
from pipeline.store.artifact import check_hashes

ALTERED = "the file of the run was altered: put it back from a backup"
SHOWN_MAX = 8  # differences in words; all of them are in --json


@dataclass(frozen=True)
class Recorded:
    """A version and what it keeps of its origin."""

    name: str
    version: StoredVersion
    origin: Origin
    files: pl.DataFrame

    @property
    def title(self) -> str:
        """Name and number."""
        return f"{self.name} version {self.version.number}"


def reproduce(options: Namespace) -> dict[str, Any] | None:
    """Compare a version's origin with this machine, make it again, compare the bytes."""
    settings = read_settings(options.store, options.workers)
    recorded = _recorded(options.model, settings)
    recipe = _recipe(recorded.origin, options)
    sources = open_sources(recipe, settings)
    differences = all_differences(recorded.origin, recorded.files, recipe, sources)
    result: dict[str, Any] = {
        "name": recorded.name,
        "version": recorded.version.number,
        "commit": recorded.origin["commit"],
        "differences": [asdict(difference) for difference in differences],
        "other_libraries": other_libraries(recorded.origin),
        "stages": [],
    }
    if not options.json:
        _show(_comparison(recorded, differences, result["other_libraries"], len(sources.files)))
    if options.check or any(difference.kind == INPUT for difference in differences):
        result["same"] = not differences
        return _end(result, recorded, differences, options)
    folder = _folder(options, settings, recorded)
    with progress_bars() as (progress, narrate):
        for stage in replay(recorded.origin, recipe, sources, folder, settings, progress):
            result["stages"].append({"stage": stage.stage, "same": not stage.differences})
            if not options.json:
                narrate(_line(stage))
    result["same"] = not stage.differences
    result["artifacts"] = str(folder)
    if result["same"]:
        _hold_against_registry(recorded)
        if options.out is None:
            shutil.rmtree(folder)
            result["artifacts"] = None
    return _end(result, recorded, [*stage.differences, *differences], options)


def _recorded(model: str, settings: Settings) -> Recorded:
    """Read what a version keeps of its origin; raise ConfigError where it keeps nothing."""
    address = model if model.startswith("models:") else f"models:/{model}"
    run, version = run_of(address, settings.tracking), stored_version(address, settings.tracking)
    with tempfile.TemporaryDirectory() as scratch:
        record = run.fetched(f"{ORIGIN}/{RECORD}", Path(scratch))
        listing = run.fetched(f"{ORIGIN}/{LISTING}", Path(scratch))
        if record is None or listing is None:
            raise ConfigError(
                f"{address}: keeps no record of its origin ({ORIGIN}/{RECORD} of its run is not "
                f"there): it was fine-tuned, or registered by an earlier textmill; only versions "
                f"that `textmill run` registered since can be made again"
            )
        stated = storage.read_json(record, dict[str, Any], ALTERED)
        if stated.get("format") != FORMAT:
            raise ArtifactError(
                f"{address}: its origin has format {stated.get('format')!r}, this textmill reads "
                f"{FORMAT}; use the textmill that registered it: {stated.get('textmill')}"
            )
        origin = storage.read_json(record, Origin, ALTERED)
        files = pl.read_parquet(listing)
    name = address.removeprefix("models:/").partition("@")[0].partition("/")[0]
    return Recorded(name, version, origin, files)


def _recipe(origin: Origin, options: Namespace) -> Recipe:
    """Return the version's recipe with its sources where they are on this machine."""
    recipe = config.override(
        config.build(origin["recipe"], "the version's recipe"), options.overrides
    )
    names, given = origin["source_names"], options.source
    if given and len(given) != len(names):
        raise ConfigError(
            f"--source: {len(given)} given, the version was made of {len(names)}, in this order: "
            f"{', '.join(names)}; give one for each"
        )
    named = [replace(source, name=name) for source, name in zip(recipe.sources, names, strict=True)]
    if given:
        named = [
            replace(source, path=str(Path(path).absolute()) if "://" not in path else path)
            for source, path in zip(named, given, strict=True)
        ]
    return replace(recipe, sources=tuple(named))


def _folder(options: Namespace, settings: Settings, recorded: Recorded) -> Path:
    if options.out is not None:
        return storage.expanded(options.out).resolve()
    name = f"{recorded.name}-{recorded.version.number}"
    return storage.inside(settings.store, "reproduced", name)


def _hold_against_registry(recorded: Recorded) -> None:
    """Raise ArtifactError unless the files that are registered are those that were made."""
    folder = recorded.version.folder
    check_hashes(folder)
    for name, sha256 in recorded.origin["stages"]["train"]["content"]["files"].items():
        path = folder / name
        if path.exists() and storage.sha256_of(path) != sha256:
            raise ArtifactError(
                f"{path}: SHA-256 {storage.sha256_of(path)[:16]}…, the version's training wrote "
                f"{sha256[:16]}…; its files in the registry were altered: register it again"
            )


def _comparison(
    recorded: Recorded, differences: Sequence[Difference], others: Sequence[str], files: int
) -> list[str]:
    commit = recorded.origin["commit"] or "of an installed package"
    lines = [f"{recorded.title}: textmill {recorded.origin['textmill']}, commit {commit}"]
    for kind in KINDS:
        own = [difference for difference in differences if difference.kind == kind]
        same = f"same ({files:,} files)" if kind == INPUT else "same"
        lines.append(f"  {kind:<10} {same if not own else f'{len(own)} differ'}")
        lines += [f"    {_words(difference)}" for difference in own[:SHOWN_MAX]]
        if len(own) > SHOWN_MAX:
            lines.append(f"    and {len(own) - SHOWN_MAX} more (--json has all)")
    if others:
        lines.append(f"  {len(others)} installed libraries of no part in it differ, or may matter")
    return lines


def _words(difference: Difference) -> str:
    where = "" if difference.kind == INPUT else f"{difference.stage}: "
    return f"{where}{difference.what}: was {difference.recorded}, here {difference.found}"


def _line(stage: ReplayedStage) -> str:
    if stage.differences:
        return f"{stage.stage:<10} other bytes: {_words(stage.differences[0])}"
    parts = len(stage.run.artifact.entries())
    done = "reused" if stage.run.reused else f"{stage.run.seconds:.1f} s"
    return f"{stage.stage:<10} the same bytes: {parts:,} files; {done}"


def _end(
    result: dict[str, Any],
    recorded: Recorded,
    differences: Sequence[Difference],
    options: Namespace,
) -> dict[str, Any] | None:
    """Say what came of it; raise NotReproduced unless all is the same."""
    result["first"] = asdict(differences[0]) if differences else None
    if not result["same"]:
        if options.json:
            print(json.dumps(result, ensure_ascii=False, sort_keys=True))
        first = differences[0]
        kept = f"; what was made is in {result['artifacts']}" if result.get("artifacts") else ""
        raise NotReproduced(
            f"{recorded.title}: the first thing that differs: {first.sentence()}{kept}"
        )
    if options.json:
        return result
    what = (
        "nothing that shapes its bytes differs; without --check it is made again"
        if options.check
        else f"made again, byte for byte: {recorded.version.folder}"
    )
    _show([f"{recorded.title}: {what}"])
    return None


def _show(lines: Sequence[str]) -> None:
    for line in lines:
        stdout().print(line, soft_wrap=True, markup=False, highlight=False)
