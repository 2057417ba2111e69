"""JSON in every structure that people write, under either name, and the odd values in it."""

import json

import pytest

from pipeline import ingest
from pipeline.reading import streams
from pipeline.reading.json_stream import is_lines
from pipeline.reading.json_values import parse
from pipeline.reading.records import Record, UnreadableRecord
from tests.pipeline.ingesting import TEXTS, documents, ingested, quarantine
from tests.pipeline.reading.test_readers import entries, reasons, texts, write

ROWS = [{"id": f"d{i}", "text": text, "about": {"n": [i]}} for i, text in enumerate(TEXTS)]
ASCII = [json.dumps(row) for row in ROWS]
FORMS = {
    "lines": "\n".join(ASCII),
    "one array in one line": json.dumps(ROWS),
    "one array, indented": json.dumps(ROWS, indent=2, ensure_ascii=False),
    "an array of an object per line": "[\n" + ",\n".join(ASCII) + "\n]\n",
    "two arrays in a row": json.dumps(ROWS[:9]) + "\n" + json.dumps(ROWS[9:]),
    "objects in a row": "".join(ASCII),
    "indented objects in a row": "\n".join(json.dumps(row, indent=4) for row in ROWS),
    "an object around an array": json.dumps({"RECORDS": ROWS}),
    "the same with more": json.dumps({"version": "1.0", "n": 2, "data": ROWS, "z": 1}, indent=1),
    "with a byte order mark": "\ufeff" + json.dumps(ROWS),
}


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_records(tmp_path, form, suffix):
    found = entries(write(tmp_path / f"a{suffix}", FORMS[form].encode()))
    assert [entry.fields for entry in found] == ROWS


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_read_in_pieces_of_any_size(tmp_path, form, monkeypatch):
    monkeypatch.setattr(streams, "CHUNK_BYTES", 7)
    monkeypatch.setattr(streams, "HEAD_BYTES", 2500)
    path = write(tmp_path / "a.json", FORMS[form].encode())
    assert [entry.fields for entry in entries(path, record_bytes_max=8000)] == ROWS


@pytest.mark.parametrize("form", ["one array, indented", "the same with more"])
def test_what_is_no_lines_is_not_read_in_ranges(tmp_path, form, monkeypatch):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.jsonl", FORMS[form].encode())
    monkeypatch.setattr(ingest, "TASK_BYTES", 500)
    assert documents(ingested(tmp_path / "in", tmp_path / "out"))["text"].to_list() == TEXTS


def test_one_record_with_a_list_of_objects_is_that_record(tmp_path):
    row = {"tags": [{"a": 1}], "text": TEXTS[0]}
    for content in (json.dumps(row), json.dumps(row, indent=1)):
        (found,) = entries(write(tmp_path / "a.json", content.encode()))
        assert found.fields == row


def test_an_object_without_its_end_costs_no_other(tmp_path):
    objects = [json.dumps(row, indent=1) for row in ROWS[:6]]
    objects[2] = objects[2][:-2]
    objects[4] = objects[4].replace('"id"', '"id')
    found = entries(write(tmp_path / "a.json", "\n".join(objects).encode()))
    assert [type(entry) for entry in found] == [
        Record,
        Record,
        UnreadableRecord,
        Record,
        UnreadableRecord,
        Record,
    ]
    assert reasons(found) == ["bad_json"] * 2


def test_an_item_that_is_no_object_and_a_too_long_one_are_set_aside(tmp_path):
    content = json.dumps([ROWS[0], "text", 5, {"text": "x" * 9000}, ROWS[1], [1]])
    found = entries(write(tmp_path / "a.json", content.encode()), record_bytes_max=3000)
    assert texts(found) == TEXTS[:2]
    assert sorted(reasons(found)) == ["bad_json", "not_an_object", "record_too_large"]


def test_broken_first_lines_make_no_other_form_of_lines():
    good = ASCII[0].encode()
    for broken in (b'{"text": "no end', b"{broken", b"[1, 2", b'{"text": {'):
        assert is_lines(broken + b"\n" + good + b"\n" + good, whole=True) or broken[:1] == b"["


ODD = {
    "NaN": ('{"text": "t", "n": NaN, "m": [Infinity, -Infinity]}', {"m": [None, None]}),
    "beyond 64 bits": (
        '{"text": "t", "n": 1234567890123456789012}',
        {"n": "1234567890123456789012"},
    ),
    "6,000 digits": ('{"text": "t", "n": ' + "9" * 6000 + "}", {"n": "9" * 6000}),
    "half a character": ('{"text": "t", "n": "a\\ud83d"}', {"n": "a?"}),
    "infinite as a float": ('{"text": "t", "n": 1e999}', {"n": None}),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_value_that_nobody_asked_for_costs_no_document(tmp_path, odd):
    line, meta = ODD[odd]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.jsonl", line.encode())
    (row,) = documents(ingested(tmp_path / "in", tmp_path / "out")).to_dicts()
    assert row["text"] == "t"
    assert json.loads(row["meta"] or "null") == meta


@pytest.mark.parametrize("depth", [150, 300, 900, 5000, 200_000])
def test_deep_metadata_costs_no_document(tmp_path, depth):
    (tmp_path / "in").mkdir()
    nested = b"[" * depth + b"]" * depth
    line = b'{"text": "t \\\\ \\" [", "deep": ' + nested + b', "n": 1}'
    write(tmp_path / "in" / "a.jsonl", line)
    made = ingested(tmp_path / "in", tmp_path / "out")
    (row,) = documents(made).to_dicts()
    assert row["text"] == 't \\ " ['
    assert '"n":1' in row["meta"]
    assert made.stats["meta_left_out"] == (depth > 254)  # what the writer of JSON takes


def test_half_a_character_in_the_text_is_named(tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.jsonl", b'{"text": "t \\ud83d"}\n{"text": "u", "id": "\\ud83d"}')
    made = ingested(tmp_path / "in", tmp_path / "out")
    assert quarantine(made)["reason"].to_list() == ["lone_surrogate"]
    assert documents(made)["text"].to_list() == ["u"]


def test_big_integers_keep_their_digits():
    assert parse(b'{"id": 18446744073709551616}') == {"id": 1 << 64}
    assert parse(b'{"x": 1e300}') == {"x": 1e300}


TURNS = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
SHARED_TURNS = [{"from": "human", "value": "one"}, {"from": "gpt", "value": "two"}]
WHERE = {
    "content.text": ({"content": {"text": "one", "title": "t"}}, "one"),
    "title,body": ({"title": "one", "body": "two"}, "one\n\ntwo"),
    "title,content.body": ({"title": "one", "content": {"body": "two"}}, "one\n\ntwo"),
    "a.b": ({"a.b": "one", "a": {"b": "other"}}, "one"),
    "paragraphs": ({"paragraphs": ["one", "two"]}, "one\ntwo"),
    "paragraphs.text": ({"paragraphs": [{"text": "one"}, {"text": "two"}]}, "one\ntwo"),
    "messages": ({"messages": TURNS}, "one\n\ntwo"),
    "conversations": ({"conversations": SHARED_TURNS}, "one\n\ntwo"),
}


@pytest.mark.parametrize("where", WHERE)
def test_text_is_found_where_the_setting_says(tmp_path, where):
    row, text = WHERE[where]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.jsonl", json.dumps({**row, "kept": 1}).encode())
    (found,) = documents(ingested(tmp_path / "in", tmp_path / "out", text_field=where)).to_dicts()
    assert found["text"] == text
    assert json.loads(found["meta"])["kept"] == 1
    assert text not in found["meta"]
