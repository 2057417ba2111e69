"""The tasks: a function from a row of data to what is asked, and a line in TASKS.

A task that has `choices` is answered by the likeliest of them (zero- and few-shot classification),
any other by what the model writes, greedily, up to a stop string.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from model.evaluation.tasks import rows
from model.evaluation.tasks.item import Item
from pipeline.schema import UNKNOWN_LANGUAGE

Row = dict[str, Any]

CHOICE_METRICS = ("accuracy", "accuracy_per_byte", "macro_f1", "majority")
SENTIMENTS: dict[str, dict[Any, Any]] = {
    "en": {"pos": "positive", "neg": "negative", "neu": "neutral"},
    "zh": {"pos": "正面", "neg": "负面", "neu": "中性"},
}


@dataclass(frozen=True)
class Task:
    """A kind of question; `fields` is what a row of a data file must have."""

    item: Callable[[Row, Sequence[str]], Item]  # (row, labels of all rows) -> item
    rows: Callable[[int], list[Row]]  # seed -> rows that come with textmill
    fields: tuple[str, ...]
    metrics: tuple[str, ...]
    meaning: str
    new_tokens: int = 0  # the most that is written; 0 for tasks that choose
    stop: tuple[str, ...] = ("\n",)


def _gap(lang: str) -> str:
    return "" if lang == "zh" else " "


def _ask(lang: str, en: str, zh: str, answers: Sequence[str], **more: Any) -> Item:
    prompt = zh if lang == "zh" else en
    return Item(lang, prompt, tuple(answers), _gap(lang), **more)


def _several(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def sentiment(row: Row, labels: Sequence[str]) -> Item:
    """Is a review positive or negative?"""
    words = SENTIMENTS[row["lang"]]
    choices = tuple(words.get(label, label) for label in labels)
    answer = str(words.get(row["label"], row["label"]))
    return _ask(
        row["lang"], f"Review: {row['text']}\nSentiment:", f"评论：{row['text']}\n情感：",
        [answer], choices=choices,
    )  # fmt: skip


def topic(row: Row, labels: Sequence[str]) -> Item:
    """What is a text about?"""
    return _ask(row["lang"], f"Text: {row['text']}\nTopic:", f"文本：{row['text']}\n主题：",
                [row["label"]], choices=tuple(labels))  # fmt: skip


def qa(row: Row, labels: Sequence[str]) -> Item:
    """Answer a question about a passage."""
    text, question = row["text"], row["question"]
    return _ask(row["lang"], f"{text}\nQuestion: {question}\nAnswer:",
                f"{text}\n问题：{question}\n回答：", _several(row["answers"]))  # fmt: skip


def translate(row: Row, labels: Sequence[str], *, into: str) -> Item:
    """Translate a sentence."""
    if into == "zh":
        return Item("zh", f"English: {row['en']}\nChinese:", (row["zh"],), " ")
    return Item("en", f"中文：{row['zh']}\n英文：", (row["en"],))


def summarise(row: Row, labels: Sequence[str]) -> Item:
    """Say in a sentence what a text says."""
    return _ask(row["lang"], f"{row['text']}\nSummary:", f"{row['text']}\n摘要：",
                _several(row["summary"]))  # fmt: skip


def arithmetic(row: Row, labels: Sequence[str]) -> Item:
    """Work out a sum."""
    return Item(UNKNOWN_LANGUAGE, f"{row['question']} =", (str(row["answer"]),), " ")


def code(row: Row, labels: Sequence[str]) -> Item:
    """Write the body of a Python function."""
    call = f"\ncheck({row['entry_point']})" if "def check(" in row["test"] else ""
    solution = row.get("canonical_solution", "")
    check, function = row["test"] + call, row["entry_point"]
    return Item("python", row["prompt"], (solution,), check=check, function=function)


# What a function's end looks like when the model goes on to the next thing.
AFTER_A_FUNCTION = ("\ndef ", "\nclass ", "\n#", "\nif ", "\nprint", "\nassert ", "\n```")

TASKS: dict[str, Task] = {
    "sentiment": Task(sentiment, rows.sentiment, ("text", "label"), CHOICE_METRICS,
                      "positive or negative"),
    "topic": Task(topic, rows.topic, ("text", "label"), CHOICE_METRICS, "what a text is about"),
    "qa": Task(qa, rows.qa, ("text", "question", "answers"), ("exact", "f1"),
               "questions about a passage", 32),
    "translate_en_zh": Task(functools.partial(translate, into="zh"), rows.translation, ("en", "zh"),
                            ("bleu", "chrf"), "English to Chinese", 64),
    "translate_zh_en": Task(functools.partial(translate, into="en"), rows.translation, ("en", "zh"),
                            ("bleu", "chrf"), "Chinese to English", 64),
    "summarisation": Task(summarise, rows.summarisation, ("text", "summary"),
                      ("rouge1", "rouge2", "rougeL"), "a sentence for a text", 64),
    "arithmetic": Task(arithmetic, rows.arithmetic, ("question", "answer"), ("exact",),
                       "sums, differences, products", 8),
    "code": Task(code, rows.code, ("prompt", "test", "entry_point"), ("compiles", "passes"),
                 "Python functions, run against checks in a sandbox", 160, AFTER_A_FUNCTION),
}  # fmt: skip
