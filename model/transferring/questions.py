"""Multiple-choice questions of a transfer: rows of EXAMPLES with the answers to choose from."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.data.examples import encode_row
from pipeline.errors import TrainingError
from pipeline.tokenizer import Tokenizer

LABELS_MAX = 50
QUESTIONS_SEED = 0  # the same questions for every arm and seed


@dataclass(frozen=True)
class ChoiceQuestion:
    """A row of EXAMPLES, the answers to choose from and the index of the right one."""

    row: dict[str, Any]
    candidates: tuple[str, ...]
    right: int


def answer_of(row: dict[str, Any]) -> str:
    """Return the answer of a row of EXAMPLES."""
    return row["turns"][-1]["text"]


def prompt_of(row: dict[str, Any]) -> str:
    """Return the turns before the answer of a row of EXAMPLES, as text."""
    return "\n".join(turn["text"] for turn in row["turns"][:-1])


def input_of(row: dict[str, Any]) -> str:
    """Return the input of a row of EXAMPLES, without its template's words where it has one."""
    if row["soft_begin"] is None:
        return prompt_of(row)
    return row["turns"][0]["text"][row["soft_begin"] : row["soft_end"]]


def build_questions(
    rows: Sequence[dict[str, Any]], labels: Sequence[str] | None, candidates: int
) -> list[ChoiceQuestion]:
    """Return questions with their candidates, the same ones for the same rows.

    Candidates are all labels, or where there are none, so many answers of these rows.
    """
    if labels is not None:
        labelled = [row for row in rows if answer_of(row) in labels]
        return [
            ChoiceQuestion(row, tuple(labels), labels.index(answer_of(row))) for row in labelled
        ]
    generator = np.random.Generator(np.random.PCG64(QUESTIONS_SEED))
    pool = sorted({answer_of(row) for row in rows})
    questions = []
    for row in rows:
        wrong = [a for a in generator.permutation(pool).tolist() if a not in row["references"]]
        if len(wrong) < candidates - 1:
            continue
        answers = [answer_of(row), *wrong[: candidates - 1]]
        order = generator.permutation(candidates).tolist()
        shuffled = tuple(answers[index] for index in order)
        questions.append(ChoiceQuestion(row, shuffled, order.index(0)))
    return questions


def refuse_no_choice(
    path: Path, labels: Sequence[str] | None, rows: Sequence[dict[str, Any]], candidates: int
) -> None:
    """Raise TrainingError where there is nothing to choose among, or too much.

    `labels` are those of the training examples; None where the answers of the held-out `rows` are
    free.
    """
    if labels is None:
        answers = len({answer_of(row) for row in rows})
        if answers < candidates:
            raise TrainingError(
                f"{path}: {answers} different answers among {len(rows)} held-out examples, wanted "
                f"at least {candidates} to choose from; give more, raise --set "
                f"transfer.held_out_share=..., or lower --set transfer.candidates=2"
            )
        return
    if 2 <= len(labels) <= LABELS_MAX:
        return
    shown = f" ({', '.join(map(repr, labels[:5]))})" if labels else ""
    raise TrainingError(
        f"{path}: {len(labels)} different labels to learn from{shown}, wanted 2 to {LABELS_MAX}; "
        f"give data with more than one label, or another --set examples.output_field=... or "
        f"--set examples.task=..."
    )


def keep_readable(
    questions: Sequence[ChoiceQuestion],
    tokenizer: Tokenizer,
    fits_context: Callable[[int, int], bool],
) -> tuple[list[ChoiceQuestion], Counter[str]]:
    """Return the questions that the network can read with each candidate, and why others fell."""
    kept, dropped = [], Counter[str]()
    for question in questions:
        encoded = [
            encode_row(question.row, answer, tokenizer, fits_context)
            for answer in question.candidates
        ]
        reason = next((result for result in encoded if isinstance(result, str)), None)
        if reason is None:
            kept.append(question)
        else:
            dropped[reason] += 1
    return kept, dropped


def without_input(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose input is gone and whose template's words are left."""
    first, *others = row["turns"]
    begin, end = 0, len(first["text"])
    if row["soft_begin"] is not None:
        begin, end = row["soft_begin"], row["soft_end"]
    template = {**first, "text": first["text"][:begin] + first["text"][end:]}
    return {**row, "turns": [template, *others], "soft_begin": None, "soft_end": None}


def result_row(question: ChoiceQuestion, chosen: int, nats: float | None) -> dict[str, Any]:
    """Return the row of TRANSFER of a question: what was chosen, what the right answer cost."""
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


def choose_cheapest(
    questions: Sequence[ChoiceQuestion], nll_NC: np.ndarray
) -> list[dict[str, Any]]:
    """Choose the candidate of the lowest negative log-likelihood (N, C); return rows of TRANSFER.

    N questions, C candidates.
    """
    return [
        result_row(question, int(np.argmin(nll_C)), float(nll_C[question.right]))
        for question, nll_C in zip(questions, nll_NC, strict=True)
    ]
