"""Asks a model a task's questions and judges its answers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from model.evaluation.config import TaskConfig
from model.evaluation.figures import Estimate, EvaluatedExample, mean
from model.evaluation.tasks.choices import SHOWN, choose
from model.evaluation.tasks.metrics import CORPUS_METRICS, METRICS
from model.evaluation.tasks.questions import TaskQuestion, build_questions
from model.evaluation.tasks.table import TASKS, Task
from model.generation.completion import LoadedModel, complete
from model.generation.generate import SamplingConfig


def run(
    loaded: LoadedModel,
    config: TaskConfig,
    seed: int,
    batch_size: int,
    report: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> tuple[list[Estimate], list[EvaluatedExample]]:
    """Return a task's figures by language, and some of its questions with the answers."""
    task = TASKS[config.name]
    questions = build_questions(loaded, config, seed)
    name = f"task.{config.name}"
    if questions[0].item.choices:
        figures, examples = choose(loaded, questions, name, seed, batch_size)
    else:
        answers = []
        for number, question in enumerate(questions, 1):
            answers.append(_answer(loaded, task, question.prompt))
            report(config.name, number, len(questions))
        figures, examples = _judge(task, questions, answers, name, seed)
        empty = [not answer.strip() for answer in answers]
        figures.append(mean(f"{name}.empty", empty, seed, "share of questions left unanswered"))
    return figures + _conditions(questions, name, seed), examples


def _answer(loaded: LoadedModel, task: Task, prompt: str) -> str:
    tokens = min(task.new_tokens, loaded.network.config.context // 2)
    sampling = SamplingConfig(max_new_tokens=tokens, temperature=0, stop=task.stop)
    return complete(loaded, prompt, sampling).text


def _judge(
    task: Task, questions: list[TaskQuestion], answers: list[str], name: str, seed: int
) -> tuple[list[Estimate], list[EvaluatedExample]]:
    items = [question.item for question in questions]
    scores = {
        metric: np.array(
            [METRICS[metric](got, item) for got, item in zip(answers, items, strict=True)]
        )
        for metric in task.metrics
        if metric in METRICS
    }
    figures = []
    langs = np.array([item.lang for item in items])
    for lang in sorted(set(langs)):
        numbers = np.flatnonzero(langs == lang)
        for metric in task.metrics:
            if metric in METRICS:
                meaning = (METRICS[metric].__doc__ or "").split(".")[0]
                figure = mean(f"{name}.{metric}.{lang}", scores[metric][numbers], seed, meaning)
            else:
                written = [answers[n].strip() for n in numbers]
                wanted = [items[n].answers[0] for n in numbers]
                figure = _corpus_figure(f"{name}.{metric}.{lang}", written, wanted, seed)
            figures.append(figure)
    shown_scores = next(iter(scores.values()), None)
    examples = []
    for n, question in enumerate(questions[:SHOWN]):
        item, got = question.item, answers[n]
        score = METRICS["f1"](got, item) if shown_scores is None else float(shown_scores[n])
        examples.append(
            EvaluatedExample(name, item.lang, question.prompt, item.answers[0], got, score)
        )
    return figures, examples


def _corpus_figure(name: str, got: list[str], wanted: list[str], seed: int) -> Estimate:
    """Return a figure of all texts together; its name ends in the metric and the language."""
    metric, lang = name.split(".")[-2:]
    function = CORPUS_METRICS[metric]
    value, low, high = function(got, wanted, lang, seed)
    meaning = (function.__doc__ or "").split(".")[0]
    return Estimate(name, value, low, high, len(got), seed, meaning)


def _conditions(questions: list[TaskQuestion], name: str, seed: int) -> list[Estimate]:
    """Return what the questions were like: without it the other figures cannot be compared."""
    shots = mean(
        f"{name}.shots",
        [question.shots for question in questions],
        seed,
        "solved examples that fitted before a question, on average",
    )
    shortened = mean(
        f"{name}.shortened",
        [question.shortened for question in questions],
        seed,
        "share of questions whose text was cut to fit the context",
    )
    return [replace(shots, low=None, high=None), replace(shortened, low=None, high=None)]
