"""The same questions as task files for EleutherAI's lm-eval, for figures others can repeat.

One folder holds a YAML file and a JSON-lines file per task; fields of the rows are named rather
than rendered, so that braces in a text are text. Code is left out: lm-eval would run it unguarded.
lm-eval reads a space that ends a prompt together with each choice, where we encode the two apart,
as they are taught: of choices in English its likelihoods are those of other tokens.
"""

import json
from pathlib import Path
from typing import Any

from model.evaluation.tasks.questions import TaskQuestion
from model.evaluation.tasks.table import TASKS
from pipeline.errors import ConfigError
from pipeline.store import storage

# our metric -> lm-eval's metrics of the same kind
METRICS: dict[str, list[dict[str, Any]]] = {
    "accuracy": [{"metric": "acc"}, {"metric": "acc_norm"}],
    "exact": [{"metric": "exact_match", "ignore_case": True, "ignore_punctuation": True}],
    "bleu": [{"metric": "bleu"}],
    "chrf": [{"metric": "chrf"}],
}
PREFIX = "textmill_"


def write(folder: Path, name: str, questions: list[TaskQuestion]) -> str:
    """Write a task's files and return its name for lm-eval; raise ConfigError for `code`."""
    task = TASKS[name]
    if any(question.item.check for question in questions):
        raise ConfigError(f"task {name}: lm-eval would run what the model wrote; leave it out")
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{PREFIX}{name}.jsonl"
    lines = [json.dumps(_row(question), ensure_ascii=False) + "\n" for question in questions]
    storage.write_bytes(data, "".join(lines).encode())
    fields: dict[str, Any] = {
        "task": PREFIX + name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data.resolve())}},
        "test_split": "test",
        "doc_to_text": "prompt",
        "target_delimiter": "",
        "metadata": {"version": 1},
    }
    if questions[0].item.choices:
        fields |= {
            "output_type": "multiple_choice",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
        }
    else:
        settings = {"until": list(task.stop), "do_sample": False, "max_gen_toks": task.new_tokens}
        fields |= {
            "output_type": "generate_until",
            "doc_to_target": "answer",
            "generation_kwargs": settings,
        }
    known = [metric for metric in task.metrics if metric in METRICS]
    fields["metric_list"] = [entry for metric in known for entry in METRICS[metric]] or (
        METRICS["exact"]
    )
    # JSON is YAML, and quotes every text as it has to be
    yaml = "".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items()
    )
    storage.write_bytes(folder / f"{PREFIX}{name}.yaml", yaml.encode())
    return PREFIX + name


def _row(question: TaskQuestion) -> dict[str, Any]:
    item = question.item
    row: dict[str, Any] = {"prompt": question.prompt, "answer": item.answers[0]}
    if item.choices:
        row |= {"choices": list(item.choices), "gold": item.gold}
    return row
