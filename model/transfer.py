"""The stage `transfer`: one way to do a task, learned and tested, with the outcome per question.

`ARMS` is the table of ways: the network from the base's weights, the same network from random ones,
TF-IDF with logistic regression, and, where there are labels, Word2Vec with logistic regression. All
answer the same questions by choosing among the same answers: a label among all labels, or, where
answers are free, the right one among those of other questions (`candidates` in all, so that chance
is one in as many).

Both networks are taught alike: labels as in `model.transferring.label_ensemble`, free answers word
by word. What there is to choose, training examples held aside decide, for either network by itself.
Before it is taught labels, the transferred one goes on reading: its word vectors the texts of all
training examples, without their labels. Word2Vec reads the same, without a model to begin with.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from model.contracts import TRANSFER
from model.data.chat import EncodedExample
from model.data.example_batches import fits_context
from model.data.examples import (
    encode_row,
    encode_split,
    lowest_by_hash,
    refuse_mostly_unusable,
    rows_of,
)
from model.evaluation.answer_scores import score_answers
from model.formats import model_folder
from model.network.families import AnyNetwork
from model.training import tuning
from model.training.tuning import RANDOM, WEIGHTS, FinetuneConfig
from model.transferring import label_ensemble, tfidf
from model.transferring.classifier import ClassifierConfig
from model.transferring.label_ensemble import Lesson
from model.transferring.questions import (
    Question,
    answer_of,
    answerable,
    asked_of,
    blanked,
    input_of,
    least,
    outcome,
    questions,
    refuse_no_choice,
)
from pipeline.errors import ConfigError, TrainingError
from pipeline.shard import TRAIN, VALIDATION
from pipeline.stage import Job, Stage
from pipeline.store.sink import Sink
from pipeline.tokenizer import Tokenizer, load_tokenizer

SCRATCH, TRANSFERRED, LINEAR, WORDS = "scratch", "transferred", "linear", "words"
NETWORKS = (SCRATCH, TRANSFERRED)  # arms whose outcome depends on the seed
LABELLED = ("classification", "sentiment")


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
        if self.arm not in ARMS:
            raise ConfigError(f"transfer.arm: {self.arm!r}, wanted one of {', '.join(ARMS)}")
        for name in ("questions_max", "free_questions_max"):
            if getattr(self, name) < 1:
                raise ConfigError(f"transfer.{name}: {getattr(self, name)}, wanted at least 1")
        if not 0 < self.held_aside_share < 1:
            raise ConfigError(
                f"transfer.held_aside_share: {self.held_aside_share}, wanted between 0 and 1"
            )
        if self.candidates < 2:
            raise ConfigError(f"transfer.candidates: {self.candidates}, wanted at least 2")


def run(job: Job[TransferConfig]) -> None:
    """Learn on the training split of the second parent, answer questions of its held-out one.

    The account is kept in held-out examples.
    """
    config = job.config
    base, examples = job.parents
    tokenizer = load_tokenizer(base.path / model_folder.TOKENIZER)
    context = model_folder.read(base.path).config
    taught = encode_split(examples, TRAIN, tokenizer, context, config.finetune.examples_max)
    known = sorted({answer_of(row) for row in rows_of(examples, TRAIN)})
    labelled = examples.stats["task"] in LABELLED
    refuse_mostly_unusable(examples, taught, config.finetune.unusable_share_max)
    held_out = rows_of(examples, VALIDATION)
    refuse_no_choice(examples.path, known if labelled else None, held_out, config.candidates)
    limit = config.questions_max if labelled else config.free_questions_max
    rows = lowest_by_hash(held_out, limit)
    asked = questions(rows, known if labelled else None, config.candidates)
    unknown = len(rows) - len(asked)
    asked, left = answerable(
        asked, tokenizer, lambda total, before: fits_context(context, total, before)
    )
    if not asked or not taught.rows:
        raise TrainingError(
            f"{examples.path}: {len(taught.rows)} examples to learn from and {len(asked)} "
            f"questions that fit; give more, or raise examples.validation_share"
        )
    outcomes = ARMS[config.arm](Work(job, taught.rows, taught.encoded, asked, tokenizer))
    left["beyond_limit"] = len(held_out) - len(rows)
    left["label_not_taught" if labelled else "no_candidates"] = unknown
    job.map(_Write(len(held_out), left), [outcomes])
    right = [row["right"] for row in outcomes]
    job.stats.update(
        arm=config.arm,
        task=examples.stats["task"],
        examples=len(taught.rows),
        prompts_cut=taught.truncated,
        questions=len(outcomes),
        candidates=len(asked[0].candidates),
        accuracy=sum(right) / len(right),
    )


@dataclass(frozen=True)
class Work:
    """What an arm has to do: examples to learn from, as rows and as ids, and questions."""

    job: Job[TransferConfig]
    rows: Sequence[dict[str, Any]]
    encoded: Sequence[EncodedExample]
    asked: Sequence[Question]
    tokenizer: Tokenizer

    @property
    def config(self) -> TransferConfig:
        """Return the stage's config."""
        return self.job.config

    @property
    def labelled(self) -> bool:
        """Tell whether answers are labels."""
        return self.job.parents[1].stats["task"] in LABELLED

    def parts(self) -> tuple[list[int], list[int]]:
        """Return which examples to learn from, and which are held aside; by the seed."""
        generator = np.random.Generator(np.random.PCG64(self.config.finetune.seed))
        order = generator.permutation(len(self.rows)).tolist()
        aside = max(1, round(self.config.held_aside_share * len(order)))
        return order[aside:] or order, order[:aside]


def neural(work: Work) -> list[dict[str, Any]]:
    """Teach the network, from the base's weights or random ones, and let it answer."""
    start = RANDOM if work.config.arm == SCRATCH else WEIGHTS
    settings = replace(work.config.finetune, start=start)
    return (_by_label if work.labelled else _by_likelihood)(work, settings)


def _by_label(work: Work, settings: FinetuneConfig) -> list[dict[str, Any]]:
    def network() -> AnyNetwork:
        return tuning.starting_network(work.job.parents[0], settings)

    config, reads = work.config, work.config.arm == TRANSFERRED
    taught = label_ensemble.taught(
        network, _lesson(work), config.classifier, settings.seed, reads=reads
    )
    work.job.stats.update(weights=taught.weights, learning_rate=taught.learning_rate)
    return least(work.asked, taught.nats_NC)


def _lesson(work: Work) -> Lesson:
    base, examples = work.job.parents
    unlabelled = lowest_by_hash(rows_of(examples, TRAIN), work.config.classifier.reading_texts_max)
    context = model_folder.read(base.path).config.context
    return label_ensemble.lesson(
        work.rows, work.parts(), work.asked, unlabelled, work.tokenizer, context
    )


def words(work: Work) -> list[dict[str, Any]]:
    """Let Word2Vec and logistic regression answer: it reads what the transferred network reads."""
    shape = work.tokenizer.vocab_size, model_folder.read(work.job.parents[0].path).config.width
    config, seed = work.config.classifier, work.config.finetune.seed
    return least(work.asked, label_ensemble.by_words(shape, _lesson(work), config, seed))


def _by_likelihood(work: Work, settings: FinetuneConfig) -> list[dict[str, Any]]:
    """Choose the answer to whose likelihood the question adds most.

    That is domain conditional PMI (Holtzman et al. 2021, arXiv:2104.08315); by likelihood alone a
    short answer would always win.
    """
    taught, held = ([work.encoded[index] for index in part] for part in work.parts())
    result = tuning.best_of_rates(work.job, settings, work.job.parents[0], taught, held)
    network = result.training.network
    nats_NC = _candidate_nats(network, work.asked, work.tokenizer, blank=False)
    chosen_NC = nats_NC - _candidate_nats(network, work.asked, work.tokenizer, blank=True)
    work.job.stats.update(
        learning_rate=result.training.optimizer.hyperparameters.learning_rate,
        epochs=result.training.kept_step / result.batches.batches_per_epoch,
    )
    return [
        outcome(one, int(np.argmin(scores)), float(nats[one.right]))
        for one, scores, nats in zip(work.asked, chosen_NC, nats_NC, strict=True)
    ]


def _candidate_nats(
    network: AnyNetwork, asked: Sequence[Question], tokenizer: Tokenizer, *, blank: bool
) -> np.ndarray:
    """Return nats (N, C) of each candidate after its question, or after one without its text."""

    def fit(total: int, before: int) -> bool:
        return fits_context(network.config, total, before)

    coded = [
        encode_row(blanked(one.row) if blank else one.row, answer, tokenizer, fit)
        for one in asked
        for answer in one.candidates
    ]
    ready = [one for one in coded if isinstance(one, EncodedExample)]
    assert len(ready) == len(coded)  # `answerable` left out what does not fit
    return score_answers(network, ready).nats_N.reshape(len(asked), -1)


def linear(work: Work) -> list[dict[str, Any]]:
    """Let TF-IDF and logistic regression answer; they read texts whole."""
    config, rows, asked = work.config, work.rows, work.asked
    seed = config.finetune.seed
    if work.labelled:
        texts, answers = [input_of(row) for row in rows], [answer_of(row) for row in rows]
        said = tfidf.predict_labels(texts, answers, [input_of(one.row) for one in asked], seed)
        return [
            outcome(one, one.candidates.index(label), None)
            for one, label in zip(asked, said, strict=True)
        ]
    pairs = [(asked_of(row), answer_of(row)) for row in rows]
    matchings = [(asked_of(one.row), one.candidates) for one in asked]
    scores_NC = tfidf.match(pairs, matchings, config.candidates - 1, seed)
    return [
        outcome(one, int(np.argmax(scores)), None)
        for one, scores in zip(asked, scores_NC, strict=True)
    ]


@dataclass(frozen=True)
class _Write:
    """Writes the outcomes with the account of held-out examples."""

    seen: int
    left: Counter[str]

    def __call__(self, rows: list[dict[str, Any]], sink: Sink) -> None:
        sink.saw(self.seen)
        sink.kept(len(rows))
        for reason, count in sorted((+self.left).items()):
            sink.dropped(reason, count)
        sink.write("main", pa.Table.from_pylist(rows, schema=TRANSFER.schema))


Arm = Callable[[Work], list[dict[str, Any]]]
ARMS: dict[str, Arm] = {SCRATCH: neural, TRANSFERRED: neural, LINEAR: linear, WORDS: words}


def arms_of(task: str) -> list[str]:
    """Return the arms that a task has."""
    return [arm for arm in ARMS if arm != WORDS or task in LABELLED]


STAGE = Stage(
    name="transfer",
    contract=TRANSFER,
    run=run,
    module="model.transfer",
    libraries=("torch", "numpy", "scikit-learn", "scipy", "gensim"),
    counts_rows=False,
)
