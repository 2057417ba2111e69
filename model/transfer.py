"""The stage `transfer`: one way to do a task, trained and tested, with a result per question.

The ways are the table `model.transferring.arms.ARMS`. All answer the same questions by choosing
among the same answers: a label among all labels, or, where answers are free, the right one among
those of other questions (`candidates` in all, so that chance is one in as many).
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from model.contracts import TRANSFER
from model.data.example_batches import fits_context
from model.data.examples import encode_split, lowest_by_hash, refuse_mostly_unusable, rows_of
from model.formats import model_folder
from model.transferring.arms import ARMS, LABELLED, ArmInputs, TransferConfig
from model.transferring.questions import (
    answer_of,
    build_questions,
    keep_readable,
    refuse_no_choice,
)
from pipeline.errors import TrainingError
from pipeline.shard import TRAIN, VALIDATION
from pipeline.stage import Job, Stage
from pipeline.store.sink import Sink
from pipeline.tokenizer import load_tokenizer


def run(job: Job[TransferConfig]) -> None:
    """Train on the training split of the second parent, answer questions of its held-out one.

    The account is kept in held-out examples.
    """
    config = job.config
    base, examples = job.parents
    tokenizer = load_tokenizer(base.path / model_folder.TOKENIZER)
    model = model_folder.read(base.path).config
    train = encode_split(examples, TRAIN, tokenizer, model, config.finetune.examples_max)
    labelled = examples.stats["task"] in LABELLED
    answers = sorted({answer_of(row) for row in rows_of(examples, TRAIN)})
    labels = answers if labelled else None
    refuse_mostly_unusable(examples, train, config.finetune.unusable_share_max)
    held_out = rows_of(examples, VALIDATION)
    refuse_no_choice(examples.path, labels, held_out, config.candidates)
    rows = lowest_by_hash(held_out, config.questions_max if labelled else config.free_questions_max)
    built = build_questions(rows, labels, config.candidates)
    questions, dropped = keep_readable(
        built, tokenizer, lambda total, before: fits_context(model, total, before)
    )
    if not questions or not train.rows:
        raise TrainingError(
            f"{examples.path}: {len(train.rows)} examples to learn from and {len(questions)} "
            f"questions that fit; give more, or raise examples.validation_share"
        )
    results = ARMS[config.arm](ArmInputs(job, train.rows, train.encoded, questions, tokenizer))
    dropped["beyond_limit"] = len(held_out) - len(rows)
    dropped["label_not_taught" if labelled else "no_candidates"] = len(rows) - len(built)
    job.map(_Write(len(held_out), dropped), [results])
    job.stats.update(
        arm=config.arm,
        task=examples.stats["task"],
        examples=len(train.rows),
        prompts_cut=train.truncated,
        questions=len(results),
        candidates=len(questions[0].candidates),
        accuracy=sum(row["right"] for row in results) / len(results),
    )


@dataclass(frozen=True)
class _Write:
    """Write the results with the account of held-out examples."""

    seen: int
    dropped: Counter[str]

    def __call__(self, rows: list[dict[str, Any]], sink: Sink) -> None:
        sink.saw(self.seen)
        sink.kept(len(rows))
        for reason, count in sorted((+self.dropped).items()):
            sink.dropped(reason, count)
        sink.write("main", pa.Table.from_pylist(rows, schema=TRANSFER.schema))


STAGE = Stage(
    name="transfer",
    contract=TRANSFER,
    run=run,
    module="model.transfer",
    libraries=("torch", "numpy", "scikit-learn", "scipy", "gensim"),
    counts_rows=False,
)
