"""Going on from the champion: whether, why, on which text, and with what it begins.

The decision is a function of config, shards, champion and the champion's shards, all of them
parents of the artifact: the same inputs decide alike, after a kill too.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from model.data.loader import Loader
from model.data.training_data import replayed_share
from model.embeddings.config import EmbeddingConfig
from model.formats import model_folder
from model.network.architecture import ModelConfig
from model.network.distillation import Distillation
from model.network.families import FAMILIES, AnyNetwork
from model.optim.optimizers import resolve_hyperparameters
from model.training import checkpoint
from model.training.checkpoint import Tensors
from model.training.config import TrainConfig
from model.training.retrain import AUTO, CONTINUE, SCRATCH, RetrainedConfig
from pipeline.batching.seen_documents import NEW, OLD, Growth, growth_of
from pipeline.batching.token_layout import Replay
from pipeline.errors import TrainingError
from pipeline.shard import TRAIN
from pipeline.store.artifact import Artifact, load_artifact
from pipeline.tokenizer import load_tokenizer

WARMUP_STEPS_PER = 4  # steps for each of warm-up at least: a rate that only rises learns less
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingInputs:
    """What a training is made of beside its config: shards, and what it takes of a champion.

    With `replay` the training goes on from the champion's weights; with `optimizer` also from what
    its optimizer remembered. With a `distillation_weight` the champion teaches.
    """

    shards: Artifact
    champion: Path | None = None  # its model folder
    replay: Replay | None = None
    optimizer: Path | None = None  # its optimizer's state
    distillation_weight: float = 0.0
    temperature: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Return what another process on a machine with the same files needs."""
        earlier = self.replay and str(self.replay.earlier.path)
        return {
            "shards": str(self.shards.path),
            "champion": self.champion and str(self.champion),
            "replay": self.replay and [earlier, self.replay.share, self.replay.group_tokens_min],
            "optimizer": self.optimizer and str(self.optimizer),
            "distillation": [self.distillation_weight, self.temperature],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "TrainingInputs":
        """Read what `to_json` gave; parts are checked when they are read."""
        replay = None
        if value["replay"]:
            earlier, share, tokens_min = value["replay"]
            replay = Replay(load_artifact(Path(earlier), files=False), share, tokens_min)
        champion, optimizer = (
            value[name] and Path(value[name]) for name in ("champion", "optimizer")
        )
        shards = load_artifact(Path(value["shards"]), files=False)
        return cls(shards, champion, replay, optimizer, *value["distillation"])

    def load_weights(self, network: AnyNetwork) -> None:
        """Give an untrained network the champion's weights, where the training goes on from it."""
        if self.replay is not None:
            assert self.champion is not None
            checkpoint.copy_weights(network, model_folder.read(self.champion))

    def load_moments(self, tensors: Tensors) -> None:
        """Give the optimizer what the champion's remembered, where that is taken over."""
        if self.optimizer is not None:
            checkpoint.read_optimizer(self.optimizer, tensors)

    def distillation(self) -> Distillation | None:
        """Return the champion as a teacher, if it is one."""
        if self.champion is None or not self.distillation_weight:
            return None
        teacher = model_folder.read(self.champion).requires_grad_(False)
        return Distillation(teacher, self.distillation_weight, self.temperature)


@dataclass(frozen=True)
class RetrainPlan:
    """The config and inputs to train with, and `stats`: what was decided and why, as JSON."""

    config: TrainConfig
    inputs: TrainingInputs
    stats: dict[str, Any] = field(default_factory=dict)

    def realised(self, batches: Loader, steps: int) -> dict[str, Any]:
        """Return the stats with what came of the replay in so many steps."""
        if not self.stats:
            return {}
        stats = dict(self.stats)
        if self.inputs.replay is not None:
            stats["replayed_share"] = round(replayed_share(batches, steps), 6)
        return {"retrain": stats}


def plan_training(config: TrainConfig, parents: Sequence[Any]) -> RetrainPlan:
    """Return what to train, and from what: shards, or also the champion and its shards.

    A champion that cannot be gone on from is passed by, and the stats say why; raises TrainingError
    where its shards are gone and the policy is to continue.
    """
    shards, *champion = parents
    if not isinstance(config, RetrainedConfig) or not champion:
        return RetrainPlan(config, TrainingInputs(shards))
    folder, earlier = champion[0].path, champion[1] if champion[1:] else None
    theirs = model_folder.read(folder).config
    growth = None if earlier is None else growth_of(shards, earlier)
    if growth is None and config.retrain.policy == CONTINUE:
        raise TrainingError(
            f'retrain.policy is "continue", and the shards of the champion '
            f"({champion[0].fingerprint[:16]}) are no longer in the store, so what is new is not "
            f"known; put them back from a backup, or begin a new model with --set "
            f"retrain.policy=auto"
        )
    policy, reason = _decide(config, shards, folder, theirs, growth)
    logger.info("%s: %s", policy, reason)
    inputs, taught = _taught(config, TrainingInputs(shards, folder), theirs)
    stats = {"policy": policy, "reason": reason, "champion": champion[0].fingerprint, **taught}
    plan = RetrainPlan(config.train, inputs, {**stats, **_counted(growth)})
    if policy == SCRATCH:
        return plan
    assert earlier is not None
    assert growth is not None
    return _continued(config, plan, champion[0], earlier, growth)


def _counted(growth: Growth | None) -> dict[str, Any]:
    if growth is None:
        return {}
    counts = {f"{age}_tokens": growth.total(age=age, split=TRAIN) for age in (OLD, NEW)}
    return {**counts, "new_share": round(growth.new_share, 6)}


def _decide(
    config: RetrainedConfig,
    shards: Artifact,
    champion: Path,
    theirs: ModelConfig,
    growth: Growth | None,
) -> tuple[str, str]:
    """Return 'continue' or 'scratch' and the reason."""
    retrain = config.retrain
    if retrain.policy == SCRATCH:
        return SCRATCH, 'retrain.policy is "scratch"'
    if growth is None:
        return SCRATCH, (
            "the champion's shards are no longer in the store, so what is new is not known"
        )
    obstacle = _other_tokens(shards, champion) or _other_network(config.model, theirs)
    if obstacle:
        return SCRATCH, obstacle
    new = growth.total(age=NEW, split=TRAIN)
    if new + 2 < _window(config):
        return SCRATCH, f"{new:,} new tokens fill no window of {_window(config):,}"
    share = f"{growth.new_share:.1%} of the {growth.total(split=TRAIN):,} tokens are new"
    if retrain.policy == AUTO and growth.new_share > retrain.new_share_max:
        return SCRATCH, f"{share}, retrain.new_share_max is {retrain.new_share_max:.1%}"
    bound = f", at most {retrain.new_share_max:.1%}" if retrain.policy == AUTO else ""
    return CONTINUE, f"{share}{bound}"


def _other_tokens(shards: Artifact, champion: Path) -> str:
    own = shards.stats["tokenizer_sha256"]
    theirs = load_tokenizer(champion / model_folder.TOKENIZER).fingerprint
    if own == theirs:
        return ""
    return (
        f"the champion's tokenizer is {theirs[:16]}, the shards' {own[:16]}; set "
        f"keep_tokenizer = true to keep it while it fits"
    )


def _other_network(own: ModelConfig, theirs: ModelConfig) -> str:
    """Say which option differs; dropout may, since no weight depends on it."""
    for option in (item.name for item in fields(ModelConfig) if item.name != "dropout"):
        found, wanted = getattr(theirs, option), getattr(own, option)
        if found != wanted:
            return f"the champion has train.model.{option} {found!r}, the recipe {wanted!r}"
    return ""


def _window(config: TrainConfig) -> int:
    """Return the tokens that a row needs."""
    return (config.data.block or config.model.context) + 1


def _continued(
    config: RetrainedConfig, plan: RetrainPlan, champion: Any, earlier: Artifact, growth: Growth
) -> RetrainPlan:
    """Return the plan of a training that goes on: its own steps, warm-up and peak rate."""
    retrain = config.retrain
    new = growth.total(age=NEW, split=TRAIN) + 2 * growth.total("documents", age=NEW, split=TRAIN)
    passes = retrain.epochs * new / (1 - retrain.replay_share) / config.tokens_per_step
    peak = resolve_hyperparameters(config.optimizer, config.hyperparameters).learning_rate
    steps = retrain.steps or max(1, min(config.steps, math.ceil(passes)))
    own = replace(
        plan.config,
        steps=steps,
        warmup_steps=min(retrain.warmup_steps, steps // WARMUP_STEPS_PER),
        learning_rate=retrain.peak_rate_share * peak,
        embeddings=EmbeddingConfig(),
    )
    optimizer, state_in_words = _optimizer_of(champion, config)
    stats = {
        "optimizer_state": state_in_words,
        "steps": own.steps,
        "learning_rate": own.learning_rate,
        "replay_share": retrain.replay_share,
        "loss_of_chance": round(math.log(plan.inputs.shards.stats["vocab_size"]), 6),
    }
    replay = Replay(earlier, retrain.replay_share, _window(config))
    inputs = replace(plan.inputs, replay=replay, optimizer=optimizer)
    return RetrainPlan(own, inputs, {**plan.stats, **stats})


def _optimizer_of(champion: Any, config: RetrainedConfig) -> tuple[Path | None, str]:
    """Return the state to go on from, and in words whether there is one."""
    if not config.retrain.optimizer_state:
        return None, "begun anew: retrain.optimizer_state is false"
    made_with = champion.stats.get("optimizer") if isinstance(champion, Artifact) else None
    if made_with is None or not (champion.path / checkpoint.OPTIMIZER).is_file():
        return None, "begun anew: the champion's is not kept"
    if made_with["name"] != config.optimizer:
        return None, f"begun anew: the champion's is of {made_with['name']}"
    return champion.path / checkpoint.OPTIMIZER, "the champion's"


def _taught(
    config: RetrainedConfig, inputs: TrainingInputs, theirs: ModelConfig
) -> tuple[TrainingInputs, dict[str, str]]:
    """Return the inputs with the champion as teacher where it can be one, and that in words."""
    retrain, own = config.retrain, config.model
    if not retrain.distillation_weight:
        return inputs, {}
    assert inputs.champion is not None
    other = _other_tokens(inputs.shards, inputs.champion)
    if other:
        return inputs, {"distillation": f"none: {other}"}
    if FAMILIES[theirs.family] is not FAMILIES[own.family] or theirs.context < own.context:
        found, wanted = (f"{c.family!r}, context {c.context}" for c in (theirs, own))
        return inputs, {"distillation": f"none: the champion is a {found}, the recipe's {wanted}"}
    weight, temperature = retrain.distillation_weight, retrain.temperature
    taught = replace(inputs, distillation_weight=weight, temperature=temperature)
    return taught, {"distillation": f"weight {weight:g}, temperature {temperature:g}"}
