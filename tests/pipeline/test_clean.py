"""The stage `clean`: what is kept, what is dropped and why, on sound and on broken documents."""

import json
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pytest

from pipeline.clean import STAGE, CleanConfig
from pipeline.cleaning.checks import CHECKS
from pipeline.cleaning.measures import MEASURES
from pipeline.cleaning.normalize import NormalizeConfig, normalize
from pipeline.cleaning.optional_measures import OPTIONAL_MEASURES
from pipeline.cleaning.tables import MEASURED
from pipeline.engine.local import LocalEngine
from pipeline.errors import ConfigError
from pipeline.schema import CLEAN, RAW
from pipeline.stage import Stage, run_stage
from pipeline.store import storage


@dataclass(frozen=True)
class Given:
    parts: tuple[tuple[dict, ...], ...]


def emit(rows, sink):
    sink.saw(len(rows))
    for start in range(0, len(rows), 7):
        sink.write("main", pa.Table.from_pylist(rows[start : start + 7], schema=RAW.schema))


GIVEN = Stage(
    "ingest", RAW, lambda job: job.map(emit, job.config.parts) and None, "pipeline.schema", ()
)


def document(number: int, text: str, lang: str | None = None) -> dict:
    return {
        "id": f"d{number}",
        "text": text,
        "source": "tests",
        "path": "a.jsonl",
        "position": number,
        "lang": lang,
        "license": "CC0",
        "meta": None,
    }


@pytest.fixture
def raw(tmp_path):
    def make(*parts):
        folder = tmp_path / f"raw{len(list(tmp_path.iterdir()))}"
        return run_stage(GIVEN, Given(tuple(tuple(part) for part in parts)), [], folder).artifact

    return make


@pytest.fixture
def prose(corpus_file):
    return json.loads(corpus_file("clean_prose.json").read_text(encoding="utf-8"))


@pytest.fixture
def mixed(prose):
    texts = [
        (prose["en"], None),
        (prose["zh"], "zh-CN"),
        (prose["code"], "code"),
        (prose["en"].encode().decode("latin-1") + "café".encode().decode("latin-1"), "en"),
        (prose["zh"].replace("\n", "\r\n\x00"), None),
        ("", None),
        ("\ufeff \u3000\n", "zh"),
        ("点这里", None),
        ("Click here", None),
        ("x" * 4000, "en"),
        ("\ufffd\ue000" * 50, None),
        ("a\u0301" * 300, None),
        ("\U0010ffff\x00\u202e", None),
        ("- \n" * 900, None),
        ("9 " * 900, None),
    ]
    return [document(number, *entry) for number, entry in enumerate(texts)]


def cleaned(parent, folder, config=CleanConfig(), **options):  # noqa: B008 - frozen
    return run_stage(STAGE, config, [parent], folder, **options).artifact


def table(artifact, name="main"):
    return artifact.scan(name).collect().to_dicts() if artifact.parts(name) else []


def test_dirty_documents_are_kept_repaired_or_dropped_and_all_accounted_for(raw, mixed, tmp_path):
    result = cleaned(raw(mixed[:8], mixed[8:]), tmp_path / "clean")

    kept = {row["id"]: row for row in table(result)}
    assert list(kept) == ["d0", "d1", "d2", "d3", "d4"]
    assert kept["d3"]["text"].endswith("café")
    assert "\r" not in kept["d4"]["text"]
    assert kept["d4"]["text"] == kept["d1"]["text"]
    ledger = result.ledger
    assert (ledger.seen, ledger.kept, ledger.dropped.total()) == (15, 5, 10)
    assert ledger.dropped["empty"] == 3


def test_rejects_name_rule_value_and_threshold(raw, mixed, tmp_path):
    rejects = {row["id"]: row for row in table(cleaned(raw(mixed), tmp_path / "c"), "rejects")}

    assert (rejects["d5"]["rule"], rejects["d5"]["value"], rejects["d5"]["threshold"]) == (
        "empty",
        0,
        1,
    )
    assert (rejects["d7"]["rule"], rejects["d7"]["value"], rejects["d7"]["threshold"]) == (
        "too_few_pieces", 2, 10,
    )  # fmt: skip
    assert rejects["d9"]["source"] == "tests"
    assert rejects["d10"]["rule"] == "too_few_pieces" or rejects["d10"]["value"] > 0


def test_languages_are_named_and_counted(raw, mixed, tmp_path):
    result = cleaned(raw(mixed), tmp_path / "c")

    assert {row["id"]: row["lang"] for row in table(result)} == {
        "d0": "en", "d1": "zh", "d2": "code", "d3": "en", "d4": "zh",
    }  # fmt: skip
    assert sum(result.stats["languages"].values()) == 15
    assert result.ledger.changed["mojibake"] == 1
    assert result.stats["bytes_in"] == sum(len(row["text"].encode()) for row in mixed)


def test_measures_are_stored_for_kept_and_dropped_alike(raw, mixed, tmp_path):
    result = cleaned(raw(mixed), tmp_path / "c")

    measured = result.scan("measures").collect()
    assert measured["id"].to_list() == [row["id"] for row in mixed]
    figures = [*MEASURES, *CHECKS]
    columns = [
        "id",
        "lang",
        "lang_score",
        *MEASURES,
        *OPTIONAL_MEASURES,
        *CHECKS,
        "partner",
        "detail",
    ]
    assert measured.columns == columns
    assert measured.select(pl.col(*OPTIONAL_MEASURES).is_null().all()).row(0) == (True,) * len(
        OPTIONAL_MEASURES
    )
    assert measured.columns == MEASURED.schema.names
    assert set(measured.select(figures).dtypes) == {pl.Float64}
    assert not measured.select(pl.any_horizontal(pl.col(figures).is_nan().any())).item()
    rejects = {row["id"]: row for row in table(result, "rejects")}
    words = dict(measured.select("id", "words").iter_rows())
    assert rejects["d8"]["value"] == words["d8"]


def test_kept_text_conforms_and_cleaning_again_changes_nothing(raw, mixed, tmp_path):
    first = cleaned(raw(mixed), tmp_path / "c")
    rows = table(first)

    again = cleaned(raw(rows), tmp_path / "again")

    assert first.contract == CLEAN.label
    texts = pl.Series([row["text"] for row in rows])
    assert normalize(texts, NormalizeConfig())[0].to_list() == texts.to_list()
    assert table(again) == rows
    assert again.ledger.dropped.total() == 0


def test_two_workers_write_the_same_bytes_as_one(raw, mixed, tmp_path):
    parent = raw(mixed[:5], mixed[5:9], mixed[9:])

    one = cleaned(parent, tmp_path / "one")
    two = cleaned(parent, tmp_path / "two", engine=LocalEngine(2))

    assert storage.canonical_json(one.manifest) == storage.canonical_json(two.manifest)
    assert [entry["sha256"] for entry in two.entries()] == [
        storage.sha256_of(one.path / e["path"]) for e in one.entries()
    ]


def test_profile_none_drops_only_what_is_empty(raw, mixed, tmp_path):
    result = cleaned(raw(mixed), tmp_path / "c", CleanConfig(profile="none"))

    assert dict(result.ledger.dropped) == {"empty": 3}


def test_threshold_change_for_one_language_leaves_the_other(raw, mixed, tmp_path):
    config = CleanConfig(thresholds={"too_few_pieces.zh": 10_000.0}, switched_off=("endless_word",))

    result = cleaned(raw(mixed), tmp_path / "c", config)

    assert [row["id"] for row in table(result)] == ["d0", "d2", "d3"]
    assert result.ledger.dropped["endless_word"] == 0


def test_stop_words_and_punctuation_can_be_taken_out_of_both_languages(raw, tmp_path):
    en = (
        "The miller doesn't know the aim of the dam, or of 'the wheel'. " * 2
        + "It is in the valley!"
    )
    zh = "我们的目的是为了和平，磨坊的水坝在山谷里。" * 2 + "谁的确相信它？"
    config = CleanConfig(profile="none", remove_stop_words=True, remove_punctuation=True)

    first = cleaned(
        raw([document(0, en, "en"), document(1, zh, "zh"), document(2, "the of!")]),
        tmp_path / "c",
        config,
    )
    rows = table(first)

    assert rows[0]["text"].startswith("miller doesn't know aim dam wheel miller")
    assert rows[1]["text"].startswith("目的为了和平 磨坊水坝山谷里")
    assert "的确" in rows[1]["text"]
    assert first.ledger.dropped == {"empty": 1}
    assert table(cleaned(raw(rows), tmp_path / "again", config)) == rows


def test_empty_parent_gives_an_empty_artifact(raw, tmp_path):
    result = cleaned(raw(), tmp_path / "c")

    assert (result.rows, result.ledger.seen, result.stats["bytes_in"]) == (0, 0, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "wbe"},
        {"thresholds": {"few_word": 1.0}},
        {"switched_off": ("nothing",)},
        {"least_language_score": 2.0},
    ],
)
def test_config_that_cannot_be_used_is_refused(options):
    with pytest.raises(ConfigError):
        CleanConfig(**options)


@pytest.mark.parametrize(
    ("name", "profile", "least"),
    [
        ("enzh_paddlex", "web", 0.95),
        ("zh_laws", "web", 0.98),
        ("zh_dureader_web", "web", 0.9),
        ("en_20news", "web", 0.93),
        ("zh_poetry", "books", 0.98),
    ],
)
def test_real_documents_mostly_survive(shared_data, raw, tmp_path, name, profile, least):
    rows = pl.read_ndjson(shared_data / f"{name}.jsonl.gz", infer_schema_length=None).head(400)
    documents = [
        document(number, text, lang)
        for number, (text, lang) in enumerate(rows.select("text", "lang").iter_rows())
    ]

    result = cleaned(raw(documents), tmp_path / "c", CleanConfig(profile=profile))

    assert result.rows >= least * len(documents), result.ledger.dropped
