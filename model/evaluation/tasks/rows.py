"""Small tables for tasks, written for this project: enough to try a task, too few to rank models.

Rows have the fields that data files of the same task have; give a file for a real measurement.
"""

from typing import Any

import numpy as np

from model.evaluation.tasks.row_texts import (
    NEGATIVE,
    PASSAGES,
    POSITIVE,
    PROGRAMS,
    SOLUTIONS,
    SUMMARIES,
    TOPICS,
    TRANSLATIONS,
)

Row = dict[str, Any]


def sentiment(seed: int) -> list[Row]:
    """Return reviews with the labels pos and neg."""
    return [
        {"text": text, "label": label, "lang": lang}
        for label, table in (("pos", POSITIVE), ("neg", NEGATIVE))
        for lang, texts in table.items()
        for text in texts
    ]


def topic(seed: int) -> list[Row]:
    """Return sentences with their topic."""
    return [
        {"text": text, "label": label, "lang": lang}
        for lang, labels in TOPICS.items()
        for label, texts in labels.items()
        for text in texts
    ]


def qa(seed: int) -> list[Row]:
    """Return questions about passages that hold the answer."""
    return [
        {"text": text, "question": question, "answers": [answer], "lang": lang}
        for lang, text, questions in PASSAGES
        for question, answer in questions
    ]


def translation(seed: int) -> list[Row]:
    """Return sentences in both languages."""
    return [{"en": en, "zh": zh} for en, zh in TRANSLATIONS]


def summarisation(seed: int) -> list[Row]:
    """Return short texts with a summary."""
    return [{"text": text, "summary": summary, "lang": lang} for lang, text, summary in SUMMARIES]


def arithmetic(seed: int, count: int = 400) -> list[Row]:
    """Return sums, differences and products of one and two digits, each once."""
    generator = np.random.Generator(np.random.PCG64(seed))
    rows: dict[str, Row] = {}
    while len(rows) < count:
        a, b = (int(generator.integers(0, 10 ** generator.integers(1, 3))) for _ in range(2))
        sign = ("+", "-", "*")[generator.integers(3)]
        answer = {"+": a + b, "-": a - b, "*": a * b}[sign]
        rows[f"{a} {sign} {b}"] = {"question": f"{a} {sign} {b}", "answer": str(answer)}
    return list(rows.values())


def code(seed: int) -> list[Row]:
    """Return Python functions to be written, with checks."""
    return [
        {
            "prompt": f'def {name}({arguments}):\n    """Return {what}."""\n',
            "test": "\n".join(f"assert {name}{check}" for check in checks),
            "entry_point": name,
            "canonical_solution": f"    {SOLUTIONS[name]}\n",
        }
        for name, arguments, what, checks in PROGRAMS
    ]
