"""Versions that wait for a person: which run waits for the answer, and what it is to be about."""

import json
from dataclasses import dataclass
from pathlib import Path

from model.promotion.ledger import PromotionLedger
from model.registry import tracking
from model.registry.champion import CHALLENGER, require_current, written_decision
from model.registry.promotion_record import FOLDER, LEDGER
from model.registry.succession import at_alias
from model.registry.tracking import TrackingSettings

WAITS = "textmill.promotion.waits"  # of a version: the run that waits for a person's answer


@dataclass(frozen=True)
class HeldVersion:
    """A version, the champion it was held against, and what was decided: 'promote', 'hold'..."""

    name: str
    version: str
    champion: str
    verdict: str
    reason: str


def note_wait(settings: TrackingSettings, name: str, number: str, run: str) -> None:
    """Note on a version which run waits for the answer about it."""
    tracking.connect(settings).set_model_version_tag(name, number, WAITS, run)


def end_wait(settings: TrackingSettings, name: str, number: str) -> None:
    """Note that nobody waits any more."""
    client = tracking.connect(settings)
    if WAITS in client.get_model_version(name, number).tags:
        client.delete_model_version_tag(name, number, WAITS)


def waiting_run(settings: TrackingSettings, name: str, number: str) -> str | None:
    """Return the run that waits for the answer about a version, if one does."""
    return tracking.connect(settings).get_model_version(name, number).tags.get(WAITS)


def version_waited_for(settings: TrackingSettings, name: str, run: str) -> str | None:
    """Return the version of `name` about which this run waits, if any."""
    client = tracking.connect(settings)
    found = client.search_model_versions(f"name = '{name}' and tags.`{WAITS}` = '{run}'")
    return str(found[0].version) if found else None


def held_version(settings: TrackingSettings, name: str, number: str) -> HeldVersion:
    """Return a version with the champion that its evidence is about."""
    decision = written_decision(tracking.connect(settings).get_model_version(name, number))
    champion = decision.champion_before[0] if decision.champion_before else ""
    return HeldVersion(name, number, champion, decision.verdict, decision.reason)


def require_same_champion(settings: TrackingSettings, name: str, number: str) -> None:
    """Raise ChampionChanged if a version is held against a champion that is none any more."""
    client = tracking.connect(settings)
    require_current(client, client.get_model_version(name, number))


def verdict_of(settings: TrackingSettings, name: str, number: str) -> str:
    """Return what was decided about a version: 'promote', 'hold' or 'reject'."""
    return written_decision(tracking.connect(settings).get_model_version(name, number)).verdict


def challenger_now(settings: TrackingSettings, name: str) -> str | None:
    """Return the newest version, if any."""
    client = tracking.connect(settings)
    if not client.search_registered_models(f"name = '{name}'"):
        return None
    version = at_alias(client, name, CHALLENGER)
    return None if version is None else str(version.version)


def stored_ledger(settings: TrackingSettings, name: str, number: str) -> PromotionLedger | None:
    """Return the ledger that a version was judged by; None if it was not judged."""
    client = tracking.connect(settings)
    run = client.get_model_version(name, number).run_id or ""
    if not any(entry.path == f"{FOLDER}/{LEDGER}" for entry in client.list_artifacts(run, FOLDER)):
        return None
    path = Path(client.download_artifacts(run, f"{FOLDER}/{LEDGER}"))
    return PromotionLedger.from_json(json.loads(path.read_text(encoding="utf-8")))
