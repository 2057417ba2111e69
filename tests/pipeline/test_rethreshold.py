"""Other thresholds without cleaning again: the same bytes as cleaning under them, and what-if."""

import json
from dataclasses import dataclass, replace

import polars as pl
import pyarrow as pa
import pytest

from pipeline import rethreshold
from pipeline.clean import STAGE, CleanConfig
from pipeline.cleaning import profiles
from pipeline.cleaning.pii import PiiConfig
from pipeline.cleaning.threshold_sweep import sweep
from pipeline.engine.local import LocalEngine
from pipeline.errors import ConfigError
from pipeline.rethreshold import RethresholdConfig
from pipeline.schema import RAW
from pipeline.stage import Stage, run_stage
from pipeline.store.units import UNITS


@dataclass(frozen=True)
class Given:
    parts: tuple[tuple[tuple[str, str], ...], ...]


def emit(rows, sink):
    sink.saw(len(rows))
    for start in range(0, len(rows), 9):  # several row groups, some without a kept document
        documents = [
            {"id": name, "text": text, "source": "tests", "path": "a", "position": 0}
            for name, text in rows[start : start + 9]
        ]
        sink.write("main", pa.Table.from_pylist(documents, schema=RAW.schema))


GIVEN = Stage(
    "ingest", RAW, lambda job: job.map(emit, job.config.parts) and None, "pipeline.schema", ()
)


@pytest.fixture
def raw(tmp_path, corpus_file):
    prose = json.loads(corpus_file("clean_prose.json").read_text(encoding="utf-8"))
    en, zh = prose["en"].split(), prose["zh"]
    rows = [(f"en{n}", " ".join(en[: 2 + 3 * n])) for n in range(20)]
    rows += [(f"zh{n}", zh[: 3 + 7 * n]) for n in range(20)]
    rows += [(f"bad{n}", "ab" * n + "\r\n") for n in range(12)]
    return run_stage(
        GIVEN, Given((tuple(rows[:30]), tuple(rows[30:]))), [], tmp_path / "r"
    ).artifact


def made(stage, config, parent, folder, **options):
    return run_stage(stage, config, [parent], folder, **options).artifact


def digests(artifact):
    entries = [entry for entry in artifact.entries() if entry["path"] != UNITS]  # of two stages
    return {entry["path"]: entry["sha256"] for entry in entries}


@pytest.mark.parametrize(
    "changes",
    [
        {"thresholds": {"too_few_pieces": 5.0}},
        {"thresholds": {"too_few_pieces.zh": 120.0, "too_few_pieces.en": 2.0}},
        {"switched_off": ("too_few_pieces", "few_frequent_words")},
        {"profile": "zh-web"},
        {"profile": "zh-web", "thresholds": {"too_few_pieces.zh": 3.0}},
    ],
)
def test_judging_again_gives_the_bytes_of_cleaning_under_those_thresholds(raw, tmp_path, changes):
    before = made(STAGE, CleanConfig(), raw, tmp_path / "before")
    wanted = made(STAGE, CleanConfig(**changes), raw, tmp_path / "wanted")
    again = made(
        rethreshold.STAGE, RethresholdConfig(**changes), before, tmp_path / "again",
        engine=LocalEngine(2),
    )  # fmt: skip

    assert digests(again) == digests(wanted) != digests(before)
    assert again.ledger.to_json() == wanted.ledger.to_json()
    assert again.contract == wanted.contract


def test_tags_of_personal_data_stay_when_judged_again(raw, tmp_path):
    text = raw.scan().collect()["text"][19] + " Write to jane.roe@example.com or ring 13800138000."
    given = Given(((("a", text), ("b", text[:40]), ("c", f"short {text[-50:]}")),))
    tagged = run_stage(GIVEN, given, [], tmp_path / "tagged").artifact
    config = CleanConfig(pii=PiiConfig(action="tag"))
    before = made(STAGE, config, tagged, tmp_path / "before")
    wanted = replace(config, thresholds={"too_few_pieces": 2.0})
    again = made(
        rethreshold.STAGE, RethresholdConfig(thresholds=wanted.thresholds), before, tmp_path / "b"
    )

    assert len(again.scan("pii").collect()) == 4
    counts = again.scan("measures").collect()["pii_spans"]
    assert sorted(counts.to_list()) == [0.0, 2.0, 2.0]
    assert again.stats["pii"] == {"email": 2, "phone": 2}
    assert digests(again) == digests(made(STAGE, wanted, tagged, tmp_path / "wanted"))


def test_what_was_replaced_is_counted_and_dropped_by_no_rule_unless_asked(tmp_path):
    text = "Write to jane.roe@example.com or ring 13800138000 on a fine day by the old river mill."
    parent = run_stage(
        GIVEN, Given(((("a", text), ("b", text[30:])),)), [], tmp_path / "r"
    ).artifact
    config = CleanConfig(profile="none", pii=PiiConfig(action="replace"))
    masked = made(STAGE, config, parent, tmp_path / "masked")
    strict = replace(config, thresholds={"personal_data": 1.0})

    assert masked.rows == 2
    assert masked.scan("measures").collect()["pii_spans"].to_list() == [2.0, 1.0]
    assert masked.stats["pii"] == {"email": 1, "phone": 2}
    assert made(STAGE, strict, parent, tmp_path / "strict").ledger.dropped == {"personal_data": 1}


def test_judging_twice_leads_back(raw, tmp_path):
    first = made(STAGE, CleanConfig(), raw, tmp_path / "first")
    strict = RethresholdConfig(thresholds={"too_few_pieces": 60.0})
    there = made(rethreshold.STAGE, strict, first, tmp_path / "there")
    back = made(rethreshold.STAGE, RethresholdConfig(), there, tmp_path / "back")

    assert there.rows < first.rows
    assert digests(back) == digests(first)


def test_a_profile_that_changes_text_otherwise_is_refused(raw, tmp_path):
    before = made(STAGE, CleanConfig(), raw, tmp_path / "before")

    with pytest.raises(ConfigError, match="changes texts in another way"):
        made(rethreshold.STAGE, RethresholdConfig(profile="c4"), before, tmp_path / "again")


def test_a_rule_on_what_was_not_measured_is_refused(raw, tmp_path):
    before = made(STAGE, CleanConfig(profile="gopher-quality"), raw, tmp_path / "before")

    with pytest.raises(ConfigError, match=r"few_stop_words.*measured only on demand"):
        made(rethreshold.STAGE, RethresholdConfig(profile="data-juicer"), before, tmp_path / "no")


def test_what_only_the_former_rules_asked_for_is_left_out(raw, tmp_path):
    before = made(STAGE, CleanConfig(profile="data-juicer"), raw, tmp_path / "before")
    wanted = made(STAGE, CleanConfig(profile="gopher-quality"), raw, tmp_path / "wanted")
    again = made(
        rethreshold.STAGE, RethresholdConfig(profile="gopher-quality"), before, tmp_path / "again"
    )

    assert before.scan("measures").collect()["stop_word_share"].null_count() == 0
    assert digests(again) == digests(wanted)


def test_dropped_texts_that_were_not_kept_cannot_come_back(raw, tmp_path):
    before = made(STAGE, CleanConfig(keep_dropped=False), raw, tmp_path / "before")

    with pytest.raises(ConfigError, match="keep_dropped"):
        made(rethreshold.STAGE, RethresholdConfig(), before, tmp_path / "again")


def test_the_sweep_tells_what_cleaning_would_keep(raw, tmp_path):
    table = profiles.thresholds("web", {}, ())
    swept = sweep(made(STAGE, CleanConfig(), raw, tmp_path / "c"), table)
    zh = swept.filter((pl.col("rule") == "too_few_pieces") & (pl.col("group") == "zh"))

    assert zh.filter("current")["threshold"].to_list() == [table["too_few_pieces"]["zh"]]
    for row in zh.filter(pl.col("threshold") <= 240).gather_every(6).iter_rows(named=True):
        config = CleanConfig(thresholds={"too_few_pieces.zh": row["threshold"]})
        result = made(STAGE, config, raw, tmp_path / f"t{row['threshold']}")
        measures = result.scan("measures").collect()
        kept = result.scan().collect()["id"]
        group = measures.filter((pl.col("lang") == "zh") | (pl.col("cjk_share") >= 0.3))
        assert row["documents"] == group.height
        assert row["kept_share"] == pytest.approx(group["id"].is_in(kept.implode()).mean())
