"""Make a version's artifacts again, stage by stage, and hold each against what was recorded.

Parents are the artifacts of this replay, further ones (an earlier tokenizer, the champion that
training went on from) those of a store or of another replay in the same folder. It works in a
folder of its own, registers nothing, and goes on after a kill where it was.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.chain import CHAIN, SOURCES, ChainStage
from flows.config import Recipe
from flows.earlier_champion import retrained_config
from flows.reproducing.differences import Difference, result_differences
from flows.reproducing.origin import Origin, content_of
from flows.settings import Settings
from model.distributed.launch import Launch
from model.formats.base_model import BASE_MODEL, BaseModel
from model.registry.kept_versions import version_folders
from model.training.curve import MACHINE
from pipeline.errors import ArtifactError, ConfigError
from pipeline.sources.source_set import SourceSet
from pipeline.stage import Progress, Stage, StageRun, run_stage, store_path
from pipeline.store import storage
from pipeline.store.artifact import Artifact, load_artifact

MADE = "made.json"  # in the folder: where the artifact of a recorded fingerprint lies now
TRAIN = "train"


@dataclass(frozen=True)
class ReplayedStage:
    """A stage made again, and where its bytes are not those recorded."""

    stage: str
    run: StageRun
    differences: list[Difference]


def replay(
    origin: Origin,
    recipe: Recipe,
    sources: SourceSet,
    folder: Path,
    settings: Settings,
    progress: Progress,
) -> Iterator[ReplayedStage]:
    """Yield each stage as it is made again; end after the first with other bytes."""
    if MACHINE in origin["measured"]:
        from model.planning.device import use_threads  # torch: a second to import

        use_threads(origin["measured"][MACHINE]["threads"])
    made: dict[str, Any] = {SOURCES: sources}
    for stage in CHAIN:
        recorded = origin["stages"][stage.name]
        parents = [made[name] for name in stage.parents]
        further = recorded["inputs"]["parents"][len(parents) :]
        parents += [_earlier(parent, folder, settings, recipe.register.model) for parent in further]
        config = stage.config(recipe)
        if stage.name == TRAIN:
            config = retrained_config(recipe, parents)
        identity = stage.definition.fingerprint(config, parents)
        destination = store_path(folder, stage.name, identity.digest)
        definition = _as_it_ran(stage, origin)
        engine = settings.engine()
        run = run_stage(definition, config, parents, destination, engine=engine, progress=progress)
        made[stage.name] = run.artifact
        _note(folder, recorded["fingerprint"], run.artifact)
        differences = result_differences(stage.name, recorded["content"], content_of(run.artifact))
        yield ReplayedStage(stage.name, run, differences)
        if differences:
            return


def _as_it_ran(stage: ChainStage[Any], origin: Origin) -> Stage[Any]:
    """Return a stage that chooses what it chose by measuring, in as many processes."""
    definition = stage.definition
    if stage.name != TRAIN:
        return definition
    launch = Launch(processes=origin["processes"], parallel=origin["parallel"])
    run = functools.partial(definition.run, launch=launch, choices=origin["measured"])  # type: ignore[call-arg] # train's
    return replace(definition, run=run)


def _earlier(
    parent: Mapping[str, Any], folder: Path, settings: Settings, name: str
) -> Artifact | BaseModel:
    """Return an artifact that was made before this version: of this folder, the store, MLflow."""
    stage, fingerprint = parent["stage"], parent["fingerprint"]
    relative = _made(folder).get(fingerprint)
    places = [folder / relative] if relative else []
    places.append(store_path(settings.store, stage, fingerprint))
    for place in places:
        try:
            return load_artifact(place)
        except ArtifactError:
            continue
    if stage == BASE_MODEL:
        for path in version_folders(settings.tracking, name):
            model = BaseModel(path)
            if model.fingerprint == fingerprint:
                return model
    raise ConfigError(
        f"this version goes on from {stage}/{fingerprint[:16]}, an artifact of an earlier run, "
        f"found neither in {settings.store} nor in {folder}; name the store it lies in with "
        f"--store, or reproduce the version before into the same --out first"
    )


def _note(folder: Path, fingerprint: str, artifact: Artifact) -> None:
    made = _made(folder)
    place = str(artifact.path.relative_to(folder))
    if made.get(fingerprint) != place:
        storage.write_json(folder / MADE, {**made, fingerprint: place})


def _made(folder: Path) -> dict[str, str]:
    return storage.recall_json(folder / MADE, dict[str, str]) or {}
