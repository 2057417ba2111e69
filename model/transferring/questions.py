"""What a transfer asks: rows of EXAMPLES with the answers to choose from."""

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
class Question:
    """A row of EXAMPLES, the answers to choose from and which of them is right."""

    row: dict[str, Any]
    candidates: tuple[str, ...]
    right: int


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
    rows: Sequence[dict[str, Any]], labels: Sequence[str] | None, candidates: int
) -> list[Question]:
    """Return questions with their candidates, the same ones for the same rows.

    Candidates are all labels, or where there are none, so many answers of these rows.
    """
    if labels is not None:
        known = [row for row in rows if answer_of(row) in labels]
        return [Question(row, tuple(labels), labels.index(answer_of(row))) for row in known]
    generator = np.random.Generator(np.random.PCG64(QUESTIONS_SEED))
    pool = sorted({answer_of(row) for row in rows})
    found = []
    for row in rows:
        others = [a for a in generator.permutation(pool).tolist() if a not in row["references"]]
        if len(others) < candidates - 1:
            continue
        offered = [answer_of(row), *others[: candidates - 1]]
        order = generator.permutation(candidates).tolist()
        found.append(Question(row, tuple(offered[i] for i in order), order.index(0)))
    return found


def refuse_no_choice(
    path: Path, labels: Sequence[str] | None, rows: Sequence[dict[str, Any]], candidates: int
) -> None:
    """Raise TrainingError where there is nothing to choose among, or too much.

    `labels` are those to learn from; None where the answers of the held-out `rows` are free.
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


def answerable(
    asked: Sequence[Question], tokenizer: Tokenizer, fit: Callable[[int, int], bool]
) -> tuple[list[Question], Counter[str]]:
    """Leave out questions that the network cannot read with each of their answers."""
    kept, left = [], Counter[str]()
    for one in asked:
        encoded = [encode_row(one.row, answer, tokenizer, fit) for answer in one.candidates]
        wrong = next((found for found in encoded if isinstance(found, str)), None)
        if wrong is None:
            kept.append(one)
        else:
            left[wrong] += 1
    return kept, left


def blanked(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose input is gone and whose template's words are left."""
    first, *rest = row["turns"]
    begin, end = (0, len(first["text"])) if row["soft_begin"] is None else (
        row["soft_begin"], row["soft_end"])  # fmt: skip
    text = first["text"][:begin] + first["text"][end:]
    return {**row, "turns": [{**first, "text": text}, *rest], "soft_begin": None, "soft_end": None}


def outcome(question: Question, chosen: int, nats: float | None) -> dict[str, Any]:
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


def least(asked: Sequence[Question], nats_NC: np.ndarray) -> list[dict[str, Any]]:
    """Return the rows of choosing the answer that costs least."""
    return [
        outcome(one, int(np.argmin(nats_C)), float(nats_C[one.right]))
        for one, nats_C in zip(asked, nats_NC, strict=True)
    ]
