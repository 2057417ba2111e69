"""Drift: the same text keeps a tokenizer, another kind of text asks for a new one, by the rule."""

from dataclasses import replace

import polars as pl
import pytest

from pipeline.errors import ConfigError
from pipeline.stage import run_stage
from pipeline.tokenizer_training import STAGE, GivenTokenizer, TokenizerConfig
from pipeline.tokenizing.drift import DriftRule, drift, reasons
from tests.pipeline.test_tokenizer import model
from tests.pipeline.test_tokenizer_training import SMALL, corpus, made

RULE = DriftRule()
CYRILLIC = [
    (f"ru-{i}", f"Все люди рождаются свободными и равными. {i} " * 20, "ru") for i in range(9)
]


def report(**languages) -> pl.DataFrame:
    """bytes, tokens and byte_tokens by language."""
    rows = [("all", 1, 1, 1), *((lang, *counts) for lang, counts in languages.items())]
    return pl.DataFrame(rows, schema=["lang", "bytes", "tokens", "byte_tokens"], orient="row")


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        ({"en": (4000, 1000, 0), "zh": (3000, 1000, 10)}, []),
        ({"en": (3810, 1000, 0)}, []),  # 4.7 % fewer
        ({"en": (3780, 1000, 0)}, ["en: bytes per token fell by 5.5 %"]),
        ({"zh": (3000, 1000, 29)}, []),
        ({"zh": (3000, 1000, 31)}, ["zh: byte fallback rose by 2.1 points"]),
        ({"en": (4000, 1000, 0), "ru": (900, 800, 100)},
         ["ru: byte fallback is 12.5 % of a new language"]),
        ({"en": (400_000, 100_000, 0), "ru": (900, 800, 800)}, []),  # 0.2 % of the text
    ],
)  # fmt: skip
def test_the_rule(now, wanted):
    then = report(en=(40_000, 10_000, 0), zh=(30_000, 10_000, 100))
    assert reasons(drift(then, report(**now), RULE)) == wanted


def test_without_a_record_only_byte_fallback_counts():
    table = drift(None, report(en=(4000, 3000, 0), zh=(3000, 1000, 200)), RULE)
    assert reasons(table) == ["zh: byte fallback is 20.0 % of a new language"]
    assert table["bytes_per_token_then"].null_count() == 2


@pytest.mark.parametrize("name", list(vars(RULE)))
def test_bounds_that_are_no_shares_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        DriftRule(**{name: 1.5})


def test_an_earlier_tokenizer_is_kept_while_it_fits(tmp_path):
    first = run_stage(STAGE, SMALL, [made(tmp_path / "in", corpus())], tmp_path / "first").artifact
    more = made(tmp_path / "more", [*corpus(), ("new", "Some more words of the same kind.", "en")])
    kept = run_stage(STAGE, SMALL, [more, first], tmp_path / "kept").artifact
    assert kept.file("tokenizer.model").read_bytes() == first.file("tokenizer.model").read_bytes()
    assert kept.stats["origin"] == first.fingerprint
    assert kept.stats["retrained_because"] == []
    again = run_stage(STAGE, SMALL, [more, first], tmp_path / "again").artifact
    assert again.fingerprint == kept.fingerprint
    assert again.manifest["stats"] == kept.manifest["stats"]


def test_another_kind_of_text_trains_a_new_one_and_says_why(tmp_path):
    first = run_stage(STAGE, SMALL, [made(tmp_path / "in", corpus())], tmp_path / "first").artifact
    other = made(tmp_path / "other", [*corpus(), *CYRILLIC])
    new = run_stage(STAGE, SMALL, [other, first], tmp_path / "new").artifact
    plain = run_stage(STAGE, SMALL, [other], tmp_path / "plain").artifact
    [reason] = new.stats["retrained_because"]
    assert reason.startswith("ru: byte fallback is ")
    assert "origin" not in new.stats
    assert new.file("tokenizer.model").read_bytes() == plain.file("tokenizer.model").read_bytes()
    assert new.fingerprint != plain.fingerprint


def test_a_given_tokenizer_is_used_whatever_its_figures(tmp_path):
    file = tmp_path / "given.model"
    file.write_bytes(model())
    config = replace(TokenizerConfig(), vocab_size=4000)
    given = GivenTokenizer(file)
    used = run_stage(
        STAGE, config, [made(tmp_path / "in", CYRILLIC), given], tmp_path / "t"
    ).artifact
    assert used.file("tokenizer.model").read_bytes() == model()
    assert used.stats["vocab_size"] == used.stats["vocab_size_asked"] == 1024
    assert used.scan().filter(lang="ru").collect()["byte_tokens"].item() > 0
