"""The stage `transfer`: one way to do a task, learned and tested, with the outcome per question.

`ARMS` is the table of ways: the network fine-tuned from the base's weights, the same network from
random ones, and TF-IDF with logistic regression. All answer the same questions by choosing among
the same answers: a label among all labels, or, where answers are free, the right one among those of
other questions (`candidates` in all, so that chance is one in as many).

Both networks are taught in the same way: labels by a linear map over the mean of their vectors
(`model.classifier`), free answers word by word. Each learning rate and the number of epochs are
chosen by a part of the training examples held aside, for either network by itself.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from model import classifier, export, finetune, linear_baseline
from model.answer_scores import score_answers
from model.chat import Coded
from model.classifier import ClassifierConfig, Labelled
from model.example_set import code_row, code_split, lowest, rows_of
from model.finetune import RANDOM, WEIGHTS, FinetuneConfig
from model.networks import AnyNetwork
from model.packing import fits
from model.transfer_questions import (
    Question,
    answer_of,
    answerable,
    asked_of,
    blanked,
    input_of,
    questions,
)
from pipeline.errors import ConfigError, TrainingError
from pipeline.example_contracts import TRANSFER
from pipeline.shard import TRAIN, VALIDATION
from pipeline.sink import Sink
from pipeline.stage import Job, Stage
from pipeline.tokenizer import Tokenizer, load_tokenizer

SCRATCH, TRANSFERRED, LINEAR = "scratch", "transferred", "linear"
LABELLED = ("classification", "sentiment")
LABELS_MAX = 50


@dataclass(frozen=True)
class TransferConfig:
    """What is compared, on how much; `finetune.seed` is the arm's seed."""

    arm: str = TRANSFERRED
    held_out_share: float = 0.3  # of the examples, by the hash of their input
    questions_max: int = 400
    candidates: int = 4
    held_aside_share: float = 0.2  # of the training examples, to choose rates and epochs by
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)  # where there are labels
    finetune: FinetuneConfig = field(  # where answers are free
        default_factory=lambda: FinetuneConfig(examples_max=1000, learning_rates=(1e-3, 4e-3))
    )

    def __post_init__(self) -> None:
        if self.arm not in ARMS:
            raise ConfigError(f"transfer.arm: {self.arm!r}, wanted one of {', '.join(ARMS)}")
        if self.questions_max < 1:
            raise ConfigError(f"transfer.questions_max: {self.questions_max}, wanted at least 1")
        if not 0 < self.held_aside_share < 1:
            raise ConfigError(
                f"transfer.held_aside_share: {self.held_aside_share}, wanted between 0 and 1"
            )
        if self.candidates < 2:
            raise ConfigError(f"transfer.candidates: {self.candidates}, wanted at least 2")


def run(job: Job) -> None:
    """Learn on the training split of the second parent, answer questions of its held-out one.

    The account is kept in held-out examples.
    """
    config: TransferConfig = job.config
    base, examples = job.parents
    tokenizer = load_tokenizer(base.path / export.TOKENIZER)
    context = export.read(base.path).config
    taught = code_split(examples, TRAIN, tokenizer, context, config.finetune.examples_max)
    labels = sorted({answer_of(row) for row in rows_of(examples, TRAIN)})
    labelled = examples.stats["task"] in LABELLED
    if labelled and len(labels) > LABELS_MAX:
        raise TrainingError(
            f"{examples.path}: {len(labels)} different labels, wanted at most {LABELS_MAX}; "
            f"give another examples.output_field, or another task"
        )
    held_out = rows_of(examples, VALIDATION)
    rows = lowest(held_out, config.questions_max)
    asked = questions(rows, labels if labelled else None, config.candidates)
    asked, left = answerable(asked, tokenizer, lambda total, before: fits(context, total, before))
    if not asked or not taught.rows:
        raise TrainingError(
            f"{examples.path}: {len(taught.rows)} examples to learn from and {len(asked)} "
            f"questions that fit; give more, or raise examples.validation_share"
        )
    outcomes = ARMS[config.arm](job, taught.rows, taught.coded, asked, tokenizer)
    left["beyond_limit"] = len(held_out) - len(asked) - left.total()
    job.map(_Write(len(held_out), left), [outcomes])
    right = [row["right"] for row in outcomes]
    job.stats.update(
        arm=config.arm,
        task=examples.stats["task"],
        examples=len(taught.rows),
        prompts_cut=taught.cut,
        questions=len(outcomes),
        candidates=len(asked[0].candidates),
        accuracy=sum(right) / len(right),
    )


def neural(
    job: Job,
    rows: Sequence[dict[str, Any]],
    coded: Sequence[Coded],
    asked: Sequence[Question],
    tokenizer: Tokenizer,
) -> list[dict[str, Any]]:
    """Teach the network, from the base's weights or random ones, and let it answer."""
    config: TransferConfig = job.config
    start = RANDOM if config.arm == SCRATCH else WEIGHTS
    settings = replace(config.finetune, start=start)
    order = np.random.Generator(np.random.PCG64(settings.seed)).permutation(len(rows)).tolist()
    aside = max(1, round(config.held_aside_share * len(order)))
    parts = order[aside:] or order, order[:aside]
    if job.parents[1].stats["task"] in LABELLED:
        return _by_label(job, settings, rows, parts, asked, tokenizer)
    taught, held = ([coded[index] for index in part] for part in parts)
    return _by_likelihood(job, settings, taught, held, asked, tokenizer)


Parts = tuple[list[int], list[int]]  # indices of examples to learn from, and of those held aside


def _by_label(
    job: Job,
    settings: FinetuneConfig,
    rows: Sequence[dict[str, Any]],
    parts: Parts,
    asked: Sequence[Question],
    tokenizer: Tokenizer,
) -> list[dict[str, Any]]:
    """Choose the label that a linear map over the network's vectors finds likeliest."""
    config: TransferConfig = job.config
    labels = asked[0].candidates

    def network() -> AnyNetwork:
        return finetune.starting_network(job.parents[0], settings)

    context = network().config.context
    texts = [classifier.coded_text(input_of(row), tokenizer, context) for row in rows]
    examples = Labelled(texts, [labels.index(answer_of(row)) for row in rows])
    learned = classifier.taught(
        network, examples.part(parts[0]), examples.part(parts[1]), len(labels),
        config.classifier, settings.seed,
    )  # fmt: skip
    shown = [classifier.coded_text(input_of(one.row), tokenizer, context) for one in asked]
    nats_NC = classifier.nats(learned.classifier, shown)
    job.stats.update(learning_rate=learned.learning_rate, epochs=learned.epochs)
    return [
        _outcome(one, int(np.argmin(nats_C)), float(nats_C[one.right]))
        for one, nats_C in zip(asked, nats_NC, strict=True)
    ]


def _by_likelihood(
    job: Job,
    settings: FinetuneConfig,
    taught: Sequence[Coded],
    held: Sequence[Coded],
    asked: Sequence[Question],
    tokenizer: Tokenizer,
) -> list[dict[str, Any]]:
    """Choose the answer to whose likelihood the question adds most.

    That is domain conditional PMI (Holtzman et al. 2021, arXiv:2104.08315); by likelihood alone a
    short answer would always win.
    """
    training, _ = finetune.best_of_rates(job, settings, job.parents[0], taught, held)
    network = training.network
    nats_NC = _candidate_nats(network, asked, tokenizer, blank=False)
    chosen_NC = nats_NC - _candidate_nats(network, asked, tokenizer, blank=True)
    job.stats.update(
        learning_rate=training.optimizer.hyperparameters.learning_rate,
        epochs=training.kept_step / training.loader.batches_per_epoch,  # type: ignore[attr-defined]  # ExampleBatches
    )
    return [
        _outcome(one, int(np.argmin(scores)), float(nats[one.right]))
        for one, scores, nats in zip(asked, chosen_NC, nats_NC, strict=True)
    ]


def _candidate_nats(
    network: AnyNetwork, asked: Sequence[Question], tokenizer: Tokenizer, *, blank: bool
) -> np.ndarray:
    """Return nats (N, C) of each candidate after its question, or after one without its text."""

    def fit(total: int, before: int) -> bool:
        return fits(network.config, total, before)

    coded = [
        code_row(blanked(one.row) if blank else one.row, answer, tokenizer, fit)
        for one in asked
        for answer in one.candidates
    ]
    ready = [one for one in coded if isinstance(one, Coded)]
    assert len(ready) == len(coded)  # `answerable` left out what does not fit
    return score_answers(network, ready).nats_N.reshape(len(asked), -1)


def linear(
    job: Job,
    rows: Sequence[dict[str, Any]],
    coded: Sequence[Coded],
    asked: Sequence[Question],
    tokenizer: Tokenizer,
) -> list[dict[str, Any]]:
    """Let TF-IDF and logistic regression answer; they read texts whole."""
    config: TransferConfig = job.config
    seed = config.finetune.seed
    if job.parents[1].stats["task"] in LABELLED:
        texts, labels = [input_of(row) for row in rows], [answer_of(row) for row in rows]
        said = linear_baseline.predict_labels(
            texts, labels, [input_of(one.row) for one in asked], seed
        )
        return [
            _outcome(one, one.candidates.index(label), None)
            for one, label in zip(asked, said, strict=True)
        ]
    pairs = [(asked_of(row), answer_of(row)) for row in rows]
    matchings = [(asked_of(one.row), one.candidates) for one in asked]
    scores_NC = linear_baseline.match(pairs, matchings, config.candidates - 1, seed)
    return [
        _outcome(one, int(np.argmax(scores)), None)
        for one, scores in zip(asked, scores_NC, strict=True)
    ]


def _outcome(question: Question, chosen: int, nats: float | None) -> dict[str, Any]:
    answer = question.candidates[question.right]
    return {
        "id": question.row["id"],
        "lang": question.row["lang"],
        "answer": answer,
        "chosen": question.candidates[chosen],
        "right": float(chosen == question.right),
        "bits": None if nats is None else nats / math.log(2),
        "bytes": len(answer.encode()),
    }


@dataclass(frozen=True)
class _Write:
    """Writes the outcomes with the account of held-out examples."""

    seen: int
    left: Counter[str]

    def __call__(self, rows: list[dict[str, Any]], sink: Sink) -> None:
        sink.saw(self.seen)
        sink.kept(len(rows))
        for reason, count in sorted(self.left.items()):
            sink.dropped(reason, count)
        sink.write("main", pa.Table.from_pylist(rows, schema=TRANSFER.schema))


Arm = Callable[
    [Job, Sequence[dict[str, Any]], Sequence[Coded], Sequence[Question], Tokenizer],
    list[dict[str, Any]],
]
ARMS: dict[str, Arm] = {SCRATCH: neural, TRANSFERRED: neural, LINEAR: linear}
STAGE = Stage(
    name="transfer",
    contract=TRANSFER,
    run=run,
    module="model.transfer",
    libraries=("torch", "numpy", "scikit-learn", "scipy"),
    counts_rows=False,
)
