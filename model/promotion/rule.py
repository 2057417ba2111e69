"""The rule by which a challenger becomes champion; its table is in this room's README.

No worse than a margin is what trials of equivalence call non-inferiority: the upper end of the 95 %
interval of the difference must lie within the margin. It must for every slice, so that more slices
never make a false promotion likelier (Berger 1982, intersection-union tests).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.evaluation.paired import (
    ALL,
    DOCUMENTS_MIN,
    DocumentCost,
    Row,
    SliceDifference,
    differences,
)
from model.promotion.config import PromotionConfig
from model.promotion.ledger import (
    HOLD,
    PASSED,
    PROMOTE,
    REJECT,
    UNBOUNDED,
    PromotionGate,
    PromotionLedger,
    gravest,
)

PROBES = ("bias", "memorisation", "toxicity", "task")  # first words of figures
NOT_MEASURED = (
    "; what seeds alone cause is not known: textmill compare seed=1,2,3 --keep measures it"
)
TASK_WORDS = 4  # of a task's figure: task.NAME.METRIC.LANG


@dataclass(frozen=True)
class Challenger:
    """The version that is judged, with what its evaluation says of it.

    `documents` are rows of DOCUMENT_SCORE; `figures` {name: value} and `intervals` {name: (low,
    high)} are those of probes and tasks, `outcomes` those of the evaluation's gate; `failed_gates`
    names the stages whose gate failed critically.
    """

    version: str
    documents: Sequence[Row]
    figures: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    outcomes: Sequence[Mapping[str, Any]] = ()
    failed_gates: Sequence[str] = ()


@dataclass(frozen=True)
class ReigningChampion:
    """The champion: what the same documents cost it now, and the figures that it has."""

    version: str
    costs: Sequence[DocumentCost]
    figures: Mapping[str, float] = field(default_factory=dict)


def judge(
    challenger: Challenger, champion: ReigningChampion, config: PromotionConfig
) -> PromotionLedger:
    """Hold the challenger against every gate; both were scored on the same documents."""
    slices = differences(challenger.documents, champion.costs)
    gates = [
        _critical_gates(challenger),
        *(_slice_gate(difference, config) for difference in slices),
        *_probe_gates(challenger, champion),
        *_task_gates(challenger, champion),
    ]
    if not slices:
        gates.append(PromotionGate("all", None, "", HOLD, "no document that both were scored on"))
    verdict = gravest(gates)
    own, theirs = (slices[0].challenger, slices[0].champion) if slices else (math.nan, math.nan)
    figures = f"{own:.4f} bits per byte, version {champion.version} has {theirs:.4f}"
    return PromotionLedger(
        verdict=verdict,
        reason=_reason(verdict, champion.version, figures, gates),
        champion=champion.version,
        challenger=challenger.version,
        champion_bits_per_byte=theirs,
        challenger_bits_per_byte=own,
        gates=tuple(gates),
        slices=tuple(slices),
    )


def _critical_gates(challenger: Challenger) -> PromotionGate:
    failed = challenger.failed_gates
    words = f"failed after {', '.join(failed)}" if failed else "none of the run failed"
    verdict = REJECT if failed else PASSED
    return PromotionGate("critical gates", float(len(failed)), "0 failed", verdict, words)


def _slice_gate(difference: SliceDifference, config: PromotionConfig) -> PromotionGate:
    worst = None
    if difference.kind == ALL:
        verdict, because = _whole(difference, config)
        bound = f"at most -{config.gain_wanted:.4g}, interval below 0"
    elif difference.share < config.share_min:
        verdict, bound = UNBOUNDED, ""
        because = f"{difference.share:.1%} of held-out bytes, bounds begin at {config.share_min:g}"
    else:
        worst = config.worse_max(difference.key)
        verdict, because = _part(difference, worst)
        bound = f"interval below {worst:.4g}"
    return PromotionGate(
        name=" ".join((difference.kind, difference.name)) if difference.kind != ALL else ALL,
        figure=difference.difference,
        bound=bound,
        verdict=verdict,
        because=because,
        low=difference.low,
        high=difference.high,
        worse_max=worst,
    )


def _whole(difference: SliceDifference, config: PromotionConfig) -> tuple[str, str]:
    """Judge all held-out text: better, and by more than seeds alone cause."""
    more, high = difference.difference, difference.high
    if math.isfinite(difference.challenger) and not math.isfinite(difference.champion):
        return PASSED, "the champion's figure is not a number"
    if not math.isfinite(more):
        return REJECT, "its figure is not a number"
    if more == 0:
        return REJECT, "a tie"
    if more > -config.gain_wanted:
        return REJECT, f"not better: {_too_little(-more, config)}"
    if high is None or difference.clusters < DOCUMENTS_MIN:
        return HOLD, f"better by {-more:.4f}, on too few documents ({difference.documents})"
    if high >= 0:
        return HOLD, f"better by {-more:.4f}, but the documents do not agree"
    return PASSED, f"better by {-more:.4f}{'' if config.seed_spread else NOT_MEASURED}"


def _too_little(gain: float, config: PromotionConfig) -> str:
    """Say why a gain is none."""
    if gain < 0:
        return "worse"
    seeds = config.gain_wanted > config.gain_min
    because = "what seeds alone may cause" if seeds else f"gain_min is {config.gain_min:g}"
    return f"better by {gain:.4f}, {because}"


def _part(difference: SliceDifference, worst: float) -> tuple[str, str]:
    """Judge a language or source; of too few documents the difference counts, not its interval."""
    more, low, high = difference.difference, difference.low, difference.high
    of = f"{difference.documents} document{'s' * (difference.documents != 1)}"
    if not math.isfinite(difference.champion) and math.isfinite(difference.challenger):
        return PASSED, "the champion's figure is not a number"
    if not more <= worst:
        proven = low is not None and low > worst
        return HOLD, f"worse by {more:.4f}{'' if proven else f', not beyond doubt ({of})'}"
    if high is None or low is None or difference.clusters < DOCUMENTS_MIN:
        return PASSED, f"{of}, too few for an interval: the difference itself is within the bound"
    if high > worst:
        return HOLD, f"too little evidence: it may be worse by {high:.4f} ({of})"
    return PASSED, f"{'better' if more < 0 else 'worse'} by {abs(more):.4f}"


def _probe_gates(challenger: Challenger, champion: ReigningChampion) -> Iterator[PromotionGate]:
    """Yield a gate for each bound that the evaluation's suite has on a probe or task.

    A champion that is past the bound as far moves the bound: the new model is no worse.
    """
    for outcome in challenger.outcomes:
        name, observed = outcome["metric"], outcome["observed"]
        if name.partition(".")[0] not in PROBES:
            continue
        least, most = outcome["expect"]["at_least"], outcome["expect"]["at_most"]
        limits = (("at least", least), ("at most", most))
        bound = " and ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)
        verdict, because = PASSED, "within the bound"
        if not outcome["passed"]:
            verdict, because = HOLD, "past the bound"
            theirs = champion.figures.get(name)
            if theirs is not None and observed is not None and _as_far(observed, theirs, most):
                verdict, because = PASSED, f"past the bound, but the champion has {theirs:.4g}"
        yield PromotionGate(name, observed, bound, verdict, because)


def _as_far(observed: float, theirs: float, most: float | None) -> bool:
    return observed <= theirs if most is not None and observed > most else observed >= theirs


def _task_gates(challenger: Challenger, champion: ReigningChampion) -> Iterator[PromotionGate]:
    """Yield a gate for each task's figure that both models have: not clearly below."""
    for name, value in challenger.figures.items():
        words = name.split(".")
        if words[0] != "task" or len(words) != TASK_WORDS or name not in champion.figures:
            continue
        theirs = champion.figures[name]
        _, high = challenger.intervals.get(name, (None, None))
        worse = value < theirs if high is None else high < theirs
        verdict, because = (HOLD, "below the champion") if worse else (PASSED, "not below it")
        yield PromotionGate(f"{name}, champion's", value, f"{theirs:.4g}", verdict, because)


def _reason(verdict: str, champion: str, figures: str, gates: Sequence[PromotionGate]) -> str:
    if verdict == PROMOTE:
        return f"champion: {figures} on the same held-out text"
    stopped = [gate for gate in gates if gate.verdict == verdict]
    because = "; ".join(
        gate.because if gate.name == ALL else f"{gate.name}: {gate.because}" for gate in stopped
    )
    stays = "stays champion" if verdict == REJECT else "stays champion until a person decides"
    return f"version {champion} {stays}: {because} ({figures} on the same held-out text)"
