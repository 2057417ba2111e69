"""What the default profile keeps of real text, and drops of text that was broken on purpose."""

import gzip
import json

import polars as pl
import pytest

from pipeline.cleaning.checks import CHECKS
from pipeline.cleaning.filters import verdicts
from pipeline.cleaning.measures import measure
from pipeline.cleaning.normalize import NormalizeConfig, normalize
from pipeline.cleaning.profiles import thresholds
from pipeline.language import languages

KEPT = {
    "enzh_paddlex": 0.97,
    "enzh_pydocs": 0.98,
    "en_20news": 0.95,
    "en_sotu": 0.99,
    "zh_lctt": 0.98,
    "zh_laws": 0.99,
    "zh_dureader_web": 0.95,
    "zh_classical_modern": 0.98,
    "zh_poetry": 0.97,
    "code_cpython": 0.98,
    "langid_udhr": 0.97,
}
GOOD_KINDS = ("control", "template_lookalike", "pii", "pii_decoy")
# Those that need a model of the language are not here.
DROPPED = {
    "gibberish": (
        "repeat_char", "repeat_line", "repeat_phrase", "keyword_stuffing", "menu_list", "symbols",
        "digits", "hexdump", "base64", "random_cjk",
    ),
    "empty_or_short": None,
    "long_line": None,
}  # fmt: skip


def kept(texts, langs, profile="web"):
    """The rule that drops each document, null where none does, after repairs."""
    repaired, _ = normalize(pl.Series("text", texts), NormalizeConfig())
    lang, _ = languages(repaired, pl.Series(langs, dtype=pl.String), 0.3)
    measured = measure(repaired, lang).with_columns(lang, **dict.fromkeys(CHECKS, pl.lit(0.0)))
    return verdicts(measured, thresholds(profile, {}, ()))["rule"]


def rows_of(file):
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize("name", KEPT)
def test_good_text_is_kept(shared_data, name):
    rows = rows_of(shared_data / f"{name}.jsonl.gz")
    stated = [row["lang"] if name.startswith("code") else None for row in rows]
    rules = kept([row["text"] for row in rows], stated)
    assert rules.is_null().mean() >= KEPT[name], rules.drop_nulls().value_counts()


@pytest.mark.parametrize("name", ["zh_lctt", "zh_laws", "zh_classical_modern"])
def test_good_chinese_articles_pass_the_stricter_profile(shared_data, name):
    rows = rows_of(shared_data / f"{name}.jsonl.gz")
    rules = kept([row["text"] for row in rows], ["zh"] * len(rows), "zh-web")
    assert rules.is_null().mean() >= 0.95, rules.drop_nulls().value_counts()


@pytest.fixture(scope="module")
def dirty():
    from tests.conftest import SHARED_DATA

    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/data (real text with ground truth)")
    truths = rows_of(SHARED_DATA / "dirty.truth.jsonl.gz")[1:]
    with gzip.open(SHARED_DATA / "dirty.jsonl.gz") as file:
        lines = file.read().split(b"\n")
    wanted = [truth for truth in truths if truth["kind"] in (*GOOD_KINDS, *DROPPED)]
    texts = [json.loads(lines[truth["line"] - 1])["text"] for truth in wanted]
    frame = pl.DataFrame(
        [{key: truth[key] for key in ("kind", "sub", "expect")} for truth in wanted]
    )
    return frame.with_columns(kept(texts, [None] * len(texts)))


@pytest.mark.parametrize("kind", GOOD_KINDS)
def test_documents_without_a_defect_are_kept(dirty, kind):
    rules = dirty.filter(kind=kind)["rule"]
    assert rules.is_null().mean() >= 0.98, rules.drop_nulls().value_counts()


@pytest.mark.parametrize("kind", DROPPED)
def test_broken_documents_are_dropped(dirty, kind):
    made = dirty.filter(kind=kind, expect="drop")
    if DROPPED[kind] is not None:
        made = made.filter(pl.col("sub").is_in(DROPPED[kind]))
    shares = made.group_by("sub").agg(pl.col("rule").is_not_null().mean())
    assert made.height > 0
    assert shares["rule"].min() >= 0.95, shares
