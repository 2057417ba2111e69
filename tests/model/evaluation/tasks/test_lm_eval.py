"""lm-eval, from an exported folder and without a network, answers our questions as we do."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from flows import cli
from model.evaluation.config import TaskConfig
from model.evaluation.figures import Estimate
from model.evaluation.tasks.ask import run
from model.evaluation.tasks.lm_eval import write
from model.evaluation.tasks.questions import TaskQuestion, build_questions
from model.formats import model_folder
from model.generation.completion import LoadedModel, load_model
from pipeline.errors import ConfigError

ASK = """
import json, sys
import lm_eval
from lm_eval.tasks import TaskManager
tasks = TaskManager(include_path=sys.argv[2], include_defaults=False)
found = lm_eval.simple_evaluate(
    model="hf", tasks=sys.argv[3].split(","), task_manager=tasks, bootstrap_iters=0,
    model_args=f"pretrained={sys.argv[1]},dtype=float32,add_bos_token=True",
    batch_size=8, device="cpu", log_samples=False,
)
print(json.dumps({name: row for name, row in found["results"].items()}, default=str))
"""


def value(figures: list[Estimate], name: str) -> float:
    return next(figure.value for figure in figures if figure.name == name)


def test_questions_become_files_with_fields_by_name(tiny_model, tmp_path):
    loaded = load_model(tiny_model)
    asked = build_questions(loaded, TaskConfig("topic", shots=0, examples=6), 0)
    assert write(tmp_path, "topic", asked) == "textmill_topic"
    rows = [json.loads(line) for line in (tmp_path / "textmill_topic.jsonl").open()]
    assert [row["prompt"] for row in rows] == [question.prompt for question in asked]
    assert all(row["choices"][row["gold"]].strip() == row["answer"] for row in rows)
    text = (tmp_path / "textmill_topic.yaml").read_text("utf-8")
    assert 'output_type: "multiple_choice"' in text
    with pytest.raises(ConfigError, match="leave it out"):
        write(tmp_path, "code", build_questions(loaded, TaskConfig("code", examples=2), 0))


def test_the_command_writes_them(tiny_model, tmp_path, capsys):
    arguments = ["evaluate", str(tiny_model), "--tasks", "sentiment,arithmetic"]
    assert cli.main([*arguments, "--examples", "3", "--lm-eval", str(tmp_path / "t")]) == 0
    assert "lm_eval run" in capsys.readouterr().out
    assert len(list((tmp_path / "t").iterdir())) == 4


def share_right(loaded: LoadedModel, questions: list[TaskQuestion]) -> float:
    """Return the share of right choices where, as in lm-eval, a space goes with the choice."""
    encode, right = loaded.tokenizer.encode, []
    for question in questions:
        prompt = question.prompt.rstrip()
        likelihoods = []
        for choice in question.item.choices:
            whole = [loaded.tokenizer.bos_id, *encode(question.prompt + choice)]
            scored = len(whole) - 1 - len(encode(prompt))
            ids_T = torch.tensor(whole[-loaded.network.config.context - 1 :])
            with torch.no_grad():
                logs_TV = loaded.network(ids_T[None, :-1])[0].log_softmax(-1)
            own_T = logs_TV.gather(-1, ids_T[1:, None])[:, 0]
            likelihoods.append(own_T[-scored:].sum().item())
        right.append(int(np.argmax(likelihoods)) == question.item.gold)
    return float(np.mean(right))


@pytest.mark.slow
def test_it_finds_the_same_accuracy(tiny_model, tmp_path):
    assert (tiny_model / model_folder.CONFIG).is_file()  # the model folder is an exported one
    loaded = load_model(tiny_model)
    names, questions = [], {}
    for task in ("sentiment", "topic", "arithmetic"):
        questions[task] = build_questions(loaded, TaskConfig(task, examples=24), 0)
        names.append(write(tmp_path, task, questions[task]))
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(tiny_model), str(tmp_path), ",".join(names)],
        env={**os.environ, **offline}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for task in ("sentiment", "topic"):
        ours = share_right(loaded, questions[task])
        assert found[f"textmill_{task}"]["acc,none"] == pytest.approx(ours, abs=1e-6)
    figures, _ = run(loaded, TaskConfig("arithmetic", examples=24), 0, 8)
    exact = value(figures, "task.arithmetic.exact.und")
    assert found["textmill_arithmetic"]["exact_match,none"] == pytest.approx(exact)
