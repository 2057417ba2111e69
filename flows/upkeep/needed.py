"""Which artifacts of a store are needed: by the last runs of its recipes and by kept versions.

An artifact needs what it was made of, since that explains it and makes it again where it is
damaged. What a stage merely went on from, an earlier artifact of its own kind, is kept for it but
not what that one was made of: else nothing would ever be free.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.runs import recipe_names, records_of
from flows.settings import Settings
from flows.steps import tracking_settings
from model.registry.kept_versions import kept_versions
from pipeline.stage import store_path
from pipeline.store import storage
from pipeline.store.artifact import MANIFEST, Manifest

SOURCES = "sources"


@dataclass
class Needed:
    """Folders of needed artifacts, each with the first reason found."""

    store: Path
    reasons: dict[Path, str] = field(default_factory=dict)
    recorded: dict[Path, dict[str, Any]] = field(default_factory=dict)  # inputs, from records
    last_runs: dict[Path, str] = field(default_factory=dict)  # recorded artifact -> its last run
    _followed: set[Path] = field(default_factory=set)

    def add(self, stage: str, fingerprint: str, because: str, *, follow: bool = True) -> None:
        """Enter an artifact and, with `follow`, what it needs."""
        path = store_path(self.store, stage, fingerprint)
        self.reasons.setdefault(path, because)
        if not follow or path in self._followed:
            return
        self._followed.add(path)
        stages = {stage, SOURCES}
        for parent in self._inputs(path).get("parents", []):
            if parent["stage"] != SOURCES:
                new = parent["stage"] not in stages
                self.add(parent["stage"], parent["fingerprint"], because, follow=new)
                stages.add(parent["stage"])

    def _inputs(self, path: Path) -> Mapping[str, Any]:
        manifest = storage.recall_json(path / MANIFEST, Manifest)
        return manifest["inputs"] if manifest else self.recorded.get(path, {})


def needed_artifacts(settings: Settings, keep: int) -> Needed:
    """Return what the last `keep` runs of each recipe on each corpus and kept versions need.

    Of a recipe's runs also the last that got to a stage counts for that stage: the next run builds
    on it. Raises what MLflow's store raises: without it nobody knows what is needed.
    """
    needed = Needed(settings.store)
    names = recipe_names(settings.runs)
    histories = {name: records_of(settings.runs, name) for name in names}
    for name, records in histories.items():
        for number, record in records:
            for stage, made in record["stages"].items():
                path = store_path(settings.store, stage, made["fingerprint"])
                needed.recorded.setdefault(path, made["inputs"])
                needed.last_runs.setdefault(path, f"run {number} of {name}")
    for name, records in histories.items():
        for corpus in _by_corpus(records):
            _add_runs(needed, name, corpus, keep)
    for version in kept_versions(tracking_settings(settings), keep):
        for stage, fingerprint in version.artifacts:
            because = f"{version.name} version {version.number}: {version.because}"
            needed.add(stage, fingerprint, because)
    return needed


def _by_corpus(records: list[tuple[int, dict[str, Any]]]) -> list[list[tuple[int, dict[str, Any]]]]:
    """Part a recipe's records, the latest first: runs on one corpus share a source's path."""
    corpora: list[tuple[set[str], list[tuple[int, dict[str, Any]]]]] = []
    for number, record in records:
        own = {source["path"] for source in record["recipe"]["sources"]}
        for paths, runs in corpora:
            if own & paths:
                paths |= own
                runs.append((number, record))
                break
        else:
            corpora.append((own, [(number, record)]))
    return [runs for _, runs in corpora]


def _add_runs(
    needed: Needed, name: str, records: list[tuple[int, dict[str, Any]]], keep: int
) -> None:
    stages: set[str] = set()
    for rank, (number, record) in enumerate(records):
        for stage, made in record["stages"].items():
            if rank < keep:
                needed.add(stage, made["fingerprint"], f"run {number} of {name}")
            elif stage not in stages:
                because = f"run {number} of {name}, the last with this stage"
                needed.add(stage, made["fingerprint"], because)
            stages.add(stage)
