"""How a model is trained where there is one before it: every setting of `[retrain]`."""

from dataclasses import dataclass, field, fields

from model.training.config import TrainConfig
from pipeline.config_checks import Above, AtLeast, Between, OneOf, OrOff, require

CONTINUE, SCRATCH, AUTO = "continue", "scratch", "auto"
POLICIES = (CONTINUE, SCRATCH, AUTO)


@dataclass(frozen=True)
class RetrainConfig:
    """Whether training goes on from the champion, and how; the network and batches are `[train]`'s.

    `auto` goes on while the share of new text in the tokens is at most `new_share_max`. The rate
    warms up again and goes down as `train.schedule` says (Gupta et al. 2023, Ibrahim et al. 2024).
    """

    policy: str = SCRATCH
    new_share_max: float = 0.5  # of the tokens, for `auto`; above it a new model is begun (LOG.md)
    epochs: float = 1.0  # passes over new text; at most as many steps as train.steps
    steps: int | None = None  # instead of `epochs`
    warmup_steps: int = 20  # at most a quarter of the steps
    peak_rate_share: float = 0.25  # of train.learning_rate; model/LOG.md has what others did
    replay_share: float = 0.25  # of the tokens, from text that the champion was trained on
    optimizer_state: bool = True  # goes on with the champion's moments, where they are kept
    distillation_weight: float = 0.0  # of the champion's predictions in the loss, any policy
    temperature: float = 1.0  # of both, for distillation

    def __post_init__(self) -> None:
        share = Between(0, 1, below_high=True)
        require(
            self,
            "retrain",
            policy=OneOf(POLICIES),
            new_share_max=Between(0, 1),
            epochs=Above(0),
            steps=OrOff(AtLeast(1)),
            warmup_steps=AtLeast(0),
            peak_rate_share=Above(0),
            replay_share=share,
            distillation_weight=Between(0, 1),
            temperature=Above(0),
        )

    @property
    def needs_champion(self) -> bool:
        """Tell whether the champion takes any part in training."""
        return self.policy != SCRATCH or self.distillation_weight > 0


@dataclass(frozen=True)
class RetrainedConfig(TrainConfig):
    """The settings of a training that has a champion before it."""

    retrain: RetrainConfig = field(default_factory=RetrainConfig)

    @classmethod
    def of(cls, train: TrainConfig, retrain: RetrainConfig) -> "RetrainedConfig":
        """Put the two sections together."""
        return cls(**{f.name: getattr(train, f.name) for f in fields(TrainConfig)}, retrain=retrain)

    @property
    def train(self) -> TrainConfig:
        """The section `[train]` by itself."""
        return TrainConfig(**{f.name: getattr(self, f.name) for f in fields(TrainConfig)})
