"""The questions of a task: which rows are asked, with which solved examples before them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluation.config import TaskConfig
from model.evaluation.tasks.item import Item
from model.evaluation.tasks.row_file import read_file
from model.evaluation.tasks.table import TASKS, Row, Task
from model.generation.completion import LoadedModel
from pipeline.errors import ConfigError
from pipeline.schema import UNKNOWN_LANGUAGE

CUTS = 12  # times that a text is shortened to fit before the prompt's beginning is left out


@dataclass(frozen=True)
class TaskQuestion:
    """An item ready to be asked: the whole prompt, and how many shots fitted into it."""

    item: Item
    prompt: str
    shots: int
    shortened: bool


def build_questions(loaded: LoadedModel, config: TaskConfig, seed: int) -> list[TaskQuestion]:
    """Choose rows and build their prompts; the seed decides both."""
    task = TASKS[config.name]
    rows = read_rows(config, seed)
    labels = sorted({row["label"] for row in rows}) if "label" in task.fields else []
    generator = np.random.Generator(np.random.PCG64(seed))
    order = generator.permutation(len(rows))[: config.examples]
    numbers_by_language: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        numbers_by_language.setdefault(row["lang"], []).append(number)
    questions = []
    for number in order:
        row = rows[number]
        others = [other for other in numbers_by_language[row["lang"]] if other != number]
        if len(others) < config.shots:
            raise ConfigError(
                f"task {config.name}: {len(others)} other rows in {row['lang']!r}, too few for "
                f"{config.shots} shots; lower shots or give more data"
            )
        picked = generator.permutation(others)[: config.shots].astype(int)
        shots = [task.item(rows[other], labels) for other in picked]
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
) -> TaskQuestion:
    """Leave out shots from the first on, then the end of the text, until the answer has room."""
    context = loaded.network.config.context
    item = task.item(row, labels)
    longest = max(_length(loaded, text) for text in item.choices or item.answers)
    room = context - min(max(task.new_tokens, longest), context // 2)
    before = [shot.solved for shot in shots]
    while before and _length(loaded, "".join(before) + item.prompt) > room:
        del before[0]
    shortened = False
    for _ in range(CUTS):
        length = _length(loaded, item.prompt)
        if before or length <= room or "text" not in row:
            break
        kept = int(len(row["text"]) * 0.9 * room / length)
        item, shortened = task.item({**row, "text": row["text"][:kept]}, labels), True
    return TaskQuestion(item, "".join(before) + item.prompt, len(before), shortened)


def _length(loaded: LoadedModel, text: str) -> int:
    return len(loaded.tokenizer.encode(text)) + 1
