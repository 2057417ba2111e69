"""How a model is fine-tuned on examples: every setting of `[finetune]`, checked when it is read."""

from dataclasses import dataclass, field

from model.network.preference_losses import PREFERENCE_LOSSES, PreferenceLoss
from model.optim.schedule import SCHEDULES
from model.training.config import AUTO, BEST, LAST, PRECISIONS
from pipeline.config_checks import Above, AtLeast, Between, Check, OneOf, OrOff, refused, require

STARTS = (WEIGHTS, RANDOM) = ("weights", "random")
# What a setting may be.
ONE = AtLeast(1)
CHECKS: dict[str, Check] = {
    "epochs": Above(0),
    "batch_size": ONE,
    "learning_rate": OrOff(Above(0)),
    "keep": OneOf((LAST, BEST)),
    "warmup_share": Between(0, 1, below_high=True),
    "schedule": OneOf(tuple(SCHEDULES)),
    "start": OneOf(STARTS),
    "unusable_share_max": Between(0, 1),
    "precision": OneOf(PRECISIONS),
    "checkpoint_every": ONE,
    "validate_every": ONE,
    "log_every": ONE,
}


@dataclass(frozen=True)
class LoraConfig:
    """Size of the adapters and the layers that get one, by the last part of their names."""

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )

    def __post_init__(self) -> None:
        require(self, "finetune.lora", rank=AtLeast(1), alpha=Above(0))
        if not self.targets:
            raise refused("finetune.lora.targets", "empty", "names of layers, such as q_proj")


@dataclass(frozen=True)
class PreferenceConfig:
    """How a model learns from pairs of answers, the task `preference`."""

    loss: str = "dpo"
    beta: float | None = None  # of the loss, per nat; default: dpo 0.1, simpo 2
    margin: float | None = None  # by which a chosen answer is to be ahead; default: dpo 0, simpo 1

    def __post_init__(self) -> None:
        require(
            self,
            "finetune.preference",
            loss=OneOf(tuple(PREFERENCE_LOSSES)),
            beta=OrOff(Above(0)),
            margin=OrOff(AtLeast(0)),
        )

    @property
    def effective(self) -> tuple[PreferenceLoss, float, float]:
        """Return the loss with its beta and margin."""
        loss = PREFERENCE_LOSSES[self.loss]
        beta = loss.beta if self.beta is None else self.beta
        return loss, beta, loss.margin if self.margin is None else self.margin


@dataclass(frozen=True)
class FinetuneConfig:
    """How a model is fine-tuned; a row holds whole examples up to the context, or a pair."""

    epochs: float = 3.0
    batch_size: int = 8  # rows
    learning_rate: float | None = None  # default 5e-4, with lora 5e-3; of pairs a tenth of that
    # Each is tried instead, all epochs long; the one of the lowest validation loss is kept.
    learning_rates: tuple[float, ...] = ()
    keep: str = BEST  # weights of the best validation, where there is one, or the last
    warmup_share: float = 0.06  # of the steps
    schedule: str = "linear"
    weight_decay: float = 0.01
    gradient_clip: float | None = 1.0
    start: str = WEIGHTS  # 'random': the same network untrained, what a transfer is compared with
    lora: LoraConfig | None = None  # default: every weight is trained
    preference: PreferenceConfig = field(default_factory=PreferenceConfig)
    examples_max: int | None = None  # of the training split
    validation_examples: int = 512
    unusable_share_max: float = 0.5  # of the records; above it the data is taken for a mistake
    precision: str = AUTO
    seed: int = 1
    checkpoint_every: int = 100
    validate_every: int = 100
    log_every: int = 10

    def __post_init__(self) -> None:
        require(self, "finetune", "", **CHECKS)
        if min(self.learning_rates, default=1.0) <= 0:
            raise refused("finetune.learning_rates", self.learning_rates, Above(0))
        if self.lora is not None and self.start == RANDOM:
            raise refused(
                "finetune.start", RANDOM, WEIGHTS, "adapters of finetune.lora need weights to adapt"
            )
