"""Who was champion from when to when, and why: the alias is moved here and nowhere else.

MLflow sets an alias without comparing, so a move is made under our lock and looked at afterwards.
The intent is written first, then the alias moves in one transaction, then the versions' tags tell
the story; a move that was killed in between is finished by the next one if the alias had moved,
else forgotten: the old champion was never anything but whole.
"""

import json
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.errors import ServiceError

if TYPE_CHECKING:
    from model.registry.tracking import MlflowClient, ModelVersion

logger = logging.getLogger(__name__)

CHAMPION = "champion"
MOVE = "textmill.champion.move"  # of the model: a move that is under way
LINE = "textmill.champion.line"  # of the model: versions, each champion after the one before it
FROM, UNTIL = "textmill.champion.from", "textmill.champion.until"  # of a version, UTC
BECAUSE, ENDED = "textmill.champion.because", "textmill.champion.ended"
EARLIER = "textmill.champion.earlier"  # times in which it was champion before these
LINE_MAX = 200  # champions remembered


@dataclass(frozen=True)
class ChampionMove:
    """The alias leaves `before` for `version`; `line` is the succession with it."""

    name: str
    version: str
    before: str | None
    because: str
    ended: str  # what is noted on the version before
    at: str  # UTC
    line: tuple[str, ...]


def at_alias(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    """Return the version that `alias` points to, if any."""
    number = client.get_registered_model(name).aliases.get(alias)
    return None if number is None else client.get_model_version(name, str(number))


def crown(client: "MlflowClient", name: str, number: str, because: str) -> ChampionMove | None:
    """Make a version champion, after the one there is; None if it is champion already."""
    finish_interrupted(client, name)
    line = champions(client, name)
    if line and line[-1] == number:
        return None
    before = line[-1] if line else None
    ended = f"version {number} took over: {because}"
    line = (*line, number)[-LINE_MAX:]
    move = ChampionMove(name, number, before, because, ended, _now(), line)
    _carry_out(client, move)
    return move


def step_back(
    client: "MlflowClient", name: str, number: str, line: tuple[str, ...], because: str
) -> ChampionMove:
    """Make an earlier champion champion again; `line` is the succession up to it."""
    before = champions(client, name)[-1]
    reason = rollback_reason(before, because)
    ended = f"rolled back to version {number}: {because}"
    move = ChampionMove(name, number, before, reason, ended, _now(), line)
    _carry_out(client, move)
    return move


def rollback_reason(before: str | None, because: str) -> str:
    """Return what is noted on the version that a rollback from `before` puts back."""
    return f"rollback from version {before}: {because}"


def champions(client: "MlflowClient", name: str) -> tuple[str, ...]:
    """Return the versions that were champion, each after the one that it replaced.

    The last one is the champion of this moment: an alias that was moved by other hands counts.
    """
    model = client.get_registered_model(name)
    line = tuple(json.loads(model.tags.get(LINE, "[]")))
    number = model.aliases.get(CHAMPION)
    if number is None or (line and line[-1] == str(number)):
        return line if number is not None else ()
    return (*line, str(number))


def finish_interrupted(client: "MlflowClient", name: str) -> ChampionMove | None:
    """Finish a move that was killed after the alias had moved, forget one that was killed before.

    Returns the move that was finished. To be called under the lock of the registry.
    """
    text = client.get_registered_model(name).tags.get(MOVE)
    if text is None:
        return None
    try:
        stored: dict[str, Any] = json.loads(text)
        move = ChampionMove(**{**stored, "line": tuple(stored["line"])})
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("models:/%s: tag %s is not readable: %r", name, MOVE, error)
        client.delete_registered_model_tag(name, MOVE)
        return None
    if _number_at(client, name) == move.version:
        _tell(client, move)
        return move
    client.delete_registered_model_tag(name, MOVE)
    return None


def _carry_out(client: "MlflowClient", move: ChampionMove) -> None:
    client.set_registered_model_tag(move.name, MOVE, json.dumps(asdict(move), ensure_ascii=False))
    client.set_registered_model_alias(move.name, CHAMPION, move.version)
    now = _number_at(client, move.name)
    if now != move.version:
        raise ServiceError(
            f"models:/{move.name}@{CHAMPION}: leads to version {now}, wanted version "
            f"{move.version}, where it was moved a moment ago; something that does not take "
            f"textmill's lock moves it too; end that, then run this again"
        )
    _tell(client, move)


def _tell(client: "MlflowClient", move: ChampionMove) -> None:
    """Write the story on both versions, then forget the intent; repeatable after a kill."""
    if move.before is not None and _exists(client, move.name, move.before):
        client.set_model_version_tag(move.name, move.before, ENDED, move.ended)
        client.set_model_version_tag(move.name, move.before, UNTIL, move.at)
    tags = client.get_model_version(move.name, move.version).tags
    if UNTIL in tags and tags.get(FROM) != move.at:  # champion for another time
        ended = f"{tags.get(FROM, '?')} to {tags[UNTIL]}"
        earlier = "; ".join(filter(None, (tags.get(EARLIER), ended)))
        client.set_model_version_tag(move.name, move.version, EARLIER, earlier)
        client.set_model_version_tag(move.name, move.version, FROM, move.at)
    for tag in (UNTIL, ENDED):
        if tag in tags:
            client.delete_model_version_tag(move.name, move.version, tag)
    for tag, value in ((FROM, move.at), (BECAUSE, move.because)):
        client.set_model_version_tag(move.name, move.version, tag, value)
    client.set_registered_model_tag(move.name, LINE, json.dumps(move.line))
    client.delete_registered_model_tag(move.name, MOVE)


def _number_at(client: "MlflowClient", name: str) -> str | None:
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if number is None else str(number)


def _exists(client: "MlflowClient", name: str, number: str) -> bool:
    return bool(client.search_model_versions(f"name = '{name}' and version_number = {number}"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
