"""Which trainings read which rows of shards, and which registered versions learned from them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from model.data.exposure import Exposures, TrainingOrder
from model.formats.base_model import content_fingerprint
from model.registry.version_list import VersionRecord
from pipeline.errors import TextmillError
from pipeline.shard import TRAIN
from pipeline.store.artifact import Artifact
from pipeline.tracing.catalog import Catalog, parents_of
from pipeline.tracing.following import name_of

TEACHER, TAUGHT_BY = "distillation", "weight"  # in the stats of a training that had one
READ, TAUGHT, NOT_READ, NOT_KNOWN = "read", "taught", "not read", "not known"


@dataclass
class TrainingReads:
    """Answers what trainings of a store read; what is worked out of a training is kept."""

    catalog: Catalog
    _exposures: dict[str, Exposures] = field(default_factory=dict)

    def of_shards(self, shards: Artifact, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return, for each training on these shards, the steps that read rows of it.

        `rows` are those of a document, as `following.shard_rows` gives them.
        """
        wanted: dict[str, list[int]] = {}
        for row in rows:
            if row["split"] == TRAIN:
                wanted.setdefault(row["part"], []).append(row["row"])
        return [self._reads(training, shards, wanted) for training in self._trainings(shards)]

    def _trainings(self, shards: Artifact) -> list[Artifact]:
        made = self.catalog.of("train")
        return [t for t in made if parents_of(t, shards.stage)[:1] == [shards.fingerprint]]

    def _reads(
        self, training: Artifact, shards: Artifact, rows: dict[str, list[int]]
    ) -> dict[str, Any]:
        told: dict[str, Any] = {"stage": "train", "artifact": name_of(training)}
        told |= {"fingerprint": training.fingerprint, "after": parents_of(training, "train")[:1]}
        try:
            exposures = self._exposures_of(training, shards)
            steps = exposures.steps(rows) if rows else []
        except (TextmillError, KeyError) as error:
            return {**told, "fate": NOT_KNOWN, "because": str(error)}
        fate = READ if steps else NOT_READ
        counts = {"steps": steps, "times": len(steps), "of_steps": exposures.steps_taken}
        return {**told, "fate": fate, **counts}

    def _exposures_of(self, training: Artifact, shards: Artifact) -> Exposures:
        if training.fingerprint not in self._exposures:
            earlier = parents_of(training, shards.stage)[1:]
            champion = self.catalog.get(shards.stage, earlier[0]) if earlier else None
            if champion is None and "replay_share" in training.stats.get("retrain", {}):
                raise TextmillError("the shards of the champion it went on from are gone")
            order = TrainingOrder.of(training, champion)
            self._exposures[training.fingerprint] = Exposures(order, shards)
        return self._exposures[training.fingerprint]


@dataclass(frozen=True)
class VersionReads:
    """What the registered versions have to do with a document, from what its trainings read."""

    versions: Sequence[VersionRecord]
    catalog: Catalog

    def of(
        self, trainings: Sequence[dict[str, Any]], shards: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return a row per version with `fate`: read, taught (by a model that read it), and so on.

        `shards` are the fingerprints of shards that hold the document's tokens.
        """
        reads = {row["fingerprint"]: row for row in trainings}
        return [self._row(version, reads, shards) for version in self.versions]

    def _row(
        self, version: VersionRecord, reads: dict[str, dict[str, Any]], shards: Sequence[str]
    ) -> dict[str, Any]:
        row = {**asdict(version), "version": version.label}
        training = version.artifacts.get("train", "")
        own = reads.get(training)
        if own is not None and own["fate"] == READ:
            return {**row, "fate": READ, "steps": own["steps"], "times": own["times"]}
        teacher = self._earlier_reader(training, reads)
        if teacher is not None:
            return {**row, "fate": TAUGHT, "by": teacher}
        if own is not None:
            return {**row, "fate": own["fate"], "because": own.get("because", "no step read it")}
        if version.artifacts.get("shard") in shards:
            gone = "it is in the shards, and the training's artifact is no longer in the store"
            return {**row, "fate": NOT_KNOWN, "because": gone}
        if (base := self._readers_by_content(reads).get(version.parent or "")) is not None:
            return {**row, "fate": TAUGHT, "by": base}
        return {**row, "fate": NOT_READ, "because": "it is not in what the version was trained on"}

    def _earlier_reader(self, training: str, reads: dict[str, dict[str, Any]]) -> str | None:
        """Return the version or training that read it and that this one went on from."""
        seen: set[str] = set()
        while training and training not in seen:
            seen.add(training)
            artifact = self.catalog.get("train", training)
            parents = parents_of(artifact, "train")[:1] if artifact else []
            policy = (artifact.stats if artifact else {}).get("retrain", {})
            taught = policy.get("policy") == "continue" or "weight" in policy.get(
                "distillation", ""
            )
            if not parents or not taught:
                return None
            training = parents[0]
            if reads.get(training, {}).get("fate") == READ:
                return self._labels.get(training, f"train/{training[:16]}")
        return None

    @cached_property
    def _labels(self) -> dict[str, str]:
        return {v.artifacts["train"]: v.label for v in self.versions if "train" in v.artifacts}

    def _readers_by_content(self, reads: dict[str, dict[str, Any]]) -> dict[str, str]:
        """Return what read it by the content of its model, as `BaseModel` has it."""
        readers = {}
        for training, row in reads.items():
            artifact = self.catalog.get("train", training)
            if row["fate"] == READ and artifact is not None:
                hashes = {entry["path"]: entry["sha256"] for entry in artifact.manifest["files"]}
                label = self._labels.get(training, name_of(artifact))
                readers[content_fingerprint(hashes)] = label
        return readers
