"""Asks a model a task's questions: chooses rows, builds prompts with shots, scores, counts."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.evaluation.figures import Example, Figure, mean
from model.evaluation.intervals import interval
from model.evaluation.scoring import token_scores
from model.evaluation.tasks.item import Item
from model.evaluation.tasks.metrics import CORPUS_METRICS, METRICS
from model.evaluation.tasks.row_file import read_file
from model.evaluation.tasks.table import TASKS, Row, Task
from model.generation.completion import LoadedModel, complete
from model.generation.generate import SamplingConfig
from model.network.batch import pad
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile
from pipeline.schema import UNKNOWN_LANGUAGE

SHOWN = 20  # examples of a task kept for reading
CUTS = 12  # times that a text is shortened to fit before the prompt's beginning is left out


@dataclass(frozen=True)
class TaskConfig:
    """A task, how many solved examples stand before each question, and on how many rows."""

    name: str
    shots: int = 0
    examples: int = 100
    data: InputFile | None = None  # JSON or a table; none: the rows that come with textmill

    def __post_init__(self) -> None:
        if self.name not in TASKS:
            near = difflib.get_close_matches(self.name, TASKS, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"task {self.name!r} is not known; {hint}known: {', '.join(TASKS)}")
        if self.shots < 0 or self.examples < 1:
            raise ConfigError(
                f"task {self.name}: shots {self.shots}, examples {self.examples}; wanted at least "
                f"0 shots and 1 example"
            )


@dataclass(frozen=True)
class Question:
    """An item ready to be asked: the whole prompt, and how many shots fitted into it."""

    item: Item
    prompt: str
    shots: int
    shortened: bool


def run(
    loaded: LoadedModel, config: TaskConfig, seed: int, batch_size: int,
    report: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> tuple[list[Figure], list[Example]]:  # fmt: skip
    """Return a task's figures by language, and some of its questions with the answers."""
    task = TASKS[config.name]
    questions = ask_for(loaded, config, seed)
    name = f"task.{config.name}"
    if questions[0].item.choices:
        figures, examples = _choose(loaded, questions, name, seed, batch_size)
    else:
        answers = []
        for number, question in enumerate(questions, 1):
            answers.append(_write(loaded, task, question.prompt))
            report(config.name, number, len(questions))
        figures, examples = _judge(task, questions, answers, name, seed)
        empty = [not answer.strip() for answer in answers]
        figures.append(mean(f"{name}.empty", empty, seed, "share of questions left unanswered"))
    return figures + _conditions(questions, name, seed), examples


def ask_for(loaded: LoadedModel, config: TaskConfig, seed: int) -> list[Question]:
    """Choose rows and build their prompts; the seed decides both."""
    task = TASKS[config.name]
    rows = read_rows(config, seed)
    labels = sorted({row["label"] for row in rows}) if "label" in task.fields else []
    generator = np.random.Generator(np.random.PCG64(seed))
    order = generator.permutation(len(rows))
    chosen = [rows[number] for number in order[: config.examples]]
    pools: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        pools.setdefault(row["lang"], []).append(number)
    questions = []
    for number, row in zip(order, chosen, strict=False):
        others = [one for one in pools[row["lang"]] if one != number]
        if len(others) < config.shots:
            raise ConfigError(
                f"task {config.name}: {len(others)} other rows in {row['lang']!r}, too few for "
                f"{config.shots} shots; lower shots or give more data"
            )
        picked = generator.permutation(others)[: config.shots].astype(int)
        shots = [task.item(rows[one], labels) for one in picked]
        if not all(shot.answers[0] for shot in shots):
            raise ConfigError(
                f"task {config.name}: a row without an answer cannot be a solved example; give "
                f"canonical_solution in the data, or 0 shots"
            )
        questions.append(_fitted(loaded, task, row, labels, shots))
    return questions


def read_rows(config: TaskConfig, seed: int) -> list[Row]:
    """Return a task's rows with `lang` 'zh', 'en' or 'und'; raise ConfigError naming what lacks."""
    task = TASKS[config.name]
    if config.data is None:
        return [{"lang": UNKNOWN_LANGUAGE, **row} for row in task.rows(seed)]
    return read_file(config.data.existing(), config.name)


def _fitted(
    loaded: LoadedModel, task: Task, row: Row, labels: Sequence[str], shots: list[Item]
) -> Question:
    """Leave out shots from the first on, then the end of the text, until the answer has room."""
    context = loaded.network.config.context
    item = task.item(row, labels)
    longest = max(_length(loaded, item.gap + one) for one in item.choices or item.answers)
    room = context - min(max(task.new_tokens, longest), context // 2)
    before = [shot.shown for shot in shots]
    while before and _length(loaded, "".join(before) + item.prompt) > room:
        del before[0]
    shortened = False
    for _ in range(CUTS):
        length = _length(loaded, item.prompt)
        if before or length <= room or "text" not in row:
            break
        kept = int(len(row["text"]) * 0.9 * room / length)
        item, shortened = task.item({**row, "text": row["text"][:kept]}, labels), True
    return Question(item, "".join(before) + item.prompt, len(before), shortened)


def _length(loaded: LoadedModel, text: str) -> int:
    return len(loaded.tokenizer.encode(text)) + 1


def _choose(
    loaded: LoadedModel, questions: list[Question], name: str, seed: int, batch_size: int
) -> tuple[list[Figure], list[Example]]:
    pairs = [(q.prompt, q.item.gap + choice) for q in questions for choice in q.item.choices]
    nats = iter(continuation_nats(loaded, pairs, batch_size))
    asked = [(q, np.array([next(nats) for _ in q.item.choices])) for q in questions]
    figures, examples = [], []
    for lang in sorted({q.item.lang for q in questions}):
        here = [(q.item, nats_C) for q, nats_C in asked if q.item.lang == lang]
        figures += _choice_figures(name, lang, here, seed)
    for question, nats_C in asked[:SHOWN]:
        item = question.item
        got = item.choices[int(nats_C.argmin())]
        score = float(got == item.answers[0])
        examples.append(Example(name, item.lang, question.prompt, item.answers[0], got, score))
    return figures, examples


def _choice_figures(
    name: str, lang: str, asked: list[tuple[Item, np.ndarray]], seed: int
) -> list[Figure]:
    gold_N = np.array([item.gold for item, _ in asked])
    chosen_N = np.array([int(nats_C.argmin()) for _, nats_C in asked])
    sizes = [np.array([len(choice.encode()) for choice in item.choices]) for item, _ in asked]
    per_byte_N = np.array(
        [int((nats_C / size).argmin()) for (_, nats_C), size in zip(asked, sizes, strict=True)]
    )
    majority = np.bincount(gold_N).argmax()
    return [
        mean(f"{name}.accuracy.{lang}", chosen_N == gold_N, seed,
             "share of questions whose right answer is the likeliest"),
        mean(f"{name}.accuracy_per_byte.{lang}", per_byte_N == gold_N, seed,
             "the same with likelihoods divided by the answers' bytes"),
        _macro_f1(f"{name}.macro_f1.{lang}", chosen_N, gold_N, seed),
        mean(f"{name}.majority.{lang}", gold_N == majority, seed,
             "share of the most common answer: what guessing it always would score"),
    ]  # fmt: skip


def _macro_f1(name: str, chosen_N: np.ndarray, gold_N: np.ndarray, seed: int) -> Figure:
    """Return the mean F1 over the answers that occur."""
    kinds_C = np.unique(gold_N)
    mine_NC, right_NC = chosen_N[:, None] == kinds_C, gold_N[:, None] == kinds_C
    parts_NC2 = np.stack((mine_NC & right_NC, mine_NC.astype(int) + right_NC), axis=2)

    def figure(sums_RC2: np.ndarray) -> np.ndarray:
        return (2 * sums_RC2[..., 0] / np.maximum(sums_RC2[..., 1], 1)).mean(1)

    value = float(figure(parts_NC2.sum(0, keepdims=True).astype(float))[0])
    low, high = interval(parts_NC2, figure, seed) or (None, None)
    return Figure(name, value, low, high, len(gold_N), seed, "mean F1 over the possible answers")


def continuation_nats(
    loaded: LoadedModel, pairs: Sequence[tuple[str, str]], batch_size: int
) -> list[float]:
    """Return the nats of each (prompt, continuation)'s second text after the first.

    Both are encoded as one text, and the tokens beyond the prompt's own count count. Where the two
    exceed the context, the prompt's beginning is left out.
    """
    context, tokenizer = loaded.network.config.context, loaded.tokenizer
    rows: list[tuple[int, np.ndarray, int]] = []
    for number, (prompt, continuation) in enumerate(pairs):
        whole = [tokenizer.bos_id, *tokenizer.encode(prompt + continuation)]
        scored = max(1, len(whole) - 1 - len(tokenizer.encode(prompt)))
        rows.append((number, np.array(whole[-context - 1 :], np.int64), scored))
    rows.sort(key=lambda row: len(row[1]))
    found = [0.0] * len(rows)
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        nats_BT, _, _ = token_scores(loaded.network, pad([ids for _, ids, _ in batch]))
        for row, (number, ids, scored) in enumerate(batch):
            found[number] = float(nats_BT[row, : len(ids) - 1][-scored:].sum())
    return found


def _write(loaded: LoadedModel, task: Task, prompt: str) -> str:
    tokens = min(task.new_tokens, loaded.network.config.context // 2)
    sampling = SamplingConfig(max_new_tokens=tokens, temperature=0, stop=task.stop)
    return complete(loaded, prompt, sampling).text


def _judge(
    task: Task, questions: list[Question], answers: list[str], name: str, seed: int
) -> tuple[list[Figure], list[Example]]:
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
        here = np.flatnonzero(langs == lang)
        for metric in task.metrics:
            if metric in METRICS:
                meaning = (METRICS[metric].__doc__ or "").split(".")[0]
                figure = mean(f"{name}.{metric}.{lang}", scores[metric][here], seed, meaning)
            else:
                figure = _corpus(name, metric, lang, [answers[n] for n in here],
                                 [items[n].answers[0] for n in here], seed)  # fmt: skip
            figures.append(figure)
    shown = next(iter(scores.values()), None)
    examples = [
        Example(name, item.lang, question.prompt, item.answers[0], got,
                METRICS["f1"](got, item) if shown is None else float(shown[number]))
        for number, (question, item, got) in enumerate(
            zip(questions[:SHOWN], items[:SHOWN], answers[:SHOWN], strict=True))
    ]  # fmt: skip
    return figures, examples


def _corpus(
    name: str, metric: str, lang: str, got: list[str], wanted: list[str], seed: int
) -> Figure:
    function = CORPUS_METRICS[metric]
    value, low, high = function([one.strip() for one in got], wanted, lang, seed)
    meaning = (function.__doc__ or "").split(".")[0]
    return Figure(f"{name}.{metric}.{lang}", value, low, high, len(got), seed, meaning)


def _conditions(questions: list[Question], name: str, seed: int) -> list[Figure]:
    """Return what the questions were like: without it the other figures cannot be compared."""
    shots = mean(f"{name}.shots", [q.shots for q in questions], seed,
                 "solved examples that fitted before a question, on average")  # fmt: skip
    cut = mean(f"{name}.shortened", [q.shortened for q in questions], seed,
               "share of questions whose text was cut to fit the context")  # fmt: skip
    return [replace(shots, low=None, high=None), replace(cut, low=None, high=None)]
