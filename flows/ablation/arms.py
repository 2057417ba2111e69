"""The arms of an ablation: the recipe's data as it is, and with one choice left out each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from flows import steps
from flows.chain import CORPUS, SOURCES, STAGES, ChainStage, walk
from flows.config import Recipe
from flows.planning import open_sources
from flows.settings import Settings
from model.training.retrain import RetrainConfig
from pipeline.cleaning import profiles
from pipeline.cleaning.filters import FILTERS
from pipeline.config_checks import unknown_name
from pipeline.equal_sample import (
    STAGE,
    EqualSampleConfig,
    bound_of,
    copies_of_held_out,
    token_histogram,
)
from pipeline.errors import ConfigError
from pipeline.rethreshold import STAGE as RETHRESHOLD
from pipeline.rethreshold import RethresholdConfig
from pipeline.stage import Progress, Stage, run_stage, store_path
from pipeline.store.artifact import Artifact

BASE, RULE, DEDUP, SOURCE = "base", "rule", "dedup", "source"
ALL_RULES, ALL_DEDUP = "all-rules", "all-duplicates"
KINDS = {"exact": "exact_duplicate", "near": "near_duplicate"}  # setting of [dedup]: in its ledger


@dataclass(frozen=True)
class Arm:
    """Data with something left out; `dropped` counts the documents that it drops in the recipe."""

    name: str
    kind: str
    settings: tuple[str, ...] = ()  # rules or kinds of dedup that are off, or a source
    dropped: int = 0


@dataclass(frozen=True)
class Sampled:
    """An arm's shards, cut to as many training tokens as all other arms have."""

    arm: Arm
    shards: Artifact
    tokens: int  # that it could have trained on


@dataclass(frozen=True)
class Corpus:
    """The artifacts of the recipe's own data."""

    recipe: Recipe
    settings: Settings
    artifacts: dict[str, Artifact]
    progress: Progress

    def make(self, stage: Stage[Any], config: Any, parents: Sequence[Artifact]) -> Artifact:
        """Make or reuse an artifact of a stage in the store."""
        digest = stage.fingerprint(config, parents).digest
        destination = store_path(self.settings.store, stage.name, digest)
        engine = self.settings.engine()
        return run_stage(
            stage, config, parents, destination, engine=engine, progress=self.progress
        ).artifact


def open_corpus(recipe: Recipe, settings: Settings, progress: Progress) -> Corpus:
    """Make the recipe's data, to be ablated; nothing is kept of earlier runs of it.

    Raises ConfigError where the text is so little that documents were cut to hold some out.
    """
    recipe = replace(
        recipe,
        keep_tokenizer=False,
        retrain=RetrainConfig(),
        shard=replace(recipe.shard, measures=()),
    )

    def make(stage: ChainStage[Any], parents: Sequence[Any]) -> Artifact:
        return steps.make(stage, recipe, parents, settings, progress).artifact

    artifacts = walk(CORPUS, {SOURCES: open_sources(recipe, settings)}, make)
    if "split" in artifacts["shard"].stats:
        raise ConfigError(
            f"recipe {recipe.name!r}: its text is so little that documents are cut into blocks to "
            f"hold some out, so that arms would differ in what they hold out; give more documents"
        )
    return Corpus(recipe, settings, artifacts, progress)


def arms_of(corpus: Corpus, wanted: Sequence[str] = ()) -> list[Arm]:
    """Return the base and an arm for whatever dropped something, the most first, and per source.

    `wanted` are names of arms to keep. Raises ConfigError for one that there is not, with the
    nearest name.
    """
    clean, dedup = corpus.artifacts["clean"], corpus.artifacts["dedup"]
    rules = [(rule, count) for rule, count in clean.ledger.dropped.most_common() if rule in FILTERS]
    arms = [Arm(rule, RULE, (rule,), count) for rule, count in rules]
    if len(rules) > 1:
        names = tuple(rule for rule in _in_force(corpus.recipe) if rule in FILTERS)
        arms.append(Arm(ALL_RULES, RULE, names, sum(count for _, count in rules)))
    removed = {kind: dedup.ledger.dropped[name] for kind, name in KINDS.items()}
    kinds = [Arm(f"{kind}-duplicates", DEDUP, (kind,), n) for kind, n in removed.items() if n]
    arms += kinds
    if len(kinds) > 1:
        arms.append(Arm(ALL_DEDUP, DEDUP, tuple(removed), sum(removed.values())))
    sources = corpus.artifacts["shard"].stats["tokens_by_source"]
    if len(sources) > 1:
        arms += [Arm(f"source:{name}", SOURCE, (name,)) for name in sources]
    known = [arm.name for arm in arms]
    for name in wanted:
        if name not in known:
            raise unknown_name("--arm", name, known, "arm")
    chosen = [arm for arm in arms if not wanted or arm.name in wanted]
    if not chosen:
        raise ConfigError(
            f"recipe {corpus.recipe.name!r}: no rule and no kind of dedup dropped a document, and "
            f"there is one source: nothing can be left out; give other text or a stricter profile"
        )
    return [Arm("as the recipe is", BASE), *chosen]


def _in_force(recipe: Recipe) -> list[str]:
    """Return the rules that may drop a document, also where another one has dropped it first."""
    clean = recipe.clean
    return [*profiles.thresholds(clean.profile, clean.thresholds, clean.switched_off)]


def sample_arms(corpus: Corpus, arms: Sequence[Arm]) -> list[Sampled]:
    """Return each arm's shards cut to the tokens of the smallest, with the base's held-out text."""
    base, base_dedup = corpus.artifacts["shard"], corpus.artifacts["dedup"]
    made = [_shards(corpus, arm) for arm in arms]
    histograms = [
        token_histogram(shards, copies_of_held_out(base, [base_dedup, dedup]), _left_out(arm))
        for arm, (shards, dedup) in zip(arms, made, strict=True)
    ]
    totals = [int(histogram.sum()) for histogram in histograms]
    sampled = []
    for arm, (shards, dedup), histogram in zip(arms, made, histograms, strict=True):
        config = EqualSampleConfig(bound_of(histogram, min(totals)), _left_out(arm))
        sample = corpus.make(STAGE, config, [shards, base, base_dedup, dedup])
        sampled.append(Sampled(arm, sample, int(histogram.sum())))
    return sampled


def _left_out(arm: Arm) -> str | None:
    return arm.settings[0] if arm.kind == SOURCE else None


def _shards(corpus: Corpus, arm: Arm) -> tuple[Artifact, Artifact]:
    """Return an arm's shards, by the base's tokenizer, and the dedup artifact they are made of."""
    recipe, artifacts = corpus.recipe, corpus.artifacts
    clean, dedup = artifacts["clean"], recipe.dedup
    if arm.kind in (BASE, SOURCE):
        return artifacts["shard"], artifacts["dedup"]
    if arm.kind == RULE:
        off = (*recipe.clean.switched_off, *arm.settings)
        thresholds = {
            key: value
            for key, value in recipe.clean.thresholds.items()
            if key.partition(".")[0] not in arm.settings
        }
        clean = corpus.make(
            RETHRESHOLD, RethresholdConfig(recipe.clean.profile, thresholds, off), [clean]
        )
    else:
        left = {kind: getattr(dedup, kind) and kind not in arm.settings for kind in KINDS}
        dedup = replace(dedup, exact=left["exact"], near=left["near"])
    deduped = corpus.make(STAGES["dedup"].definition, dedup, [clean])
    tokenizer = artifacts["tokenizer"]
    return corpus.make(STAGES["shard"].definition, recipe.shard, [deduped, tokenizer]), deduped
