"""From what a command line names to models to serve."""

import json
from dataclasses import replace
from pathlib import Path

from model.registry.alias_version import alias_version
from model.registry.apart import shelf_of, stored_version_apart
from model.registry.model_path import model_path, parts_of
from model.registry.tracking_settings import TrackingSettings
from model.serve.service import ModelSource
from pipeline.store.artifact import MANIFEST

CARDS = ("card.md", "README.md")  # beside a model, where somebody wrote one
CARD_BYTES_MAX = 1 << 18
FINGERPRINT_DIGITS = 12


def source_of(name: str, address: str, tracking: TrackingSettings | None) -> ModelSource:
    """Find a model; raises what `stored_version_apart` raises.

    A folder that is an artifact has its fingerprint for a version. What an alias means can be asked
    again.
    """
    if not address.startswith("models:"):
        folder = model_path(address)
        return ModelSource(name, folder, address, _fingerprint(folder), _card(folder))
    if parts_of(address)[1]:
        return AliasFinder(name, address, tracking)()
    return _registered(name, address, tracking)


class AliasFinder:
    """Finds what an alias means, again and again: MLflow is loaded, elsewhere, when it moved."""

    def __init__(self, name: str, address: str, tracking: TrackingSettings | None):
        self._name, self._address, self._tracking = name, address, tracking
        self._latest: ModelSource | None = None

    def __call__(self) -> ModelSource:
        """Return the version that it means now; raises what `source_of` raises."""
        latest = self._latest
        if latest is None or self._tracking is None or self._number() != latest.version:
            latest = replace(_registered(self._name, self._address, self._tracking), find=self)
            self._latest = latest
        return latest

    def _number(self) -> str:
        assert self._tracking is not None
        return alias_version(self._address, self._tracking)


def _registered(name: str, address: str, tracking: TrackingSettings | None) -> ModelSource:
    stored = stored_version_apart(address, tracking)
    card = stored.card or _card(stored.folder)
    shelf = shelf_of(stored, tracking)
    return ModelSource(name, stored.folder, address, stored.number, card, shelf=shelf)


def _fingerprint(folder: Path) -> str:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        return str(manifest["fingerprint"])[:FINGERPRINT_DIGITS]
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # made elsewhere: it has none


def _card(folder: Path) -> str:
    for name in CARDS:
        path = folder / name
        if path.is_file() and path.stat().st_size <= CARD_BYTES_MAX:
            return path.read_text("utf-8", "replace")
    return ""
