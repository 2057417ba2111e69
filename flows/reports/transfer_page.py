"""The report of a transfer: as JSON, as figures for MLflow, and as one page that needs no other."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expectations import html
from model.evaluation.intervals import RESAMPLES
from model.formats.base_model import BaseModel
from model.registry.metric_names import metric_name
from model.reports.markdown import flatten
from model.transferring.arms import LINEAR, NETWORKS, SCRATCH, TRANSFERRED, WORDS, TransferConfig
from model.transferring.comparison import (
    BEATS,
    LOSES,
    UNDECIDED,
    ArmComparison,
    MeanInterval,
    mean_accuracy,
)
from pipeline.store.fingerprint import plain

NAMES = {
    SCRATCH: "from scratch",
    TRANSFERRED: "transferred",
    LINEAR: "TF-IDF + logistic regression",
    WORDS: "Word2Vec + logistic regression",
}
SHORT = {**NAMES, SCRATCH: "scratch", LINEAR: "TF-IDF", WORDS: "Word2Vec"}
RIVALS = (SCRATCH, LINEAR, WORDS)
RIVAL_IS = {
    BEATS: ("passed", "beaten"),
    LOSES: ("failed", "ahead"),
    UNDECIDED: ("warned", "not told apart"),
}
HEAD = (
    "set",
    "taught by, asked",
    NAMES[TRANSFERRED],
    *(NAMES[arm] for arm in RIVALS),
    "bits per byte, from scratch and transferred",
)
SETTINGS_HEAD = ("setting", "value")
TEMPLATES = Path(__file__).with_name("templates")


def report(
    found: Sequence[ArmComparison],
    left_out: Mapping[str, str],
    base: BaseModel,
    config: TransferConfig,
    seeds: int,
) -> dict[str, Any]:
    """Return everything that was found and how, and why sets were left out, as JSON values."""
    return plain(
        {
            "headline": headline(found),
            "model": base.fingerprint,
            "settings": {
                **dict(flatten(plain(asdict(config)))),
                "seeds": list(range(1, seeds + 1)),
            },
            "mean_accuracy": mean_accuracy(found),
            "sets": [one.to_json() for one in found],
            "left_out": dict(left_out),
        }
    )


def headline(found: Sequence[ArmComparison]) -> str:
    """Return the outcome in two sentences."""
    won = sum(one.verdict(SCRATCH) == BEATS for one in found)
    lost = [one.name for one in found if one.verdict(LINEAR) == LOSES]
    text = f"The transferred model beats the one from scratch on {won} of {len(found)} sets."
    if not lost:
        return f"{text} It loses to TF-IDF + logistic regression on none."
    return f"{text} It loses to TF-IDF + logistic regression on {len(lost)}: {', '.join(lost)}."


def sentence(one: ArmComparison) -> str:
    """Return what came of one set of examples in a line."""
    told = "; ".join(f"{one.verdict(arm)} {SHORT[arm]} ({_against(one, arm)})" for arm in one.over)
    return f"{one.name}: transferred {percent(one.accuracy[TRANSFERRED])}: {told}"


def _against(one: ArmComparison, arm: str) -> str:
    own = f"{_of(one, TRANSFERRED, arm)} against " if one.by_bits(arm) else ""
    return own + _of(one, arm, arm)


def _of(one: ArmComparison, arm: str, rival: str) -> str:
    """Return the figure of an arm by which the transferred model is compared with its rival."""
    if one.by_bits(rival):
        return f"{one.bits_per_byte[arm].mean:.3f} bits per byte"
    return percent(one.accuracy[arm])


def percent(figure: MeanInterval, digits: int = 1) -> str:
    """Return a share with its interval, as in 61.0 [58.5, 63.4] %."""
    mean, *bounds = (f"{100 * one:.{digits}f}" for one in (figure.mean, figure.low, figure.high))
    return f"{mean} [{', '.join(bounds)}] %"


def metrics(found: Sequence[ArmComparison]) -> dict[str, float]:
    """Return the figures by the names they have in MLflow."""
    named = {f"transfer/mean/{arm}/accuracy": value for arm, value in mean_accuracy(found).items()}
    for one in found:
        place = metric_name(f"transfer/{one.name}")
        for arm, figure in one.accuracy.items():
            named |= _with_bounds(f"{place}/{arm}/accuracy", figure)
        for arm, figure in one.bits_per_byte.items():
            named |= _with_bounds(f"{place}/{arm}/bits_per_byte", figure)
        for arm, figure in one.over.items():
            named |= _with_bounds(f"{place}/gain_over_{arm}", figure)
    return named


def _with_bounds(name: str, figure: MeanInterval) -> dict[str, float]:
    return {name: figure.mean, f"{name}_low": figure.low, f"{name}_high": figure.high}


def render(found: Sequence[ArmComparison], told: dict[str, Any], plots: Sequence[Path]) -> str:
    """Return the page as HTML, plots inside."""
    even = _with_verdict(found, UNDECIDED)
    return html.render(
        "transfer.html",
        TEMPLATES,
        title="textmill: transfer",
        kind="passed" if all(one.verdict(SCRATCH) == BEATS for one in found) else "warned",
        headline=told["headline"],
        sets=[_row(one) for one in found],
        lost=[_loss(one, arm) for one, arm in _with_verdict(found, LOSES)],
        even=[f"{one.name} ({SHORT[arm]})" for one, arm in even],
        left_out=list(told["left_out"].values()),
        plots=[
            {"name": plot.stem, "data": base64.b64encode(plot.read_bytes()).decode()}
            for plot in plots
        ],
        seeds=", ".join(map(str, told["settings"]["seeds"])),
        resamples=f"{RESAMPLES:,}",
        settings={name: str(value) for name, value in told["settings"].items()},
        HEAD=HEAD,
        SETTINGS_HEAD=SETTINGS_HEAD,
    )


def _row(one: ArmComparison) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": f"{one.task}, {', '.join(one.langs)}",
        "counts": f"{one.examples:,}, {one.questions:,}",
        "chance": f"{one.chance:.0%}",
        "transferred": _bounded(one.accuracy[TRANSFERRED]),
        "rivals": [_rival(one, arm) if arm in one.over else None for arm in RIVALS],
        "bits": ", ".join(f"{one.bits_per_byte[arm].mean:.2f}" for arm in NETWORKS),
        "saved": f"{one.bits_saved.low:.2f} to {one.bits_saved.high:.2f}",
    }


def _rival(one: ArmComparison, arm: str) -> dict[str, Any]:
    """Return the accuracy of an arm, what the transferred network gains on it, and the verdict."""
    gap = one.over[arm]
    kind, word = RIVAL_IS[one.verdict(arm)]
    gain = f"{gap.low:+.1%} to {gap.high:+.1%}"
    return {"accuracy": _bounded(one.accuracy[arm]), "gain": gain, "kind": kind, "word": word}


def _bounded(figure: MeanInterval) -> dict[str, str]:
    return {name: f"{getattr(figure, name):.1%}" for name in ("mean", "low", "high")}


def _loss(one: ArmComparison, arm: str) -> str:
    own = _of(one, TRANSFERRED, arm)
    return f"{one.name}: {NAMES[arm]} has {_of(one, arm, arm)}, the transferred model {own}."


def _with_verdict(found: Sequence[ArmComparison], verdict: str) -> list[tuple[ArmComparison, str]]:
    return [(one, arm) for one in found for arm in one.over if one.verdict(arm) == verdict]
