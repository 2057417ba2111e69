"""Examples: every record becomes turns or a quarantine row; the split follows the input."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import ConfigError, SourceError
from pipeline.examples import STAGE, ExamplesConfig, task_in
from pipeline.prompts.task_templates import TASKS, asked_turn, language_of, read_example
from pipeline.reading.record_file import read_records
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
# One record per task, and the prompt it becomes.
SAMPLES = {
    "chat": ({"messages": [{"role": "user", "content": "你好"},
                           {"role": "assistant", "content": "您好！"}]}, "你好"),
    "preference": ({"prompt": "你好", "chosen": "您好！", "rejected": "嗯"}, "你好"),
    "classification": ({"text": "Oil prices fell.", "label": "Business"},
                       "Text: Oil prices fell.\nCategory: "),
    "sentiment": ({"text": "这本书很好看", "label": "pos"}, "评论：这本书很好看\n情感："),
    "summarisation": ({"text": "It rained. It stopped.", "summary": "Rain."},
                      "It rained. It stopped.\nSummary: "),
    "translation": ({"en": "Hi.", "zh": "嗨。"}, "Hi.\n中文："),
    "qa": ({"text": "李白是诗人。", "question": "李白是谁？", "answers": ["诗人", "诗人"]},
           "李白是诗人。\n问题：李白是谁？\n答案："),
    "arithmetic": ({"question": "3 + 4", "answer": "7"}, "3 + 4 = "),
    "code": ({"prompt": "def one():\n", "canonical_solution": "    return 1\n"}, "def one():\n"),
}  # fmt: skip
BROKEN = {
    "no_turns": {"text": "no answer at all"},
    "bad_turn": {"messages": ["hello"]},
    "unknown_role": {"messages": [{"role": "tool", "content": "1"}]},
    "no_answer": {"messages": [{"role": "user", "content": "anyone?"}]},
    "not_a_string": {"prompt": "a", "response": 7},
    "part_not_text": {"messages": [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        {"role": "assistant", "content": "A cat."}]},
    "unread_field": {"messages": [{"role": "user", "content": "a"},
                                  {"role": "assistant", "content": "b"}], "tools": [{"name": "f"}]},
    "tool_call": {"messages": [{"role": "user", "content": "a"},
                               {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}]},
    "two_systems": {"system": "Be kind.", "messages": [{"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    "empty": {"prompt": "a", "response": " \u200b "},
    "turns_out_of_order": {"messages": [{"role": "assistant", "content": "first"},
                                        {"role": "user", "content": "then"},
                                        {"role": "assistant", "content": "last"}]},
}  # fmt: skip


def examples(folder: Path, rows: list, task: str = "chat", **config):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    sources = SourceSet.open([Source(path=str(folder / "rows.jsonl"))], folder)
    return run_stage(STAGE, ExamplesConfig(task, **config), [sources], folder / "made").artifact


@pytest.mark.parametrize("task", TASKS)
def test_every_task_reads_its_sample(task, tmp_path):
    record, prompt = SAMPLES[task]
    [row] = examples(tmp_path, [record], task=task).scan().collect().to_dicts()
    assert row["turns"][0]["text"] == prompt
    assert row["turns"][-1]["text"] == row["references"][0]
    if row["soft_begin"] is not None:
        assert prompt[row["soft_begin"] : row["soft_end"]] in record.values()


@pytest.mark.parametrize("reason", BROKEN)
def test_a_record_that_is_no_example_is_quarantined_with_its_reason(reason, tmp_path):
    good = SAMPLES["chat"][0]
    made = examples(tmp_path, [good, BROKEN[reason], "{not json"])
    assert made.rows == 1
    assert made.ledger.quarantined == {reason: 1, "bad_json": 1}
    rows = made.scan("quarantine").collect()
    assert rows.filter(reason=reason)["position"].to_list() == [1]


SAID = [{"role": "user", "content": "Q"}]
GOOD, BAD = ([{"role": "assistant", "content": text}] for text in ("good", "bad"))
PAIRS = [
    {"prompt": "Q", "chosen": "good", "rejected": "bad"},
    {"instruction": "Q", "input": "", "chosen": "good", "rejected": "bad", "output": "good"},
    {"messages": SAID, "chosen": "good", "rejected": "bad"},
    {"messages": [*SAID, *GOOD], "chosen": "good", "rejected": "bad"},
    {"conversations": [{"from": "human", "value": "Q"}],
     "chosen": {"from": "gpt", "value": "good"}, "rejected": {"from": "gpt", "value": "bad"}},
    {"prompt": SAID, "chosen": GOOD, "rejected": BAD},
    {"chosen": [*SAID, *GOOD], "rejected": [*SAID, *BAD]},
    {"prompt": "Q", "chosen": [*SAID, *GOOD], "rejected": [*SAID, *BAD]},
    {"question": "Q", "chosen_response": "good", "rejected_response": "bad"},
]  # fmt: skip
NO_PAIRS = {
    "same_answers": {"prompt": "Q", "chosen": "good", "rejected": " good "},
    "different_prompts": {"chosen": [*SAID, *GOOD],
                          "rejected": [{"role": "user", "content": "other"}, *BAD]},
    "no_prompt": {"chosen": "good", "rejected": "bad"},
    "no_field": {"prompt": "Q", "chosen": "good"},
    "not_a_string": {"prompt": "Q", "chosen": "good", "rejected": 7},
    "empty": {"prompt": "Q", "chosen": "good", "rejected": "  "},
    "no_answer": {"prompt": "Q", "chosen": "good", "rejected": SAID},
}  # fmt: skip


def test_forms_of_pairs_are_the_same_pair_and_their_task_is_told_by_their_fields(tmp_path):
    made = examples(tmp_path, PAIRS, task=None).scan().collect()
    assert len(made) == len(PAIRS)
    for row in made.to_dicts():
        assert spoken(row["turns"]) == [("user", "Q"), ("assistant", "good")]
        assert (row["task"], row["rejected"]) == ("preference", "bad")


@pytest.mark.parametrize("reason", NO_PAIRS)
def test_a_pair_that_cannot_be_used_is_quarantined_with_its_reason(reason, tmp_path):
    made = examples(tmp_path, [PAIRS[0], NO_PAIRS[reason]], task="preference")
    assert made.rows == 1
    assert made.ledger.quarantined == {reason: 1}


def test_an_answer_that_looks_like_a_list_is_text_and_chat_learns_the_chosen_one(tmp_path):
    record = {"prompt": "Q", "chosen": '["a", "b"]', "rejected": "bad"}
    [row] = examples(tmp_path, [record], task="chat").scan().collect().to_dicts()
    assert spoken(row["turns"])[-1] == ("assistant", '["a", "b"]')
    assert row["rejected"] is None


ONE_TURN = [
    {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]},
    {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
    {"messages": {"role": ["user", "assistant"], "content": ["Q", "A"]}},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Q"}]},
                  {"role": "assistant", "content": [{"type": "text", "text": "A"}]}]},
    {"messages": '[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]'},
    {"conversation": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]},
    {"instruction": "Q", "input": "", "output": "A", "history": [], "system": ""},
    {"instruction": "Q", "response": "A", "context": ""},
    {"prompt": "Q", "response": "A"}, {"prompt": "Q", "completion": "A"},
    {"query": "Q", "response": "A"}, {"question": "Q", "answer": "A"},
    {"input": "Q", "output": "A"},
    {"prompt": [{"role": "user", "content": "Q"}],
     "completion": [{"role": "assistant", "content": "A"}]},
]  # fmt: skip
EARLIER = [
    {"system": "S", "instruction": "Q", "output": "A", "history": [["q", "a"]]},
    {"system": "S", "query": "Q", "response": "A", "history": '[["q", "a"]]'},
    {"system_prompt": "S", "prompt": "Q", "completion": "A",
     "history": [{"prompt": "q", "response": "a"}]},
    {"system": "S", "question": "Q", "answer": "A",
     "history": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    {"system": "S", "conversations": [
        {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"},
        {"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
    {"messages": [{"role": "developer", "content": "S"}, {"role": "user", "content": "Q"},
                  {"role": "assistant", "content": "A"}], "history": [["q", "a"]]},
]  # fmt: skip


def spoken(turns: list) -> list[tuple[str, str]]:
    return [(turn["role"], turn["text"]) for turn in turns]


def test_forms_of_other_tools_are_the_same_conversation(tmp_path):
    turns = examples(tmp_path, ONE_TURN).scan().collect()["turns"].to_list()
    assert len(turns) == len(ONE_TURN)
    assert all(spoken(one) == [("user", "Q"), ("assistant", "A")] for one in turns)


def test_what_was_said_before_and_the_system_s_words_become_turns(tmp_path):
    made = examples(tmp_path / "a", EARLIER[:-1]).scan().collect()["turns"].to_list()
    whole = [("system", "S"), ("user", "q"), ("assistant", "a"), ("user", "Q"), ("assistant", "A")]
    assert [spoken(one) for one in made] == [whole] * (len(EARLIER) - 1)
    [last] = examples(tmp_path / "b", EARLIER[-1:]).scan().collect()["turns"].to_list()
    assert spoken(last) == whole


def test_a_question_beside_a_text_keeps_the_text(tmp_path):
    rows = [{"instruction": "Sum up.", "context": "It rained.", "response": "Rain."},
            {"question": "What fell?", "context": "It rained.", "answer": "Rain."}]  # fmt: skip
    turns = examples(tmp_path, rows).scan().collect()["turns"].to_list()
    assert [one[0]["text"] for one in turns] == [
        "Sum up.\n\nIt rained.",
        "What fell?\n\nIt rained.",
    ]


def test_a_task_that_reads_no_history_quarantines_it_by_name(tmp_path):
    rows = [{"text": "t", "label": "x", "history": [["a", "b"]]}, {"text": "t", "label": "x"}]
    made = examples(tmp_path, rows, task="classification")
    assert (made.rows, made.ledger.quarantined) == (1, {"unread_field": 1})


SAID = [
    "今天的天气很好，我们沿着河边慢慢地走回家。", "岸上的芦苇已经发白，风一吹就弯下腰去。",
    "远处有人在烧稻草，烟味飘得很远。", "他把信读了三遍，然后放在桌子上，什么也没有说。",
    "图书馆星期一不开门，别的日子都可以去借书。", "这条路通向山上的老房子，冬天很少有人走。",
]  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet", "csv.gz", "json"])
def test_tables_teach_the_same_as_json_lines(form, tmp_path):
    rows = [{"instruction": f"Say {i}, please", "output": said, "system": "",
             "history": [["q", "a"]] if i % 2 else None}
            for i, said in enumerate(SAID)]  # fmt: skip
    wanted = examples(tmp_path / "lines", rows).scan().collect()["turns"].to_list()
    cells = [{**r, "history": json.dumps(r["history"]) if r["history"] else None} for r in rows]
    path = tmp_path / f"rows.{form}"
    if form == "parquet":
        pl.DataFrame(rows).write_parquet(path)
    elif form == "json":
        path.write_text(json.dumps(rows))
    else:
        mark = "\t" if form == "tsv" else ","
        content = pl.DataFrame(cells).write_csv(separator=mark).encode("gb18030")
        path.write_bytes(gzip.compress(content) if form.endswith("gz") else content)
    sources = SourceSet.open([Source(path=str(path))], tmp_path)
    made = run_stage(STAGE, ExamplesConfig(), [sources], tmp_path / "made").artifact
    assert made.scan().collect()["turns"].to_list() == wanted
    assert made.ledger.quarantined == {}


@pytest.mark.parametrize("name", ["one.json", "one.jsonl"])
def test_one_record_is_no_frame_around_its_turns_and_a_frame_is_none(name, tmp_path):
    record = ONE_TURN[0]
    for content in (record, {"version": 1, "data": [record]}):
        (tmp_path / name).write_text(json.dumps(content))
        sources = SourceSet.open([Source(path=str(tmp_path / name))], tmp_path)
        folder = tmp_path / f"made-{len(json.dumps(content))}"
        made = run_stage(STAGE, ExamplesConfig(), [sources], folder).artifact
        [turns] = made.scan().collect()["turns"].to_list()
        assert spoken(turns) == [("user", "Q"), ("assistant", "A")]


def test_a_table_in_no_certain_encoding_is_set_aside_unless_it_is_stated(tmp_path):
    path, odd = tmp_path / "rows.csv", bytes([0x81, 0xFF, 0x8D, 0xFE, 0x8F, 0x90, 0x9D])
    path.write_bytes(b"question,answer\nA day?," + odd + b"\nOK?,yes\n")
    sources = SourceSet.open([Source(path=str(path))], tmp_path)
    made = run_stage(STAGE, ExamplesConfig(), [sources], tmp_path / "made").artifact
    assert (made.rows, made.ledger.quarantined) == (1, {"undecodable": 1})
    assert "--set examples.encoding=" in made.scan("quarantine").collect()["detail"][0]
    stated = ExamplesConfig(encoding="cp437")
    told = run_stage(STAGE, stated, [sources], tmp_path / "told").artifact
    assert told.scan().collect()["turns"][0][1]["text"] == odd.decode("cp437")
    with pytest.raises(ConfigError, match=r"examples\.encoding"):
        ExamplesConfig(encoding="klingon")
    with pytest.raises(ConfigError, match="convert the file to UTF-8"):
        list(read_records(path, 1 << 20))


def test_answers_of_tables_are_lists(tmp_path):
    rows = [{"context": "c", "question": "q", "answers": '["a", "b"]'},
            {"context": "c", "question": "q", "answers": {"text": ["a", "b"]}}]  # fmt: skip
    made = examples(tmp_path, rows, task="qa").scan().collect()
    assert made["references"].to_list() == [["a", "b"]] * 2


def test_one_input_never_stands_in_both_splits(tmp_path):
    rows = [{"en": f"Sentence {i // 3}.", "zh": f"句子{i}。"} for i in range(300)]
    made = examples(tmp_path, rows, task="translation", validation_share=0.3).scan().collect()
    asked = made.select("split", asked=pl.col("turns").list.first().struct.field("text"))
    assert asked.group_by("asked").agg(pl.col("split").n_unique())["split"].max() == 1
    assert 0.15 < (made["split"] == "validation").mean() < 0.45


def test_class_numbers_and_own_field_names_are_read(tmp_path):
    rows = [{"review": "Nice.", "stars": 5}]
    config = {"task": "sentiment", "input_field": "review", "output_field": "stars"}
    [row] = examples(tmp_path, rows, **config).scan().collect().to_dicts()
    assert row["references"] == ["5"]


@pytest.mark.parametrize(
    ("fields", "task"),
    [({"messages": []}, "chat"), ({"prompt": "p", "response": "r"}, "chat"),
     ({"text": "t", "label": "pos"}, "sentiment"),
     ({"text": "t", "label": "Sports"}, "classification"),
     ({"en": "a", "zh": "甲"}, "translation"), ({"text": "t", "summary": "s"}, "summarisation"),
     ({"text": "t", "question": "q", "answers": ["a"]}, "qa"),
     ({"context": "t", "question": "q", "answer": "a"}, "qa"),
     ({"question": "q", "answer": "a"}, "chat"), ({"prompt": "p", "completion": "c"}, "chat"),
     ({"prompt": "p", "canonical_solution": "c"}, "code")],
)  # fmt: skip
def test_a_task_is_known_by_its_fields(fields, task, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(fields))
    sources = SourceSet.open([Source(path=str(tmp_path / "rows.jsonl"))], tmp_path)
    assert task_in(sources) == task


def test_a_file_without_a_task_says_what_is_wanted(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "plain"}))
    sources = SourceSet.open([Source(path=str(tmp_path / "rows.jsonl"))], tmp_path)
    with pytest.raises(SourceError, match="text with label"):
        run_stage(STAGE, ExamplesConfig(), [sources], tmp_path / "made")


def test_settings_that_cannot_be_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"examples\.task"):
        ExamplesConfig(task="sentimental")
    with pytest.raises(ConfigError, match=r"examples\.input_field"):
        ExamplesConfig(task="chat", input_field="text")


def test_the_words_of_a_template_follow_the_language():
    assert language_of("用 Python 写一个函数") == "zh"
    assert language_of("The word 中 is Chinese for middle, as everyone knows.") == "en"
    assert language_of("") == "en"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared texts are not here")
@pytest.mark.parametrize(
    ("name", "task"),
    [("chat_kdconv_zh", "chat"), ("sft_llamafactory", "chat"), ("qa_cmrc2018_zh", "qa"),
     ("sum_dialogsum_en", "summarisation"), ("sent_vader_tweets_en", "sentiment")],
)  # fmt: skip
def test_real_sets_are_read_to_the_last_record(name, task, tmp_path):
    file = SHARED / f"{name}.jsonl.gz"
    sources = SourceSet.open([Source(path=str(file))], tmp_path)
    made = run_stage(STAGE, ExamplesConfig(task=task), [sources], tmp_path / "made").artifact
    with gzip.open(file) as lines:
        assert made.ledger.seen == sum(1 for _ in lines)
    assert made.ledger.kept >= 0.99 * made.ledger.seen


@pytest.mark.parametrize("task", SAMPLES)
def test_what_is_asked_later_is_worded_as_what_was_taught(task):
    fields, _ = SAMPLES[task]
    example = read_example(fields, task, (None, None))

    question = fields["question"] if task == "qa" else None
    assert asked_turn(task, example.about, question) == example.turns[0]


@pytest.mark.parametrize(
    ("task", "question", "wanted"),
    [("qa", None, "--question"), ("chat", "who?", "only qa"), ("translate", None, "translation")],
)
def test_what_cannot_be_asked_is_refused(task, question, wanted):
    with pytest.raises(ConfigError, match=wanted):
        asked_turn(task, "text", question)
