"""The report of a transfer: as JSON, as figures for MLflow, and as one page that needs no other."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from expectations.html_table import breakable, html_table, table_row
from expectations.page_style import STYLE
from model.evaluation.intervals import RESAMPLES
from model.formats.base_model import BaseModel
from model.registry.metric_names import metric_name
from model.reports.markdown import flat
from model.transfer import LINEAR, NETWORKS, SCRATCH, TRANSFERRED, WORDS, TransferConfig
from model.transferring.comparison import BEATS, LOSES, UNDECIDED, Comparison, Figure, overall
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
    "set", "taught by, asked", NAMES[TRANSFERRED], *(NAMES[arm] for arm in RIVALS),
    "bits per byte, from scratch and transferred",
)  # fmt: skip
WIDE = """main { max-width: 70rem; } th, td { font-size: .85rem; }
@media (min-width: 45rem) { th, td { padding: .4rem .5rem; } }
"""
SETTINGS_HEAD = ("setting", "value")
NONE = "–"  # where a task lacks an arm


def report(
    found: Sequence[Comparison],
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
            "settings": {**dict(flat(plain(asdict(config)))), "seeds": list(range(1, seeds + 1))},
            "mean_accuracy": overall(found),
            "sets": [one.to_json() for one in found],
            "left_out": dict(left_out),
        }
    )


def headline(found: Sequence[Comparison]) -> str:
    """Return the outcome in two sentences."""
    won = sum(one.verdict(SCRATCH) == BEATS for one in found)
    lost = [one.name for one in found if one.verdict(LINEAR) == LOSES]
    text = f"The transferred model beats the one from scratch on {won} of {len(found)} sets."
    if not lost:
        return f"{text} It loses to TF-IDF + logistic regression on none."
    return f"{text} It loses to TF-IDF + logistic regression on {len(lost)}: {', '.join(lost)}."


def sentence(one: Comparison) -> str:
    """Return what came of one set of examples in a line."""
    told = "; ".join(f"{one.verdict(arm)} {SHORT[arm]} ({_against(one, arm)})" for arm in one.over)
    return f"{one.name}: transferred {percent(one.accuracy[TRANSFERRED])}: {told}"


def _against(one: Comparison, arm: str) -> str:
    own = f"{_of(one, TRANSFERRED, arm)} against " if one.by_bits(arm) else ""
    return own + _of(one, arm, arm)


def _of(one: Comparison, arm: str, rival: str) -> str:
    """Return the figure of an arm by which the transferred model is compared with its rival."""
    if one.by_bits(rival):
        return f"{one.bits_per_byte[arm].mean:.3f} bits per byte"
    return percent(one.accuracy[arm])


def percent(figure: Figure, digits: int = 1) -> str:
    """Return a share with its interval, as in 61.0 [58.5, 63.4] %."""
    mean, *bounds = (f"{100 * one:.{digits}f}" for one in (figure.mean, figure.low, figure.high))
    return f"{mean} [{', '.join(bounds)}] %"


def metrics(found: Sequence[Comparison]) -> dict[str, float]:
    """Return the figures by the names they have in MLflow."""
    named = {f"transfer/mean/{arm}/accuracy": value for arm, value in overall(found).items()}
    for one in found:
        place = metric_name(f"transfer/{one.name}")
        for arm, figure in one.accuracy.items():
            named |= _with_bounds(f"{place}/{arm}/accuracy", figure)
        for arm, figure in one.bits_per_byte.items():
            named |= _with_bounds(f"{place}/{arm}/bits_per_byte", figure)
        for arm, figure in one.over.items():
            named |= _with_bounds(f"{place}/gain_over_{arm}", figure)
    return named


def _with_bounds(name: str, figure: Figure) -> dict[str, float]:
    return {name: figure.mean, f"{name}_low": figure.low, f"{name}_high": figure.high}


def render(found: Sequence[Comparison], told: dict[str, Any], plots: Sequence[Path]) -> str:
    """Return the page as HTML, plots inside."""
    kind = "passed" if all(one.verdict(SCRATCH) == BEATS for one in found) else "warned"
    body = [
        "<h1>What the transfer is worth</h1>",
        f'<p class="headline {kind}">{escape(told["headline"])}</p>',
        _table(found),
        _losses(found),
        _left_out(told["left_out"]),
        *(_image(plot) for plot in plots),
        _method(found, told["settings"]),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>textmill: transfer</title><style>{STYLE}{WIDE}</style></head>\n"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _table(found: Sequence[Comparison]) -> str:
    return html_table(HEAD, map(_row, found))


def _row(one: Comparison) -> str:
    counts = f"{one.examples:,}, {one.questions:,}<small>chance {one.chance:.0%}</small>"
    bits = ", ".join(f"{one.bits_per_byte[arm].mean:.2f}" for arm in NETWORKS)
    saved = f"<small>saved {one.bits_saved.low:.2f} to {one.bits_saved.high:.2f}</small>"
    rivals = [_rival(one, arm) if arm in one.over else NONE for arm in RIVALS]
    cells = [counts, _bounded(one.accuracy[TRANSFERRED]), *rivals, bits + saved]
    kind = f"{one.task}, {', '.join(one.langs)}"
    name = f"{breakable(one.name)}<small>{escape(kind)}</small>"
    return table_row(HEAD, (name, *cells), range(1, len(HEAD)))


def _rival(one: Comparison, arm: str) -> str:
    """Return the accuracy of an arm, what the transferred network gains on it, and the verdict."""
    gap = one.over[arm]
    gained = f"<small>gain {gap.low:+.1%} to {gap.high:+.1%}</small>"
    return _bounded(one.accuracy[arm]) + gained + _badge(one.verdict(arm))


def _bounded(figure: Figure) -> str:
    return f"{figure.mean:.1%}<small>{figure.low:.1%} to {figure.high:.1%}</small>"


def _badge(verdict: str) -> str:
    kind, told = RIVAL_IS[verdict]
    return f'<span class="badge {kind}">{told}</span>'


def _losses(found: Sequence[Comparison]) -> str:
    lost = [
        f"<li>{escape(one.name)}: {escape(NAMES[arm])} has {_of(one, arm, arm)}, the transferred "
        f"model {_of(one, TRANSFERRED, arm)}.</li>"
        for one, arm in _with_verdict(found, LOSES)
    ]
    even = [f"{escape(one.name)} ({SHORT[arm]})" for one, arm in _with_verdict(found, UNDECIDED)]
    chance = f"<p>The difference may be chance: {', '.join(even)}.</p>" if even else ""
    listed = f"<ul>{''.join(lost)}</ul>" if lost else "<p>Nowhere.</p>"
    return f"<h2>Where it loses</h2>{listed}{chance}"


def _with_verdict(found: Sequence[Comparison], verdict: str) -> list[tuple[Comparison, str]]:
    return [(one, arm) for one in found for arm in one.over if one.verdict(arm) == verdict]


def _left_out(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return ""
    rows = "".join(f"<li>{escape(reason)}</li>" for reason in reasons.values())
    return f"<h2>Sets left out</h2><ul>{rows}</ul>"


def _image(plot: Path) -> str:
    data = base64.b64encode(plot.read_bytes()).decode()
    return f'<p><img alt="{escape(plot.stem)}" src="data:image/png;base64,{data}"></p>'


def _method(found: Sequence[Comparison], settings: dict[str, Any]) -> str:
    listed = html_table(
        SETTINGS_HEAD,
        (
            table_row(SETTINGS_HEAD, (f"<code>{breakable(name)}</code>", breakable(str(value))))
            for name, value in settings.items()
        ),
    )
    seeds = ", ".join(map(str, settings["seeds"]))
    return (
        "<h2>How this was measured</h2><p>All learn from the same examples and answer the same "
        "held-out questions; an input never stands on both sides. Transferred and from scratch are "
        "the same network with the same tokenizer, taught in the same ways; the weights they begin "
        "with differ, and what is read before labels are taught: the word vectors of the "
        "transferred one go on with the inputs of all training examples, without their labels "
        "(never those of questions). Word2Vec + logistic regression reads the same inputs without "
        "a model to begin with: what the transferred one has over it is the model's.</p>"
        "<p>Labels are learned in two ways that answer together: the network is trained with a "
        "linear map over the mean of its vectors, and logistic regression learns from its word "
        "vectors and last vectors as they are; what either says is believed as far as it proves"
        " right on training examples that it did not learn from. Learning rates are chosen by "
        "training examples held aside, for either network by itself and never by the questions;"
        " the regularisation of logistic regression by cross-validation. Free answers are "
        "chosen among the right one and those of other questions, by what the question adds to "
        "the likelihood of the answer (the linear baseline judges from n-grams that question "
        "and answer share and from pairs of their terms). The networks read at most their "
        "context, with long inputs cut at the end; TF-IDF reads all of it.</p>"
        f"<p>Intervals hold 95 % of {RESAMPLES:,} bootstrap resamples of questions and of seeds "
        f"({seeds}; the baselines have one); differences are of the same questions. A model beats "
        "another where the interval of the difference is above zero: in accuracy, but where "
        "answers are free the two networks are compared by the bits that right ones cost.</p>"
        f"<details><summary>Settings</summary>{listed}</details>"
    )
