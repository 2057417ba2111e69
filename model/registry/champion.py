"""Which version is the champion: decided once, written down on the version, then done.

A decision that was written but not carried out, because the process was killed, is carried out by
the next call, unless the champion has changed in between; then it is decided anew.
"""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from model.registry.lineage import is_other_corpus, sources_of
from model.registry.model_record import BITS_PER_BYTE, PROTOCOL

if TYPE_CHECKING:
    from model.registry.tracking import MlflowClient, ModelVersion

logger = logging.getLogger(__name__)

CHALLENGER = "challenger"
CHAMPION = "champion"
COMPLETE = "textmill.complete"
DECISION = "textmill.decision"
Score = Callable[["ModelVersion"], float]  # champion -> bits per byte on the present text


@dataclass(frozen=True)
class Decision:
    """Whether a version becomes champion and why; `champion_before` is (version, bits per byte)."""

    champion_before: tuple[str, float] | None
    promoted: bool
    reason: str

    def to_tag(self) -> str:
        """Return the form kept on the version."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_tag(cls, text: str) -> "Decision":
        """Read the form kept on the version."""
        value = json.loads(text)
        before = value["champion_before"]
        return cls(before and (before[0], before[1]), value["promoted"], value["reason"])


def apply_decision(client: "MlflowClient", version: "ModelVersion", score: Score) -> Decision:
    """Move the aliases as this version deserves and mark it complete; repeatable after a kill."""
    name, number = version.name, str(version.version)
    if _is_newest_challenger(client, version):
        client.set_registered_model_alias(name, CHALLENGER, number)
    decision = _written(version)
    if decision is None or not _still_holds(client, version, decision):
        decision = decide(client, version, score)
        client.set_model_version_tag(name, number, DECISION, decision.to_tag())
    if decision.promoted:
        client.set_registered_model_alias(name, CHAMPION, number)
    if version.run_id and client.get_run(version.run_id).info.status != "FINISHED":
        client.set_terminated(version.run_id, "FINISHED")
    client.set_model_version_tag(name, number, COMPLETE, "true")
    return decision


def decide(client: "MlflowClient", version: "ModelVersion", score: Score) -> Decision:
    """Compare bits per byte on the same text; the lower figure wins, a tie keeps the champion.

    The champion's stored figure counts if both were measured by the same protocol, else `score`
    measures it now.
    """
    champion = at_alias(client, version.name, CHAMPION)
    own = float(version.tags[BITS_PER_BYTE])
    if champion is None:
        return Decision(None, True, f"champion: the first one, {own:.4f} bits per byte")
    number = str(champion.version)
    if number == str(version.version):
        return Decision((number, own), True, f"champion already, {own:.4f} bits per byte")
    if champion.tags.get(PROTOCOL) != version.tags[PROTOCOL] and is_other_corpus(
        version.tags, champion.tags
    ):
        theirs = float(champion.tags[BITS_PER_BYTE])
        return Decision((number, theirs), False, _not_compared(number, champion))
    if champion.tags.get(PROTOCOL) == version.tags[PROTOCOL]:
        theirs, how = float(champion.tags[BITS_PER_BYTE]), "on the same held-out text"
    else:
        theirs, how = score(champion), "when scored now on this model's held-out text"
    better = math.isfinite(own) and (own < theirs or not math.isfinite(theirs))
    return Decision((number, theirs), better, _reason(number, own, theirs, better, how))


def at_alias(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    """Return the version that `alias` points to, if any."""
    number = client.get_registered_model(name).aliases.get(alias)
    return None if number is None else client.get_model_version(name, str(number))


def written_decision(version: "ModelVersion") -> Decision:
    """Return the decision kept on a complete version."""
    return _written(version) or Decision(None, False, "no decision was recorded")


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


def _is_newest_challenger(client: "MlflowClient", version: "ModelVersion") -> bool:
    challenger = at_alias(client, version.name, CHALLENGER)
    return challenger is None or int(challenger.version) < int(version.version)


def reason_now(client: "MlflowClient", version: "ModelVersion", decision: Decision) -> str:
    """Return why a version is where it is, as things stand: the decision was true on its day."""
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


def _reason(number: str, own: float, theirs: float, better: bool, how: str) -> str:
    if better:
        return f"champion: {own:.4f} bits per byte, version {number} has {theirs:.4f} {how}"
    word = "a tie" if own == theirs else "not better"
    return (
        f"version {number} stays champion: {word}, {own:.4f} bits per byte, "
        f"it has {theirs:.4f} {how}"
    )
