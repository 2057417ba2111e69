"""What a person does to the champion: promote a version, or put the one before back."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.promotion.ledger import PROMOTE, REJECT
from model.registry import stored_model
from model.registry.champion import DECISION, Decision, require_current, written_decision
from model.registry.model_name import check_model_name
from model.registry.model_record import BITS_PER_BYTE
from model.registry.registry_lock import registry_locked
from model.registry.succession import (
    CHAMPION,
    ChampionMove,
    at_alias,
    champions,
    crown,
    finish_interrupted,
    rollback_reason,
    step_back,
)
from model.registry.tracking import TrackingSettings
from model.registry.versions import connect_to_read, version_at
from pipeline.errors import ArtifactError, ConfigError
from pipeline.store.artifact import check_hashes

if TYPE_CHECKING:
    from model.registry.tracking import MlflowClient


@dataclass(frozen=True)
class Succession:
    """Where the alias went: from `before` to `version`; `aliases` as they lead now.

    `folder` is the champion's model folder, `passed_over` says of earlier champions why they could
    not come back, `because` is empty if nothing had to move.
    """

    name: str
    version: str
    before: str | None
    because: str
    folder: str
    aliases: dict[str, str]
    passed_over: list[str] = field(default_factory=list)


def promote(
    settings: TrackingSettings, name: str, number: str, because: str, over: str | None = None
) -> Succession:
    """Make a version champion whatever was decided; it must be whole.

    One that was held takes over from the champion that it was held against, or from `over`; raises
    ChampionChanged if that is not the champion of now. Raises ConfigError for a version that is not
    there or without a reason, ArtifactError for one whose files are damaged.
    """
    _require_reason(because)
    client = _connect(settings, name, number)
    with registry_locked(settings):
        version = version_at(client, settings, f"models:/{name}/{number}")
        finish_interrupted(client, name)
        require_current(client, version, over)
        check_hashes(stored_model.fetch(client, settings, version))
        before = at_alias(client, name, CHAMPION)
        if before is not None and str(before.version) != number:
            reason = f"promoted by a person: {because}"
            theirs = (str(before.version), float(before.tags.get(BITS_PER_BYTE, "nan")))
            decision = Decision(theirs, True, reason, PROMOTE)
            client.set_model_version_tag(name, number, DECISION, decision.to_tag())
        move = crown(client, name, number, f"promoted by a person: {because}")
        return _outcome(client, settings, name, move, [])


def refuse(settings: TrackingSettings, name: str, number: str, because: str) -> Succession:
    """Note on a version that a person refused it; the champion stays.

    Raises ConfigError for the champion itself: `rollback` is for that.
    """
    _require_reason(because)
    client = _connect(settings, name, number)
    with registry_locked(settings):
        version = version_at(client, settings, f"models:/{name}/{number}")
        finish_interrupted(client, name)
        if CHAMPION in version.aliases:
            raise ConfigError(
                f"{name} version {number}: is champion; `textmill rollback {name}` puts the one "
                f"before back"
            )
        before = written_decision(version).champion_before
        decision = Decision(before, False, f"refused by a person: {because}", REJECT)
        client.set_model_version_tag(name, number, DECISION, decision.to_tag())
        return _outcome(client, settings, name, None, [])


def rollback(settings: TrackingSettings, name: str, because: str) -> Succession:
    """Put the champion before this one back; one whose files are gone or damaged is passed over.

    A rollback for the same reason that was killed when the alias had moved is what this one
    finishes: it goes no further back. Raises ConfigError if there is no earlier champion.
    """
    client = _connect(settings, name, CHAMPION)
    with registry_locked(settings):
        killed = finish_interrupted(client, name)
        if killed is not None and killed.because == rollback_reason(killed.before, because):
            return _outcome(client, settings, name, killed, [])
        line = champions(client, name)
        passed_over: list[str] = []
        for end in range(len(line) - 1, 0, -1):
            number = line[end - 1]
            if number == line[-1]:
                continue
            try:
                version = version_at(client, settings, f"models:/{name}/{number}")
                check_hashes(stored_model.fetch(client, settings, version))
            except (ArtifactError, ConfigError) as error:
                passed_over.append(f"version {number}: {error}")
                continue
            move = step_back(client, name, number, line[:end], because)
            return _outcome(client, settings, name, move, passed_over)
    reasons = f" ({'; '.join(passed_over)})" if passed_over else ""
    now = f"version {line[-1]} is the first champion" if line else "there is no champion"
    raise ConfigError(
        f"rollback {name}: {now}, no earlier one can come back{reasons}; "
        f"`textmill promote {name} VERSION` makes any version champion"
    )


def _require_reason(because: str) -> None:
    if not because.strip():
        raise ConfigError('--because: no reason; say why, as in --because "fewer false claims"')


def _connect(settings: TrackingSettings, name: str, place: str) -> "MlflowClient":
    check_model_name(name)
    uri = f"models:/{name}@{place}" if place == CHAMPION else f"models:/{name}/{place}"
    client = connect_to_read(uri, settings)
    if place == CHAMPION and not client.search_registered_models(f"name = '{name}'"):
        version_at(client, settings, uri)  # refuses the name, with those there are
    return client


def _outcome(
    client: "MlflowClient",
    settings: TrackingSettings,
    name: str,
    move: ChampionMove | None,
    passed_over: list[str],
) -> Succession:
    champion = at_alias(client, name, CHAMPION)
    assert champion is not None  # it was just moved, under the lock
    aliases = client.get_registered_model(name).aliases
    return Succession(
        name=name,
        version=str(champion.version),
        before=None if move is None else move.before,
        because="" if move is None else move.because,
        folder=str(stored_model.fetch(client, settings, champion)),
        aliases={alias: str(number) for alias, number in sorted(aliases.items())},
        passed_over=passed_over,
    )
