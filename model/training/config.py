"""How a model is trained: every setting of `[train]`, checked when it is read."""

from dataclasses import dataclass, field, fields

from model.data.config import BEST_FIT, DataConfig
from model.embeddings.config import EmbeddingConfig
from model.network.architecture import ModelConfig
from model.optim.schedule import SCHEDULES
from model.optim.table import OPTIMIZERS, Hyperparameters
from pipeline.config_checks import Above, AtLeast, Between, Check, OneOf, OrOff, refused, require
from pipeline.errors import ConfigError

AUTO = "auto"  # what is fastest here
FP32, BF16, FP16 = "fp32", "bf16", "fp16"
PRECISIONS = (AUTO, FP32, BF16, FP16)
OFF, ON = "off", "on"
COMPILE = (AUTO, ON, OFF)
STOP, ROLLBACK = "stop", "rollback"
LAST, BEST = "last", "best"
# Settings that are a word, with the words they can be.
CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": tuple(OPTIMIZERS),
    "schedule": tuple(SCHEDULES),
    "precision": PRECISIONS,
    "compile": COMPILE,
    "keep": (LAST, BEST),
    "on_divergence": (STOP, ROLLBACK),
}
ONE = AtLeast(1)
SHARE = Between(0, 1, below_high=True)
CHECKS: dict[str, Check] = {
    **{name: OneOf(words) for name, words in CHOICES.items()},
    "steps": ONE,
    "batch_size": ONE,
    "micro_batch_size": OrOff(ONE),
    "learning_rate": OrOff(Above(0)),
    "decay_share": Between(0, 1, above_low=True),
    "beta1": OrOff(SHARE),
    "beta2": OrOff(SHARE),
    "momentum": OrOff(SHARE),
    "matrix_rate_share": OrOff(Above(0)),
    "gradient_clip": OrOff(Above(0)),
    "label_smoothing": SHARE,
    "z_loss": OrOff(Above(0)),
    "ema_decay": OrOff(SHARE),
    "patience": OrOff(ONE),
    "spike_nats": OrOff(Above(0)),
    "checkpoint_every": ONE,
    "keep_checkpoints": ONE,
    "validate_every": ONE,
    "log_every": ONE,
}


@dataclass(frozen=True)
class TrainConfig:
    """How the model is trained; sizes count sequences of `model.context` tokens.

    A setting of the optimizer that is off (none) is the usual one of that optimizer.
    """

    steps: int = 1000
    batch_size: int = 16  # per step, over all devices
    micro_batch_size: int | None = None  # at once on a device; less memory, the same gradient
    optimizer: str = "adamw"
    learning_rate: float | None = None
    warmup_steps: int = 50
    schedule: str = "cosine"
    final_learning_rate_share: float = 0.1
    decay_share: float = 0.2  # of the steps, at the end of `wsd`
    weight_decay: float | None = None
    beta1: float | None = None
    beta2: float | None = None
    momentum: float | None = None
    matrix_rate_share: float | None = None  # Muon's rate for matrices, in those of the rest
    gradient_clip: float | None = 1.0
    label_smoothing: float = 0.0  # 0.1 in Vaswani et al. 2017; validation loss is without
    z_loss: float | None = None  # 1e-4 in PaLM (Chowdhery et al. 2022); validation loss is without
    ema_decay: float | None = None  # averaged weights are validated and kept instead of the last
    patience: int | None = None  # validations without a lower loss before stopping; keeps the best
    keep: str = LAST  # which weights become the model: the last or those of the best validation
    on_divergence: str = STOP
    spike_nats: float | None = 2.0  # mean loss of 8 steps above the lowest such mean: diverged
    precision: str = AUTO
    compile: str = AUTO
    activation_checkpointing: bool = False  # a third more time, much less memory
    seed: int = 1
    checkpoint_every: int = 100
    keep_checkpoints: int = 2
    validate_every: int = 100
    validation_windows: int = 64
    log_every: int = 10
    embeddings: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        require(self, "train", "", **CHECKS)
        apart = self.data.packing == BEST_FIT or self.data.mask_documents
        if apart and self.model.reads_source:
            raise ConfigError(
                "train.data: an encoder-decoder is trained on the second half of a window, which "
                "documents kept apart do not have; use packing 'stream' without mask_documents"
            )
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            wanted = f"a multiple of train.micro_batch_size ({self.micro_batch_size})"
            raise refused("train.batch_size", self.batch_size, wanted)

    @property
    def tokens_per_step(self) -> int:
        """Tokens of a step's windows, over all devices."""
        return self.batch_size * self.model.context

    @property
    def hyperparameters(self) -> dict[str, float | None]:
        """Settings of the optimizer as given; None is the usual one."""
        return {item.name: getattr(self, item.name) for item in fields(Hyperparameters)}
