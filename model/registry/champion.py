"""Whether a version becomes champion: decided once, written down on the version, then done.

A decision that was written but not carried out, because the process was killed, is carried out by
the next call, unless the champion has changed in between; then it is decided anew.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from model.promotion.ledger import HOLD, PROMOTE, REJECT, PromotionLedger
from model.registry.lineage import is_other_corpus, sources_of
from model.registry.model_record import BITS_PER_BYTE, PROTOCOL
from model.registry.succession import BECAUSE, CHAMPION, FROM, at_alias, crown
from pipeline.errors import ChampionChanged

if TYPE_CHECKING:
    from model.registry.tracking import MlflowClient, ModelVersion

logger = logging.getLogger(__name__)

CHALLENGER = "challenger"
COMPLETE = "textmill.complete"
DECISION = "textmill.decision"
Judge = Callable[["ModelVersion"], PromotionLedger]  # of the champion, on the present text


@dataclass(frozen=True)
class Decision:
    """Whether a version becomes champion and why; `champion_before` is (version, bits per byte).

    `verdict` is 'promote', 'hold' (a person decides) or 'reject'.
    """

    champion_before: tuple[str, float] | None
    promoted: bool
    reason: str
    verdict: str

    def to_tag(self) -> str:
        """Return the form kept on the version."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_tag(cls, text: str) -> "Decision":
        """Read the form kept on the version."""
        value = json.loads(text)
        before, promoted = value["champion_before"], value["promoted"]
        verdict = value.get("verdict") or (PROMOTE if promoted else REJECT)
        return cls(before and (before[0], before[1]), promoted, value["reason"], verdict)


def apply_decision(client: "MlflowClient", version: "ModelVersion", judge: Judge) -> Decision:
    """Move the aliases as this version deserves and mark it complete; repeatable after a kill."""
    name, number = version.name, str(version.version)
    if _is_newest_challenger(client, version):
        client.set_registered_model_alias(name, CHALLENGER, number)
    decision = _written(version)
    if decision is None or not _still_holds(client, version, decision):
        decision = decide(client, version, judge)
        client.set_model_version_tag(name, number, DECISION, decision.to_tag())
    if decision.promoted:
        crown(client, name, number, decision.reason)
    if version.run_id and client.get_run(version.run_id).info.status != "FINISHED":
        client.set_terminated(version.run_id, "FINISHED")
    client.set_model_version_tag(name, number, COMPLETE, "true")
    return decision


def decide(client: "MlflowClient", version: "ModelVersion", judge: Judge) -> Decision:
    """Let `judge` hold the version against the champion, if there is one of the same corpus."""
    champion = at_alias(client, version.name, CHAMPION)
    own = float(version.tags[BITS_PER_BYTE])
    if champion is None:
        return Decision(None, True, f"champion: the first one, {own:.4f} bits per byte", PROMOTE)
    number = str(champion.version)
    if number == str(version.version):
        reason = f"champion already, {own:.4f} bits per byte"
        return Decision((number, own), True, reason, PROMOTE)
    if champion.tags.get(PROTOCOL) != version.tags[PROTOCOL] and is_other_corpus(
        version.tags, champion.tags
    ):
        theirs = float(champion.tags[BITS_PER_BYTE])
        return Decision((number, theirs), False, _not_compared(number, champion), REJECT)
    ledger = judge(champion)
    before = (number, ledger.champion_bits_per_byte)
    return Decision(before, ledger.verdict == PROMOTE, ledger.reason, ledger.verdict)


def written_decision(version: "ModelVersion") -> Decision:
    """Return the decision kept on a complete version."""
    return _written(version) or Decision(None, False, "no decision was recorded", REJECT)


def _written(version: "ModelVersion") -> Decision | None:
    text = version.tags.get(DECISION)
    try:
        return Decision.from_tag(text) if text else None
    except (ValueError, KeyError, TypeError, IndexError) as error:  # decided anew
        logger.warning("models:/%s/%s: tag %s: %r", version.name, version.version, DECISION, error)
        return None


def _still_holds(client: "MlflowClient", version: "ModelVersion", decision: Decision) -> bool:
    champion = at_alias(client, version.name, CHAMPION)
    before = decision.champion_before and decision.champion_before[0]
    now = None if champion is None else str(champion.version)
    return now in (before, str(version.version))


def is_outdated(client: "MlflowClient", version: "ModelVersion") -> bool:
    """Tell whether a version is held against a champion that is none any more."""
    decision = written_decision(version)
    return decision.verdict == HOLD and not _still_holds(client, version, decision)


def require_current(
    client: "MlflowClient", version: "ModelVersion", over: str | None = None
) -> None:
    """Raise ChampionChanged if a held version is to take over from another one than the champion.

    It is the one that it was held against, unless `over` names it. Where there is no champion any
    more there is nothing to be taken over.
    """
    name, number = version.name, str(version.version)
    champion = at_alias(client, name, CHAMPION)
    decision = written_decision(version)
    held_against = decision.champion_before if decision.verdict == HOLD else None
    wanted = over or (held_against and held_against[0])
    if champion is None or wanted is None or str(champion.version) in (wanted, number):
        return
    now, tags = str(champion.version), champion.tags
    raise ChampionChanged(
        f"{name} version {number}: was to take over from version {wanted}, and version {now} is "
        f"champion since {tags.get(FROM, '?')} ({tags.get(BECAUSE, 'no reason is known')}); a run "
        f"of its recipe judges it anew while its text is the newest; or, having looked at both, "
        f'`textmill promote {name} {number} --over {now} --because "..."`'
    )


def _is_newest_challenger(client: "MlflowClient", version: "ModelVersion") -> bool:
    challenger = at_alias(client, version.name, CHALLENGER)
    return challenger is None or int(challenger.version) < int(version.version)


def reason_now(client: "MlflowClient", version: "ModelVersion", decision: Decision) -> str:
    """Return why a version is where it is, as things stand: the decision was true on its day."""
    if decision.verdict == HOLD:
        command = f'textmill promote {version.name} {version.version} --because "..."'
        return f"{decision.reason}; `{command}` makes this one champion"
    champion = at_alias(client, version.name, CHAMPION)
    number = None if champion is None else str(champion.version)
    if not decision.promoted or number == str(version.version):
        return decision.reason
    now = "there is no champion now" if number is None else f"version {number} is champion now"
    return f"{now}; when it was registered: {decision.reason}"


def _not_compared(number: str, champion: "ModelVersion") -> str:
    return (
        f"version {number} stays champion, not compared: it was made of another corpus "
        f"({sources_of(champion.tags)}); give this one a name of its own with "
        f"--set register.model=NAME"
    )
