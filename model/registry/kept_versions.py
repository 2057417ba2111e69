"""Which registered versions keep their artifacts in the store, and which artifacts those are.

The files of a version lie in MLflow too, so that it serves without them; its artifacts in the store
are what training goes on from and what explains it to the last document.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.registry import stored_model, tracking
from model.registry.model_record import DATA, EVALUATION
from model.registry.succession import champions
from model.registry.tracking import FINGERPRINT, TrackingSettings
from pipeline.errors import ArtifactError

if TYPE_CHECKING:
    from model.registry.tracking import MlflowClient, ModelVersion

STAGES = {FINGERPRINT: "train", EVALUATION: "evaluate", DATA: "shard"}  # tag -> stage
PAGE = 200  # versions per request


@dataclass(frozen=True)
class KeptVersion:
    """A version, why it is kept, and its artifacts as (stage, fingerprint)."""

    name: str
    number: str
    because: str
    artifacts: tuple[tuple[str, str], ...]


def kept_versions(settings: TrackingSettings, newest: int) -> list[KeptVersion]:
    """Return the versions with an alias, the champion before, and the `newest` of each model.

    A version that was deleted in MLflow is none. Where no model was ever registered there are none.
    """
    if settings.database is not None and not settings.database.exists():
        return []
    client = tracking.connect(settings)
    kept = []
    for model in client.search_registered_models():
        aliases = client.get_registered_model(model.name).aliases
        before = champions(client, model.name)[-2:-1]
        versions = sorted(
            versions_of(client, model.name), key=lambda v: int(v.version), reverse=True
        )
        for rank, version in enumerate(versions):
            words = sorted(f"@{alias}" for alias, n in aliases.items() if _is(version, n))
            words += [f"one of the {newest} newest"] if rank < newest else []
            words += ["the champion before"] if str(version.version) in before else []
            if words:
                kept.append(_kept(version, words))
    return kept


def version_folders(settings: TrackingSettings, name: str) -> "Iterator[Path]":
    """Yield the model folder of each version of a model whose files are there, the newest first."""
    client = tracking.connect(settings)
    for version in sorted(versions_of(client, name), key=lambda v: int(v.version), reverse=True):
        with contextlib.suppress(ArtifactError):
            yield stored_model.fetch(client, settings, version)


def versions_of(client: "MlflowClient", name: str) -> "Iterable[ModelVersion]":
    """Yield the versions of a model, page by page."""
    token = None
    while token != "":
        page = client.search_model_versions(f"name = '{name}'", PAGE, page_token=token)
        yield from page
        token = page.token or ""


def _is(version: "ModelVersion", number: str | None) -> bool:
    return str(version.version) == str(number)


def _kept(version: "ModelVersion", words: list[str]) -> KeptVersion:
    named = ((stage, version.tags.get(tag, "none")) for tag, stage in STAGES.items())
    artifacts = tuple((stage, fingerprint) for stage, fingerprint in named if fingerprint != "none")
    return KeptVersion(version.name, str(version.version), ", ".join(words), artifacts)
