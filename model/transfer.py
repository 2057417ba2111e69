"""The stage `transfer`: one way to do a task, learned and tested, with the outcome per question.

`ARMS` is the table of ways: the network fine-tuned from the base's weights, the same network from
random ones, and TF-IDF with logistic regression. All answer the same questions by choosing among
the same answers: a label among all labels, or, where answers are free, the right one among those of
other questions (`candidates` in all, so that chance is one in as many).
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from model import export, finetune, linear_baseline
from model.answer_scores import score_answers
from model.chat import Coded
from model.example_set import code_row, code_split, lowest, rows_of
from model.finetune import RANDOM, FinetuneConfig
from model.networks import AnyNetwork
from model.packing import fits
from pipeline.errors import ConfigError, TrainingError
from pipeline.example_contracts import TRANSFER
from pipeline.shard import TRAIN, VALIDATION
from pipeline.sink import Sink
from pipeline.stage import Job, Stage
from pipeline.tokenizer import Tokenizer, load_tokenizer

SCRATCH, TRANSFERRED, LINEAR = "scratch", "transferred", "linear"
LABELLED = ("classification", "sentiment")
LABELS_MAX = 50
QUESTIONS_SEED = 0  # the same questions for every arm and seed


@dataclass(frozen=True)
class TransferConfig:
    """What is compared, on how much; `finetune.seed` is the arm's seed."""

    arm: str = TRANSFERRED
    scratch_learning_rate: float = 3e-3  # untrained weights want larger steps than trained ones
    held_out_share: float = 0.3  # of the examples, by the hash of their input
    questions_max: int = 400
    candidates: int = 4
    finetune: FinetuneConfig = field(
        default_factory=lambda: FinetuneConfig(examples_max=1000, learning_rate=1e-3)
    )

    def __post_init__(self) -> None:
        if self.arm not in ARMS:
            raise ConfigError(f"transfer.arm: {self.arm!r}, wanted one of {', '.join(ARMS)}")
        if self.questions_max < 1:
            raise ConfigError(f"transfer.questions_max: {self.questions_max}, wanted at least 1")
        if self.candidates < 2:
            raise ConfigError(f"transfer.candidates: {self.candidates}, wanted at least 2")


@dataclass(frozen=True)
class Question:
    """A row of EXAMPLES, the answers to choose from and which of them is right."""

    row: dict[str, Any]
    candidates: tuple[str, ...]
    right: int


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
    if examples.stats["task"] in LABELLED and len(labels) > LABELS_MAX:
        raise TrainingError(
            f"{examples.path}: {len(labels)} different labels, wanted at most {LABELS_MAX}; "
            f"give another examples.output_field, or another task"
        )
    held_out = rows_of(examples, VALIDATION)
    asked = questions(held_out, examples.stats["task"], labels, config)
    asked, left = answerable(asked, tokenizer, lambda total, before: fits(context, total, before))
    if not asked or not taught.rows:
        raise TrainingError(
            f"{examples.path}: {len(taught.rows)} examples to learn from and {len(asked)} "
            f"questions that fit; give more, or raise examples.validation_share"
        )
    rows = ARMS[config.arm](job, taught.rows, taught.coded, asked, tokenizer)
    left["beyond_limit"] = len(held_out) - len(asked) - left.total()
    job.map(_Write(len(held_out), left), [rows])
    right = [row["right"] for row in rows]
    job.stats.update(
        arm=config.arm,
        task=examples.stats["task"],
        examples=len(taught.rows),
        prompts_cut=taught.cut,
        questions=len(rows),
        candidates=len(asked[0].candidates),
        accuracy=sum(right) / len(right),
    )


def answer_of(row: dict[str, Any]) -> str:
    """Return the answer of a row of EXAMPLES."""
    return row["turns"][-1]["text"]


def asked_of(row: dict[str, Any]) -> str:
    """Return what a row of EXAMPLES asks, as text."""
    return "\n".join(turn["text"] for turn in row["turns"][:-1])


def input_of(row: dict[str, Any]) -> str:
    """Return the input of a row of EXAMPLES, without its template's words where it has one."""
    if row["soft_begin"] is None:
        return asked_of(row)
    return row["turns"][0]["text"][row["soft_begin"] : row["soft_end"]]


def questions(
    held_out: Sequence[dict[str, Any]], task: str, labels: Sequence[str], config: TransferConfig
) -> list[Question]:
    """Return questions with their candidates, the same ones for the same rows."""
    rows = lowest(list(held_out), config.questions_max)
    if task in LABELLED:
        known = [row for row in rows if answer_of(row) in labels]
        return [Question(row, tuple(labels), labels.index(answer_of(row))) for row in known]
    generator = np.random.Generator(np.random.PCG64(QUESTIONS_SEED))
    pool = sorted({answer_of(row) for row in rows})
    found = []
    for row in rows:
        others = [a for a in generator.permutation(pool).tolist() if a not in row["references"]]
        if len(others) < config.candidates - 1:
            continue
        candidates = [answer_of(row), *others[: config.candidates - 1]]
        order = generator.permutation(len(candidates)).tolist()
        found.append(Question(row, tuple(candidates[i] for i in order), order.index(0)))
    return found


def answerable(
    asked: Sequence[Question], tokenizer: Tokenizer, fit: Callable[[int, int], bool]
) -> tuple[list[Question], Counter[str]]:
    """Leave out questions that the network cannot read with each of their answers."""
    kept, left = [], Counter[str]()
    for one in asked:
        coded = [code_row(one.row, answer, tokenizer, fit) for answer in one.candidates]
        wrong = next((found for found in coded if isinstance(found, str)), None)
        if wrong is None:
            kept.append(one)
        else:
            left[wrong] += 1
    return kept, left


def neural(
    job: Job,
    rows: Sequence[dict[str, Any]],
    coded: Sequence[Coded],
    asked: Sequence[Question],
    tokenizer: Tokenizer,
) -> list[dict[str, Any]]:
    """Fine-tune the network and let it choose the answer of highest likelihood.

    Free answers are ranked by what the question adds to their likelihood (domain conditional PMI,
    Holtzman et al. 2021, arXiv:2104.08315), or a short one would always win.
    """
    config: TransferConfig = job.config
    settings = config.finetune
    if config.arm == SCRATCH:
        settings = replace(settings, start=RANDOM, learning_rate=config.scratch_learning_rate)
    network = finetune.starting_network(job.parents[0], settings)
    finetune.tune(job, settings, network, coded, [])
    nats_NC = _candidate_nats(network, asked, tokenizer, blank=False)
    chosen_NC = nats_NC
    if job.parents[1].stats["task"] not in LABELLED:
        chosen_NC = nats_NC - _candidate_nats(network, asked, tokenizer, blank=True)
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
        code_row(_blanked(one.row) if blank else one.row, answer, tokenizer, fit)
        for one in asked
        for answer in one.candidates
    ]
    ready = [one for one in coded if isinstance(one, Coded)]
    assert len(ready) == len(coded)  # `answerable` left out what does not fit
    return score_answers(network, ready).nats_N.reshape(len(asked), -1)


def _blanked(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose input is gone and whose template's words are left."""
    first, *rest = row["turns"]
    begin, end = (0, len(first["text"])) if row["soft_begin"] is None else (
        row["soft_begin"], row["soft_end"])  # fmt: skip
    text = first["text"][:begin] + first["text"][end:]
    return {**row, "turns": [{**first, "text": text}, *rest], "soft_begin": None, "soft_end": None}


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
