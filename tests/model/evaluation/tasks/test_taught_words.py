"""A task is asked in the words in which it is taught: prompts, answers, tokens, a whole run."""

import json
from pathlib import Path

import pytest
import torch

from flows import cli
from model.data.chat import encode_turns
from model.evaluation.config import TaskConfig
from model.evaluation.tasks.questions import TaskQuestion, build_questions, read_rows
from model.evaluation.tasks.table import TASKS
from model.formats import model_folder
from model.generation.completion import LoadedModel, load_model, prompt_ids
from model.network.architecture import ModelConfig
from model.network.families import GPT
from pipeline.examples import STAGE, ExamplesConfig
from pipeline.inputs import InputFile
from pipeline.prompts.turns import Turn
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards

FIELDS = {"translate_zh_en": {"input_field": "zh", "output_field": "en"}}
LANGUAGES = {  # of the answers
    "sentiment": {"zh", "en"},
    "topic": {"zh", "en"},
    "qa": {"zh", "en"},
    "translate_en_zh": {"zh"},
    "translate_zh_en": {"en"},
    "summarisation": {"zh", "en"},
    "arithmetic": {"und"},
    "code": {"python"},
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    tokenizer = load_tokenizer(make_shards(tmp_path_factory.mktemp("shards")).path)
    torch.manual_seed(2)
    config = ModelConfig(layers=1, width=32, heads=2, kv_heads=2, hidden=48, context=512)
    return LoadedModel(GPT(config, tokenizer.vocab_size).eval(), tokenizer)


def rows_file(folder: Path, name: str) -> Path:
    """Write the rows that come with a task, the file that is both taught and asked."""
    path = folder / f"{name}.jsonl"
    rows = read_rows(TaskConfig(name), seed=0)[:40]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def taught(folder: Path, name: str, file: Path) -> dict[str, tuple[str, str]]:
    """Return what `examples` teaches of a file: the answer's text by prompt."""
    sources = SourceSet.open([Source(path=str(file))], folder)
    config = ExamplesConfig(TASKS[name].template, **FIELDS.get(name, {}))
    made = run_stage(STAGE, config, [sources], folder / "made").artifact
    turns = made.scan().collect()["turns"].to_list()
    return {prompt["text"]: answer["text"] for prompt, answer in turns}


def asked(loaded: LoadedModel, name: str, file: Path) -> list[TaskQuestion]:
    return build_questions(loaded, TaskConfig(name, data=InputFile(str(file))), seed=0)


@pytest.mark.parametrize("name", TASKS)
def test_every_prompt_and_answer_that_is_asked_is_one_that_is_taught(name, loaded, tmp_path):
    file = rows_file(tmp_path, name)
    answers = taught(tmp_path, name, file)
    questions = asked(loaded, name, file)
    assert {question.item.lang for question in questions} == LANGUAGES[name]
    assert len(answers) == len(questions)
    for question in questions:
        assert question.prompt in answers
        assert question.item.answers[0] == answers[question.prompt]
        assert not question.item.choices or answers[question.prompt] in question.item.choices


@pytest.mark.parametrize("name", TASKS)
def test_the_tokens_before_an_answer_are_those_that_were_taught(name, loaded, tmp_path):
    for question in asked(loaded, name, rows_file(tmp_path, name)):
        prompt, answer = question.prompt, question.item.answers[0]
        lesson = encode_turns([Turn("prompt", prompt), Turn("response", answer)], loaded.tokenizer)
        ids = [*prompt_ids(loaded, prompt), *loaded.tokenizer.encode(answer)]
        assert ids == lesson.ids[:-1].tolist()  # all but the end


@pytest.mark.parametrize(
    ("name", "metric", "epochs"), [("sentiment", "accuracy", 50), ("qa", "exact", 150)]
)
def test_a_model_taught_a_task_is_asked_in_those_words(name, metric, epochs, tmp_path, capsys):
    shards = make_shards(tmp_path / "shards")
    tokenizer = load_tokenizer(shards.path)
    torch.manual_seed(2)
    config = ModelConfig(layers=2, width=64, heads=2, kv_heads=2, hidden=128, context=192)
    base, out = tmp_path / "base", tmp_path / "tuned"
    base.mkdir()
    network = GPT(config, tokenizer.vocab_size)
    model_folder.write(network, shards.path / "tokenizer.model", lambda file: base / file)
    file = rows_file(tmp_path, name)
    settings = [f"epochs={epochs}", "batch_size=4", "precision=fp32", "learning_rate=0.003"]
    flags = [part for setting in settings for part in ("--set", f"finetune.{setting}")]
    arguments = ["finetune", str(base), str(file), "--task", name, "--out", str(out), *flags]
    none_held_out = ["--set", "examples.validation_share=0"]
    assert cli.main([*arguments, *none_held_out, "--workers", "1"]) == 0
    capsys.readouterr()
    data = ["--data", f"{name}={file}", "--set", "evaluate.bias=false", "--json"]
    assert cli.main(["evaluate", str(out), "--tasks", name, *data]) == 0
    figures = {row["name"]: row["value"] for row in json.loads(capsys.readouterr().out)["figures"]}
    for lang in ("zh", "en"):
        assert figures[f"task.{name}.{metric}.{lang}"] == 1  # all rows were taught
    assert load_model(out).network.config == config
