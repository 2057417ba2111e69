"""Damaged parts of a shard artifact: all of them found and named before any is read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ArtifactError, ConfigError
from pipeline.store.artifact import MAIN, Artifact
from pipeline.store.integrity import damages


def sound_parts(
    shards: Artifact, skip_parts: Sequence[str] = ()
) -> tuple[list[Path], list[dict[str, Any]]]:
    """Return the paths of the main table's parts, and an entry for each that is left out.

    An entry holds `path`, `rows`, `tokens` and `reason`: what is wrong with it, if anything. Raises
    ArtifactError naming every other part that is missing, truncated or altered, ConfigError for a
    name in `skip_parts` that the manifest does not list.
    """
    entries = shards.manifest["tables"].get(MAIN, [])
    _refuse_unknown(shards, skip_parts, [entry["path"] for entry in entries])
    damage_of_entries = list(zip(entries, damages(shards.path, entries), strict=True))
    broken = [
        (e["path"], what) for e, what in damage_of_entries if what and e["path"] not in skip_parts
    ]
    if broken:
        raise ArtifactError(_message(shards, broken, skip_parts))
    skipped = [
        {
            "path": entry["path"],
            "rows": entry["rows"],
            "tokens": entry.get("tokens"),
            "reason": what or "sound, left out all the same",
        }
        for entry, what in damage_of_entries
        if entry["path"] in skip_parts
    ]
    kept = [shards.path / entry["path"] for entry in entries if entry["path"] not in skip_parts]
    return kept, skipped


def _refuse_unknown(shards: Artifact, skip_parts: Sequence[str], known: Sequence[str]) -> None:
    for name in skip_parts:
        if name not in known:
            raise ConfigError(
                f"train.data.skip_parts: {shards.path} has no part {name!r}; "
                f"it has {', '.join(known)}"
            )


def _message(shards: Artifact, broken: Sequence[tuple[str, str]], skip_parts: Sequence[str]) -> str:
    listed = "; ".join(f"{name}: {what}" for name, what in broken)
    names = ", ".join(f'"{name}"' for name in [*skip_parts, *(name for name, _ in broken)])
    return (
        f"{shards.path}: damaged shards: {listed}. Remove the folder and run `shard` again, or "
        f"train without them: --set 'train.data.skip_parts=[{names}]'"
    )
