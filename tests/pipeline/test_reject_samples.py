"""Typical rejects: nearest to the middle of their rule, with text where it was kept."""

from dataclasses import dataclass

import pyarrow as pa

from pipeline.reject_samples import typical_rejects
from pipeline.schema import CLEAN
from pipeline.stage import Stage, run_stage
from pipeline.store.sink import DROPPED


@dataclass(frozen=True)
class Given:
    rejects: tuple[tuple[str, str, float], ...]  # id, rule, value
    parts: int = 1


def emit(rows, sink):
    sink.saw(len(rows))
    if not rows:
        return
    ids, rules, values = (list(column) for column in zip(*rows, strict=True))
    columns = {"id": ids, "source": ["news"] * len(ids), "rule": rules, "value": values}
    sink.write("rejects", pa.table({**columns, "threshold": [10.0] * len(ids)}))
    texts = [f"{identifier}\n  第一行 first line " * 40 for identifier in ids]
    plain = {"path": ["a"] * len(ids), "position": range(len(ids)), "lang": ["en"] * len(ids)}
    sink.write(DROPPED, pa.table({"id": ids, "text": texts, "source": columns["source"], **plain}))


def run(job):
    rows, parts = job.config.rejects, job.config.parts
    job.map(emit, [rows[start::parts] for start in range(parts)])


STAGE = Stage("clean", CLEAN, run, "pipeline.schema", (), tables={DROPPED: CLEAN})


def made(folder, *rejects, parts=1):
    return run_stage(STAGE, Given(rejects, parts), [], folder).artifact


def test_the_five_nearest_to_the_median_stand_for_a_rule(tmp_path):
    short = [(f"s{i}", "short", float(i)) for i in range(41)]
    found = typical_rejects(made(tmp_path / "a", *short, ("r", "repeated", 0.5)))

    assert found["rule"].to_list() == ["short"] * 5 + ["repeated"]
    assert found["id"].to_list() == ["s20", "s19", "s21", "s18", "s22", "r"]
    assert found["excerpt"][0].startswith("s20 第一行 first line s20")
    assert len(found["excerpt"][0]) <= 160


def test_the_choice_does_not_depend_on_parts(tmp_path):
    rows = [(f"d{i}", f"rule{i % 3}", float(i * i % 97)) for i in range(300)]

    one = typical_rejects(made(tmp_path / "one", *rows))
    many = typical_rejects(made(tmp_path / "many", *rows, parts=7))
    assert one.rows() == many.rows()
    assert one.height == 15


def test_nothing_dropped_gives_no_rows(tmp_path):
    assert typical_rejects(made(tmp_path / "a")).is_empty()


def test_personal_data_in_what_is_shown_are_placeholders(tmp_path):
    artifact = made(tmp_path / "a", ("of anna.schmidt@example.org", "too_few_words", 1.0))
    [excerpt] = typical_rejects(artifact)["excerpt"]
    assert "anna.schmidt" not in excerpt
    assert "<EMAIL> 第一行 first line" in excerpt
