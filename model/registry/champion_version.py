"""The present champion as what a training may go on from: its artifacts, or its stored files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.registry import stored_model, tracking
from model.registry.model_record import DATA
from model.registry.succession import CHAMPION
from model.registry.tracking import FINGERPRINT, TrackingSettings

if TYPE_CHECKING:
    from model.registry.tracking import MlflowClient, ModelVersion


@dataclass(frozen=True)
class ChampionVersion:
    """A registered champion; fingerprints are those of its artifacts `train` and `shard`."""

    training: str
    shards: str | None
    _client: "MlflowClient"
    _settings: TrackingSettings
    _version: "ModelVersion"

    def folder(self) -> Path:
        """Return the model folder that the registry stores, downloaded where it lies elsewhere."""
        return stored_model.fetch(self._client, self._settings, self._version)


def champion_version(settings: TrackingSettings, name: str) -> ChampionVersion | None:
    """Return the champion of a registered model; None where there is none."""
    if settings.database is not None and not settings.database.exists():
        return None
    client = tracking.connect(settings)
    if not client.search_registered_models(f"name = '{name}'"):
        return None
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    if number is None:
        return None
    version = client.get_model_version(name, str(number))
    if FINGERPRINT not in version.tags:
        return None
    return ChampionVersion(
        version.tags[FINGERPRINT], version.tags.get(DATA), client, settings, version
    )
