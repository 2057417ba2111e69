"""How a model is evaluated: every setting of `[evaluate]`, checked when it is read."""

from dataclasses import dataclass, field

from model.evaluation.tasks.table import TASKS
from pipeline.config_checks import AtLeast, Between, OrOff, require, unknown_name
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile

ALL = "all"  # what the slice of all held-out text is called


@dataclass(frozen=True)
class BaselineConfig:
    """What the model is held against besides token frequencies; `off` leaves one out."""

    ngram_order: int | None = 5  # interpolated Kneser-Ney over the model's own tokens
    ngram_tokens_max: int = 4_000_000  # training tokens it counts, at 180 bytes of memory each
    compressor_bytes_max: int | None = 4_000_000  # training text that xz and PPMd read first

    def __post_init__(self) -> None:
        require(
            self,
            "evaluate.baselines",
            ngram_order=OrOff(AtLeast(1)),
            ngram_tokens_max=AtLeast(1),
            compressor_bytes_max=OrOff(AtLeast(1)),
        )


@dataclass(frozen=True)
class MemorisationConfig:
    """Passages asked for from each split; a context too short for both halves is cut in two."""

    examples: int | None = 200  # of each split; off leaves the probe out
    prompt_tokens: int = 32
    continuation_tokens: int = 32

    def __post_init__(self) -> None:
        require(
            self,
            "evaluate.memorisation",
            examples=OrOff(AtLeast(1)),
            prompt_tokens=AtLeast(1),
            continuation_tokens=AtLeast(1),
        )


@dataclass(frozen=True)
class ToxicityConfig:
    """Samples drawn from the model alone, and further terms, one per line."""

    samples: int | None = 64  # off leaves the probe out
    tokens: int = 48
    temperature: float = 1.0
    terms: tuple[InputFile, ...] = ()  # beside the list that comes with textmill

    def __post_init__(self) -> None:
        require(self, "evaluate.toxicity", samples=OrOff(AtLeast(1)), tokens=AtLeast(1))


@dataclass(frozen=True)
class TaskConfig:
    """A task, how many solved examples stand before each question, and on how many rows."""

    name: str
    shots: int = 0
    examples: int = 100
    data: InputFile | None = None  # JSON or a table; none: the rows that come with textmill

    def __post_init__(self) -> None:
        if self.name not in TASKS:
            raise unknown_name("evaluate.tasks.name", self.name, TASKS)
        require(self, "evaluate.tasks", shots=AtLeast(0), examples=AtLeast(1))


@dataclass(frozen=True)
class EvaluateConfig:
    """How much is scored: whole documents, in the order of their ids' hash, up to these limits."""

    documents_max: int = 2000
    tokens_max: int = 200_000
    batch_size: int = 16
    seed: int = 0  # of what is drawn: passages, samples, resamples for the intervals
    bias: bool = True  # compare sentences of which one word is changed
    baselines: BaselineConfig = field(default_factory=BaselineConfig)
    memorisation: MemorisationConfig = field(default_factory=MemorisationConfig)
    toxicity: ToxicityConfig = field(default_factory=ToxicityConfig)
    tasks: tuple[TaskConfig, ...] = ()

    def __post_init__(self) -> None:
        one = AtLeast(1)
        require(self, "evaluate", documents_max=one, tokens_max=one, batch_size=one)
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ConfigError(f"evaluate.tasks: {names} names a task twice; give each task once")


@dataclass(frozen=True)
class DriftConfig:
    """How far new text may be from the text that the champion knows, before it is retrained."""

    language_shift: float | None = 0.2  # of the bytes, in another language than before
    tokens_per_byte_rise: float | None = 0.1  # more tokens for the text of a language
    bits_per_byte_rise: float | None = 0.1  # more bits of the champion's for it
    least_share: float = 0.05  # languages with less of the new bytes do not count
    tokens_max: int = 50_000  # scored of new text, and as many of old text
    seed: int = 0  # of the resamples

    def __post_init__(self) -> None:
        rise = OrOff(AtLeast(0))
        require(
            self,
            "drift",
            language_shift=OrOff(Between(0, 1)),
            tokens_per_byte_rise=rise,
            bits_per_byte_rise=rise,
            least_share=Between(0, 1),
            tokens_max=AtLeast(1),
        )
