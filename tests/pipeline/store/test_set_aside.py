"""Where what could not be read stands, in words."""

from pipeline.clean import STAGE, CleanConfig
from pipeline.engine.local import LocalEngine
from pipeline.stage import run_stage
from pipeline.store.set_aside import REASONS_SHOWN, dropped_places, quarantined_places
from tests.pipeline.ingesting import TEXTS, ingested, write_jsonl


def test_each_reason_names_its_first_files_and_records(tmp_path):
    rows = [{"text": TEXTS[0]}, *({"text": ""} for _ in range(5)), {"body": "x"}]
    write_jsonl(tmp_path / "in" / "a.jsonl", rows)
    (tmp_path / "in" / "b.txt").touch()
    made = ingested(tmp_path / "in", tmp_path / "out")
    first, *others, last = quarantined_places(made)
    assert first.startswith(
        "empty_text: a.jsonl record 2, a.jsonl record 3, a.jsonl record 4 and 2 more ("
    )
    assert [line.partition(" (")[0] for line in others] == [
        "empty_file: b.txt",
        "no_text: a.jsonl record 7",
    ]
    assert "set ingest.text_field" in others[1]
    assert last == f"all of them: {made.path / 'quarantine'}"


def test_nothing_set_aside_says_nothing_and_many_reasons_are_counted(tmp_path):
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"text": TEXTS[0]}])
    assert quarantined_places(ingested(tmp_path / "in", tmp_path / "out")) == []
    odd = [b"[1]", b"{", b'{"a":1}', b'{"text":5}', b'{"text":""}', b"\0", b'{"text":"\\ud800"}']
    (tmp_path / "in" / "b.jsonl").write_bytes(b'{"text":"x"}\n' + b"\n".join(odd))
    lines = quarantined_places(ingested(tmp_path / "in", tmp_path / "out2"))
    assert len(lines) == REASONS_SHOWN + 1
    assert lines[-1].startswith("1 more reason; all of them: ")


def test_a_long_detail_ends_at_a_word(tmp_path):
    field = " ".join(f"name{number}" for number in range(100))
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"text": TEXTS[0]}, dict.fromkeys(field.split(), 1)])
    first, _ = quarantined_places(ingested(tmp_path / "in", tmp_path / "out"))
    assert len(first) < 300
    assert first.endswith("…)")


def test_what_rules_dropped_is_counted_and_placed(tmp_path):
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"text": TEXTS[0]}, {"text": "短"}, {"text": "hi"}])
    raw = ingested(tmp_path / "in", tmp_path / "raw")
    made = run_stage(
        STAGE, CleanConfig(), [raw], tmp_path / "out", engine=LocalEngine(1)
    ).artifact  # fmt: skip
    (line,) = dropped_places(made)
    assert line == f"dropped by too_few_pieces 2; each with its value: {made.path / 'rejects'}"
    assert dropped_places(raw) == []
