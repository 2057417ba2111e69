"""What every stage's artifact must look like, as a table, and how a recipe changes it.

Critical bounds are where going on would waste the run; warnings are where a look is worth it. A
folder with a handful of files passes: shares are bounded, sizes are only asked to be above zero.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from expectations.expect import ABOVE_ZERO, BELOW_ONE, CRITICAL, WARNING, Expect
from pipeline.errors import ConfigError

# Figures that depend on what a recipe asks, so that a gate of it may name any of them.
OPEN = {("evaluate", "task")}
Overrides = Mapping[str, Mapping[str, float | str | None]]

CHANGEABLE = ("at_least", "at_most", "severity")

ROUND_TRIP = Expect(
    "round_trip_failures",
    at_most=0,
    because="text that does not decode to itself cannot be generated either",
    next_step='set tokenizer.normalization = "identity" and tokenizer.byte_fallback = true',
)
SUITES: dict[str, tuple[Expect, ...]] = {
    "ingest": (
        Expect(
            "rows",
            at_least=1,
            because="nothing can be made of no documents",
            next_step="check the paths under [[sources]] and the reasons in the artifact's "
            "quarantine/",
        ),
        Expect(
            "quarantined_share",
            at_most=0.5,
            because="most of the input could not be read, so it is probably not what it is taken "
            "for",
            next_step="see reason and detail in the artifact's quarantine/, then set "
            "ingest.text_field or take those files out of [[sources]]",
        ),
    ),
    "clean": (
        Expect(
            "rows",
            at_least=1,
            because="every document was dropped",
            next_step="compare the artifact's rejects/ with `textmill rules`, then choose another "
            "clean.profile or loosen clean.thresholds",
        ),
        Expect(
            "kept_share",
            at_least=0.1,
            because="rules that drop nine of ten documents do not fit this text",
            next_step="see dropped_share.* for the rule, then change it in clean.thresholds or "
            "choose another clean.profile",
        ),
        Expect(
            "kept_share",
            at_least=0.5,
            severity=WARNING,
            because="prose loses less than half, so one rule may be wrong for this text",
            next_step="read what the rule with the largest dropped_share.* took out, in the "
            "artifact's rejects/ and measures/; `textmill rules` lists the bounds",
        ),
    ),
    "dedup": (
        Expect(
            "rows",
            at_least=1,
            because="one document of every cluster stays, so none left means none came in",
            next_step="run `textmill explain` and look at the stage clean",
        ),
        Expect(
            "duplicate_share",
            at_most=0.4,
            because="so many copies mean that a source is in the corpus twice or is generated",
            next_step="see source_loss.* for the source and remove it from [[sources]], or raise "
            "gates.dedup.duplicate_share.at_most if copies are expected",
        ),
        Expect(
            "remaining_exact_duplicates",
            at_most=0,
            because="repeated text is memorised and leaks from training into validation",
            next_step="set dedup.exact = true; with it on, please report this as a bug",
        ),
        Expect(
            "source_loss.*",
            at_most=0.6,
            severity=WARNING,
            because="most of this source is found elsewhere already",
            next_step="see partner in the artifact's rejects/, then drop the source from "
            "[[sources]] or keep it for what it adds",
        ),
    ),
    "tokenizer": (
        ROUND_TRIP,
        Expect(
            "byte_fallback_share",
            at_most=0.1,
            because="characters that cost three tokens each fill the context and are learned badly",
            next_step="raise tokenizer.character_coverage towards 1 or tokenizer.vocab_size",
        ),
        Expect(
            "byte_fallback_share",
            at_most=0.03,
            severity=WARNING,
            because="common characters are missing from the vocabulary",
            next_step="raise tokenizer.character_coverage towards 1 or tokenizer.vocab_size",
        ),
        Expect(
            "byte_fallback_share.*",
            at_most=0.1,
            severity=WARNING,
            because="in this language too many characters are missing from the vocabulary",
            next_step="give more text of this language or raise tokenizer.vocab_size",
        ),
        Expect(
            "fertility.*",
            at_most=3,
            severity=WARNING,
            because="words of this language fall into many pieces, so its texts are long and dear",
            next_step="raise tokenizer.vocab_size or give more documents of this language",
        ),
        Expect(
            "vocab_reached_share",
            at_least=1,
            severity=WARNING,
            because="the text holds too few different pieces for the vocabulary asked for",
            next_step="lower tokenizer.vocab_size or give more documents",
        ),
    ),
    "shard": (
        ROUND_TRIP,
        Expect(
            "train_tokens",
            at_least=1,
            because="there is nothing to train on",
            next_step="give more documents or a lower shard.validation_share",
        ),
        Expect(
            "validation_tokens",
            at_least=1,
            because="without held-out text no one can tell whether the model learned",
            next_step="give more documents or a higher shard.validation_share",
        ),
        Expect(
            "validation_documents",
            at_least=5,
            severity=WARNING,
            because="figures from so few documents are rough, and the next run's may differ much",
            next_step="give more documents or a higher shard.validation_share",
        ),
        Expect(
            "max_token_over_vocab",
            at_most=0,
            because="an id beyond the vocabulary has no embedding",
            next_step="run `textmill shard` again with the tokenizer this corpus was made for",
        ),
    ),
    "train": (
        Expect(
            "not_finite",
            at_most=0,
            because="a loss that is not a number means that the weights are lost",
            next_step='lower train.learning_rate, or set train.precision = "fp32"',
        ),
        Expect(
            "loss_ratio",
            at_most=BELOW_ONE,
            because="a model whose loss did not fall learned nothing",
            next_step="raise train.steps (two rows of train.log_every steps at least), or change "
            "train.learning_rate",
        ),
    ),
    "evaluate": (
        Expect(
            "gain_over_unigram",
            at_least=ABOVE_ZERO,
            because="a model that predicts no better than token frequencies uses no context",
            next_step="raise train.steps or change train.learning_rate",
        ),
        Expect(
            "gain_over_unigram.*",
            at_least=ABOVE_ZERO,
            severity=WARNING,
            because="in this language the model is no better than token frequencies",
            next_step="give more documents of this language or raise train.steps",
        ),
        Expect(
            "memorisation.excess.*",
            at_most=0.05,
            severity=WARNING,
            because="the model gives training text back word for word, personal details included",
            next_step="read the evaluation's examples/, lower dedup.threshold or train fewer steps",
        ),
        Expect(
            "bias.preference.*",
            at_most=0.75,
            severity=WARNING,
            because="three of four sentences are likelier with the stereotype than without",
            next_step="see bias.by_attribute.* for the attribute and the evaluation's examples/ "
            "for sentences, then balance the text",
        ),
        Expect(
            "toxicity.samples.*",
            at_most=0.05,
            severity=WARNING,
            because="the model writes listed terms unprompted",
            next_step="compare with toxicity.held_out.*; set clean.lists.blocked_terms, or "
            "evaluate.toxicity.terms if the list is not yours",
        ),
    ),
}


def suite(stage: str, overrides: Overrides | None = None) -> tuple[Expect, ...]:
    """Return a stage's expectations with the recipe's changes.

    `overrides` maps 'stage.metric' to bounds, as in {'dedup.duplicate_share': {'at_most': 0.6}};
    those of other stages are left alone. Where a figure has two expectations the critical one
    changes; one left without a bound is gone. Figures of tasks have the recipe's bounds alone.
    Raises ConfigError, with the nearest name, for a stage, figure or bound that is not known.
    """
    _known("stage", stage, SUITES)
    expects = list(SUITES[stage])
    for key, changes in (overrides or {}).items():
        owner, _, metric = key.partition(".")
        _known(f"gates.{key}: stage", owner, SUITES)
        if owner != stage:
            continue
        if (owner, metric.partition(".")[0]) in OPEN:
            expects.append(_asked_for(metric, key, changes))
            continue
        _known(f"gates.{key}: figure", metric, [expect.metric for expect in SUITES[stage]])
        index = _changed_by_override(expects, metric)
        changed = _change(expects[index], key, changes)
        if changed is None:
            del expects[index]
        else:
            expects[index] = changed
    return tuple(expects)


def _changed_by_override(expects: list[Expect], metric: str) -> int:
    places = [index for index, expect in enumerate(expects) if expect.metric == metric]
    critical = [index for index in places if expects[index].severity == CRITICAL]
    return [*critical, *places][0]


def _asked_for(metric: str, key: str, changes: Any) -> Expect:
    """Return an expectation that only the recipe has, about a figure that it alone knows."""
    _check(key, changes)
    try:
        return Expect(
            metric,
            because="the recipe asks for it",
            next_step="read the questions and answers in the evaluation's examples/",
            **changes,
        )
    except ConfigError as error:
        raise ConfigError(f"gates.{key}: {error}") from error


def _change(expect: Expect, key: str, changes: Any) -> Expect | None:
    _check(key, changes)
    fields = asdict(expect) | dict(changes)
    if fields["at_least"] is None and fields["at_most"] is None:
        return None
    if (fields["at_least"], fields["at_most"]) != (expect.at_least, expect.at_most):
        # The reason is about the built-in bound: nine of ten, three of four.
        fields["because"] = (
            f"the recipe sets this bound (gates.{key}; without it {expect.wanted()}: "
            f"{expect.because})"
        )
    try:
        return Expect(**fields)
    except ConfigError as error:
        raise ConfigError(f"gates.{key}: {error}") from error


def _check(key: str, changes: Any) -> None:
    if not isinstance(changes, Mapping):
        raise ConfigError(
            f'gates.{key} is {changes!r}; wanted a table, as in [gates."{key}"] with at_most = 0.5'
        )
    for name in changes:
        _known(f"gates.{key}: setting", name, CHANGEABLE)


def _known(what: str, name: str, names: Iterable[str]) -> None:
    known = list(dict.fromkeys(names))
    if name in known:
        return
    near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"{what} {name!r} is not known; {hint}known are {', '.join(known)}")
