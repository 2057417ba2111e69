"""Every registered version with what its tags say of where it came from, and the run behind one."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from model.registry import tracking
from model.registry.kept_versions import STAGES, versions_of
from model.registry.model_record import GATES, PARENT
from model.registry.succession import FROM, UNTIL
from model.registry.tracking import TrackingSettings
from model.registry.versions import connect_to_read, version_at

if TYPE_CHECKING:
    from model.registry.tracking import ModelVersion


@dataclass(frozen=True)
class VersionRecord:
    """A version: when it was registered and was champion (UTC), fingerprints of its artifacts."""

    name: str
    number: str
    created: str
    aliases: tuple[str, ...]
    run_id: str
    artifacts: dict[str, str]  # by stage: train, evaluate, shard
    champion_from: str | None = None
    champion_until: str | None = None
    parent: str | None = None  # content of the model that it was fine-tuned from
    gates: str | None = None

    @property
    def label(self) -> str:
        """Name and number: 'world/3'."""
        return f"{self.name}/{self.number}"


def registered_versions(settings: TrackingSettings) -> list[VersionRecord]:
    """Return all versions by name and number; none where no model was ever registered."""
    if settings.database is not None and not settings.database.exists():
        return []
    client = tracking.connect(settings)
    records = []
    for model in sorted(client.search_registered_models(), key=lambda model: model.name):
        aliases: dict[str, list[str]] = {}
        for alias, number in client.get_registered_model(model.name).aliases.items():
            aliases.setdefault(str(number), []).append(alias)
        versions = sorted(versions_of(client, model.name), key=lambda v: int(v.version))
        records += [_record(v, aliases.get(str(v.version), [])) for v in versions]
    return records


def version_with_run(settings: TrackingSettings, uri: str) -> tuple[VersionRecord, dict[str, Any]]:
    """Return the version at `models:/...` and its run: id, name, times (UTC), settings.

    Raises what `resolve` raises.
    """
    client = connect_to_read(uri, settings)
    version = version_at(client, settings, uri)
    run = client.get_run(str(version.run_id))
    known = {
        "id": run.info.run_id,
        "name": run.info.run_name,
        "started": _utc(run.info.start_time),
        "ended": _utc(run.info.end_time),
        "settings": dict(sorted(run.data.params.items())),
    }
    aliases = client.get_registered_model(version.name).aliases
    own = [alias for alias, number in aliases.items() if str(number) == str(version.version)]
    return _record(version, own), known


def _record(version: "ModelVersion", aliases: list[str]) -> VersionRecord:
    tags = version.tags
    named = {stage: tags.get(tag, "none") for tag, stage in STAGES.items()}
    return VersionRecord(
        version.name,
        str(version.version),
        _utc(version.creation_timestamp) or "",
        tuple(sorted(aliases)),
        version.run_id or "",
        {stage: fingerprint for stage, fingerprint in named.items() if fingerprint != "none"},
        tags.get(FROM),
        tags.get(UNTIL),
        tags.get(PARENT),
        tags.get(GATES),
    )


def _utc(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
