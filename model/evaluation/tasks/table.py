"""The tasks: their rows, what counts as an answer, how answers are judged; a line each in TASKS.

The words are those of `pipeline.prompts.task_templates`, by which models are taught: a model that
was fine-tuned on a task is asked as it was taught, and its choices are the data's own labels.
A task that has `choices` is answered by the likeliest of them (zero- and few-shot classification),
any other by what the model writes, greedily, up to a stop string.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from model.evaluation.tasks import rows
from model.evaluation.tasks.item import Item
from pipeline.prompts.task_templates import asked_turn
from pipeline.schema import UNKNOWN_LANGUAGE

Row = dict[str, Any]

CHOICE_METRICS = ("accuracy", "accuracy_per_byte", "macro_f1", "majority")


@dataclass(frozen=True)
class Task:
    """A kind of question; `fields` is what a row of a data file must have.

    `template` is the task of `pipeline.prompts.task_templates` in whose words it is asked.
    """

    template: str
    item: Callable[[Row, Sequence[str]], Item]  # (row, labels of all rows) -> item
    rows: Callable[[int], list[Row]]  # seed -> rows that come with textmill
    fields: tuple[str, ...]
    metrics: tuple[str, ...]
    meaning: str
    new_tokens: int = 0  # the most that is written; 0 for tasks that choose
    stop: tuple[str, ...] = ("\n",)


def classify(row: Row, labels: Sequence[str], *, template: str) -> Item:
    """Ask for the label of a text, as the data spells it."""
    prompt = asked_turn(template, row["text"]).text
    return Item(row["lang"], prompt, (str(row["label"]),), choices=tuple(labels))


def qa(row: Row, labels: Sequence[str]) -> Item:
    """Ask a question about a passage."""
    prompt = asked_turn("qa", row["text"], row["question"]).text
    return Item(row["lang"], prompt, _texts(row["answers"]))


def translate(row: Row, labels: Sequence[str], *, source: str, target: str) -> Item:
    """Ask for a sentence in the other language."""
    return Item(target, asked_turn("translation", row[source]).text, (row[target],))


def summarise(row: Row, labels: Sequence[str]) -> Item:
    """Ask for a sentence that says what a text says."""
    return Item(row["lang"], asked_turn("summarisation", row["text"]).text, _texts(row["summary"]))


def arithmetic(row: Row, labels: Sequence[str]) -> Item:
    """Ask for the result of a sum."""
    return Item(
        UNKNOWN_LANGUAGE, asked_turn("arithmetic", row["question"]).text, (str(row["answer"]),)
    )


def code(row: Row, labels: Sequence[str]) -> Item:
    """Ask for the body of a Python function."""
    call = f"\ncheck({row['entry_point']})" if "def check(" in row["test"] else ""
    solution = row.get("canonical_solution", "")
    check, function = row["test"] + call, row["entry_point"]
    prompt = asked_turn("code", row["prompt"]).text
    return Item("python", prompt, (solution,), check=check, function=function)


def _texts(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


# What a function's end looks like when the model goes on to the next thing.
AFTER_A_FUNCTION = ("\ndef ", "\nclass ", "\n#", "\nif ", "\nprint", "\nassert ", "\n```")

TASKS: dict[str, Task] = {
    "sentiment": Task(
        "sentiment",
        functools.partial(classify, template="sentiment"),
        rows.sentiment,
        ("text", "label"),
        CHOICE_METRICS,
        "positive or negative",
    ),
    "topic": Task(
        "classification",
        functools.partial(classify, template="classification"),
        rows.topic,
        ("text", "label"),
        CHOICE_METRICS,
        "what a text is about",
    ),
    "qa": Task(
        "qa",
        qa,
        rows.qa,
        ("text", "question", "answers"),
        ("exact", "f1"),
        "questions about a passage",
        32,
    ),
    "translate_en_zh": Task(
        "translation",
        functools.partial(translate, source="en", target="zh"),
        rows.translation,
        ("en", "zh"),
        ("bleu", "chrf"),
        "English to Chinese",
        64,
    ),
    "translate_zh_en": Task(
        "translation",
        functools.partial(translate, source="zh", target="en"),
        rows.translation,
        ("en", "zh"),
        ("bleu", "chrf"),
        "Chinese to English",
        64,
    ),
    "summarisation": Task(
        "summarisation",
        summarise,
        rows.summarisation,
        ("text", "summary"),
        ("rouge1", "rouge2", "rougeL"),
        "a sentence for a text",
        64,
    ),
    "arithmetic": Task(
        "arithmetic",
        arithmetic,
        rows.arithmetic,
        ("question", "answer"),
        ("exact",),
        "sums, differences, products",
        8,
    ),
    "code": Task(
        "code",
        code,
        rows.code,
        ("prompt", "test", "entry_point"),
        ("compiles", "passes"),
        "Python functions, run against checks in a sandbox",
        160,
        AFTER_A_FUNCTION,
    ),
}
