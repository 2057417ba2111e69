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
from model.transferring.comparison import (
    BEATS,
    LOSES,
    UNDECIDED,
    ArmComparison,
    MeanInterval,
    mean_accuracy,
)
from model.transferring.config import LINEAR, NETWORKS, SCRATCH, TRANSFERRED, WORDS, TransferConfig
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
    comparisons: Sequence[ArmComparison],
    left_out: Mapping[str, str],
    base: BaseModel,
    config: TransferConfig,
    seeds: int,
) -> dict[str, Any]:
    """Return everything that was found and how, and why sets were left out, as JSON values."""
    return plain(
        {
            "headline": headline(comparisons),
            "model": base.fingerprint,
            "settings": {
                **dict(flatten(plain(asdict(config)))),
                "seeds": list(range(1, seeds + 1)),
            },
            "mean_accuracy": mean_accuracy(comparisons),
            "sets": [comparison.to_json() for comparison in comparisons],
            "left_out": dict(left_out),
        }
    )


def headline(comparisons: Sequence[ArmComparison]) -> str:
    """Return the outcome in two sentences."""
    won = sum(comparison.verdict(SCRATCH) == BEATS for comparison in comparisons)
    lost = [comparison.name for comparison in comparisons if comparison.verdict(LINEAR) == LOSES]
    text = f"The transferred model beats the one from scratch on {won} of {len(comparisons)} sets."
    if not lost:
        return f"{text} It loses to TF-IDF + logistic regression on none."
    return f"{text} It loses to TF-IDF + logistic regression on {len(lost)}: {', '.join(lost)}."


def sentence(comparison: ArmComparison) -> str:
    """Return what came of one set of examples in a line."""
    verdicts = "; ".join(
        f"{comparison.verdict(arm)} {SHORT[arm]} ({_against(comparison, arm)})"
        for arm in comparison.over
    )
    return f"{comparison.name}: transferred {percent(comparison.accuracy[TRANSFERRED])}: {verdicts}"


def _against(comparison: ArmComparison, arm: str) -> str:
    own = f"{_of(comparison, TRANSFERRED, arm)} against " if comparison.by_bits(arm) else ""
    return own + _of(comparison, arm, arm)


def _of(comparison: ArmComparison, arm: str, rival: str) -> str:
    """Return the figure of an arm by which the transferred model is compared with its rival."""
    if comparison.by_bits(rival):
        return f"{comparison.bits_per_byte[arm].mean:.3f} bits per byte"
    return percent(comparison.accuracy[arm])


def percent(figure: MeanInterval, digits: int = 1) -> str:
    """Return a share with its interval, as in 61.0 [58.5, 63.4] %."""
    mean, *bounds = (
        f"{100 * value:.{digits}f}" for value in (figure.mean, figure.low, figure.high)
    )
    return f"{mean} [{', '.join(bounds)}] %"


def metrics(comparisons: Sequence[ArmComparison]) -> dict[str, float]:
    """Return the figures by the names they have in MLflow."""
    named = {
        f"transfer/mean/{arm}/accuracy": value for arm, value in mean_accuracy(comparisons).items()
    }
    for comparison in comparisons:
        prefix = metric_name(f"transfer/{comparison.name}")
        for arm, figure in comparison.accuracy.items():
            named |= _with_bounds(f"{prefix}/{arm}/accuracy", figure)
        for arm, figure in comparison.bits_per_byte.items():
            named |= _with_bounds(f"{prefix}/{arm}/bits_per_byte", figure)
        for arm, figure in comparison.over.items():
            named |= _with_bounds(f"{prefix}/gain_over_{arm}", figure)
    return named


def _with_bounds(name: str, figure: MeanInterval) -> dict[str, float]:
    return {name: figure.mean, f"{name}_low": figure.low, f"{name}_high": figure.high}


def render(
    comparisons: Sequence[ArmComparison], report: dict[str, Any], plots: Sequence[Path]
) -> str:
    """Return the page as HTML, plots inside."""
    even = _with_verdict(comparisons, UNDECIDED)
    return html.render(
        "transfer.html",
        TEMPLATES,
        title="textmill: transfer",
        kind="passed"
        if all(comparison.verdict(SCRATCH) == BEATS for comparison in comparisons)
        else "warned",
        headline=report["headline"],
        sets=[_row(comparison) for comparison in comparisons],
        lost=[_loss(comparison, arm) for comparison, arm in _with_verdict(comparisons, LOSES)],
        even=[f"{comparison.name} ({SHORT[arm]})" for comparison, arm in even],
        left_out=list(report["left_out"].values()),
        plots=[
            {"name": plot.stem, "data": base64.b64encode(plot.read_bytes()).decode()}
            for plot in plots
        ],
        seeds=", ".join(map(str, report["settings"]["seeds"])),
        resamples=f"{RESAMPLES:,}",
        settings={name: str(value) for name, value in report["settings"].items()},
        HEAD=HEAD,
        SETTINGS_HEAD=SETTINGS_HEAD,
    )


def _row(comparison: ArmComparison) -> dict[str, Any]:
    return {
        "name": comparison.name,
        "kind": f"{comparison.task}, {', '.join(comparison.langs)}",
        "counts": f"{comparison.examples:,}, {comparison.questions:,}",
        "chance": f"{comparison.chance:.0%}",
        "transferred": _bounded(comparison.accuracy[TRANSFERRED]),
        "rivals": [_rival(comparison, arm) if arm in comparison.over else None for arm in RIVALS],
        "bits": ", ".join(f"{comparison.bits_per_byte[arm].mean:.2f}" for arm in NETWORKS),
        "saved": f"{comparison.bits_saved.low:.2f} to {comparison.bits_saved.high:.2f}",
    }


def _rival(comparison: ArmComparison, arm: str) -> dict[str, Any]:
    """Return the accuracy of an arm, what the transferred network gains on it, and the verdict."""
    gap = comparison.over[arm]
    kind, word = RIVAL_IS[comparison.verdict(arm)]
    gain = f"{gap.low:+.1%} to {gap.high:+.1%}"
    return {
        "accuracy": _bounded(comparison.accuracy[arm]),
        "gain": gain,
        "kind": kind,
        "word": word,
    }


def _bounded(figure: MeanInterval) -> dict[str, str]:
    return {name: f"{getattr(figure, name):.1%}" for name in ("mean", "low", "high")}


def _loss(comparison: ArmComparison, arm: str) -> str:
    own = _of(comparison, TRANSFERRED, arm)
    rival = _of(comparison, arm, arm)
    return f"{comparison.name}: {NAMES[arm]} has {rival}, the transferred model {own}."


def _with_verdict(
    comparisons: Sequence[ArmComparison], verdict: str
) -> list[tuple[ArmComparison, str]]:
    return [
        (comparison, arm)
        for comparison in comparisons
        for arm in comparison.over
        if comparison.verdict(arm) == verdict
    ]
