"""What a transfer compares, on how much: every setting of `[transfer]`, checked when it is read."""

from dataclasses import dataclass, field

from model.training.finetune_config import FinetuneConfig
from pipeline.config_checks import AtLeast, Between, OneOf, refused, require

SCRATCH, TRANSFERRED, LINEAR, WORDS = "scratch", "transferred", "linear", "words"
ARM_NAMES = (SCRATCH, TRANSFERRED, LINEAR, WORDS)
NETWORKS = (SCRATCH, TRANSFERRED)  # arms whose results depend on the seed


@dataclass(frozen=True)
class ClassifierConfig:
    """How a network is trained to choose among labels."""

    # Word vectors go on with so many passes over the texts of all training examples, without their
    # labels (`model.transferring.frozen_features`); 0: they stay what the model's training made of
    # them.
    reading_epochs: int = 10
    reading_texts_max: int = 10_000

    # Embeddings that were trained are long: below 1e-2 they hardly move, and less is learned than
    # from random ones (800 Chinese headlines: 53 % right at 3e-3, 61 % at 1e-2; random 58 %).
    # The best on the examples held aside is kept.
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    epochs: int = 10
    batch_size: int = 16
    dropout: float = 0.1  # of the mean
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        if not self.learning_rates or min(self.learning_rates) <= 0:
            raise refused("classifier.learning_rates", self.learning_rates, "one or more above 0")
        require(
            self,
            "classifier",
            reading_epochs=AtLeast(0),
            epochs=AtLeast(1),
            batch_size=AtLeast(1),
            reading_texts_max=AtLeast(1),
            dropout=Between(0, 1, below_high=True),
        )


@dataclass(frozen=True)
class TransferConfig:
    """What is compared, on how much; `finetune.seed` is the arm's seed."""

    arm: str = TRANSFERRED
    held_out_share: float = 0.3  # of the examples, by the hash of their input
    questions_max: int = 2000  # where there are labels: a text is read once
    free_questions_max: int = 400  # where answers are free: each candidate is read twice
    candidates: int = 4  # of a free answer
    held_aside_share: float = 0.2  # of the training examples, to choose rates and epochs by
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)  # where there are labels
    finetune: FinetuneConfig = field(  # where answers are free
        default_factory=lambda: FinetuneConfig(examples_max=1000, learning_rates=(1e-3, 4e-3))
    )

    def __post_init__(self) -> None:
        require(
            self,
            "transfer",
            arm=OneOf(ARM_NAMES),
            questions_max=AtLeast(1),
            free_questions_max=AtLeast(1),
            held_aside_share=Between(0, 1, above_low=True, below_high=True),
            candidates=AtLeast(2),
        )
