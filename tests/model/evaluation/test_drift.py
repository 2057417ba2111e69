"""Drift of new text from what a champion knows: its languages, its tokens, its loss."""

from dataclasses import dataclass, replace

import pytest

from model.evaluation.config import DriftConfig
from model.evaluation.drift import BITS, LANGUAGE_SHIFT, TOKENS, measure_drift
from model.train import STAGE as TRAIN
from pipeline.errors import ConfigError
from pipeline.schema import CLEAN
from pipeline.shard import STAGE as SHARD
from pipeline.shard import ShardConfig
from pipeline.stage import Stage, run_stage
from pipeline.tokenizer_training import STAGE as TOKENIZER
from pipeline.tokenizer_training import TokenizerConfig
from tests.model.shards import Texts, texts, write_texts
from tests.model.test_train import CONFIG

OLD_ENGLISH = 30


@dataclass(frozen=True)
class Corpus:
    """The old English documents, and what is new."""

    more_english: int = 0
    chinese: int = 0
    is_shouted: bool = False  # what is more of English is in capitals


def rows_of(config: Corpus) -> list[dict]:
    rows = texts(Texts(english=OLD_ENGLISH + config.more_english, chinese=config.chinese))
    return [
        {**row, "text": row["text"].upper()}
        if config.is_shouted and i >= OLD_ENGLISH and row["lang"] == "en"
        else row
        for i, row in enumerate(rows)
    ]


def run_corpus(job) -> None:
    job.map(write_texts, [rows_of(job.config)])


CORPUS = Stage("clean", CLEAN, run_corpus, "pipeline.store.ledger", ("pyarrow",))
SPLIT = ShardConfig(validation_share=0.3, row_group_tokens=4000)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Tokenizer, shards and model of the old English text: the champion."""
    folder = tmp_path_factory.mktemp("old")
    documents = run_stage(CORPUS, Corpus(), [], folder / "texts").artifact
    config = TokenizerConfig(vocab_size=720)
    tokenizer = run_stage(TOKENIZER, config, [documents], folder / "tokenizer").artifact
    shards = run_stage(SHARD, SPLIT, [documents, tokenizer], folder / "shards").artifact
    model = run_stage(TRAIN, CONFIG, [shards], folder / "model").artifact
    return tokenizer, shards, model


def report_of(old, folder, corpus: Corpus, config=DriftConfig(), own_tokenizer=False):  # noqa: B008
    tokenizer, earlier, model = old
    documents = run_stage(CORPUS, corpus, [], folder / "texts").artifact
    if own_tokenizer:
        settings = TokenizerConfig(vocab_size=700)
        tokenizer = run_stage(TOKENIZER, settings, [documents], folder / "tokenizer").artifact
    shards = run_stage(SHARD, SPLIT, [documents, tokenizer], folder / "shards").artifact
    return measure_drift(shards, model.path, earlier, config)


def figures_of(report) -> dict:
    return {(figure.name, figure.lang): figure for figure in report.figures}


def test_the_same_text_has_nothing_to_drift(old, tmp_path):
    report = report_of(old, tmp_path, Corpus())
    assert (report.new_documents, report.figures, report.reasons) == (0, (), [])


def test_more_text_of_the_same_kind_is_no_drift(old, tmp_path):
    report = report_of(old, tmp_path, Corpus(more_english=20))
    assert report.new_documents == 20
    assert figures_of(report)[LANGUAGE_SHIFT, "all"].change == 0
    assert {(TOKENS, "en"), (BITS, "en")} <= figures_of(report).keys()
    assert report.reasons == []


def test_text_in_another_language_is_drift(old, tmp_path):
    report = report_of(old, tmp_path, Corpus(chinese=10))
    assert figures_of(report)[LANGUAGE_SHIFT, "all"].change == 1
    assert ["language_shift" in reason for reason in report.reasons] == [True]
    off = replace(DriftConfig(), language_shift=None)
    assert report_of(old, tmp_path, Corpus(chinese=10), off).reasons == []


def test_a_share_of_another_language_is_measured_in_bytes(old, tmp_path):
    corpus = Corpus(more_english=10, chinese=10)
    new = rows_of(corpus)[OLD_ENGLISH:]
    sizes = {lang: sum(len(r["text"].encode()) for r in new if r["lang"] == lang)
             for lang in ("en", "zh")}  # fmt: skip
    shift = figures_of(report_of(old, tmp_path, corpus))[LANGUAGE_SHIFT, "all"].change
    assert shift == pytest.approx(sizes["zh"] / sum(sizes.values()))


def test_text_of_another_kind_costs_more_tokens_and_more_bits(old, tmp_path):
    report = report_of(old, tmp_path, Corpus(more_english=20, is_shouted=True))
    figures = figures_of(report)
    assert figures[LANGUAGE_SHIFT, "all"].change == 0
    for name in (TOKENS, BITS):
        figure = figures[name, "en"]
        assert figure.new > figure.old
        assert figure.change > figure.sure_change > 0.1
    assert len(report.reasons) == 2


def test_the_champion_reads_by_its_own_tokenizer_whatever_the_shards_have(old, tmp_path):
    corpus = Corpus(more_english=20)
    same = figures_of(report_of(old, tmp_path / "same", corpus))
    other = figures_of(report_of(old, tmp_path / "other", corpus, own_tokenizer=True))
    for name in (TOKENS, BITS):
        # the samples are drawn up to a number of tokens, so they may differ by a document
        assert other[name, "en"].new == pytest.approx(same[name, "en"].new, rel=0.05)


def test_few_documents_prove_nothing(old, tmp_path):
    report = report_of(old, tmp_path, Corpus(more_english=1, is_shouted=True))
    assert figures_of(report)[BITS, "en"].change > 0.1
    assert report.reasons == []


def test_bounds_are_checked():
    with pytest.raises(ConfigError, match=r"drift\.language_shift"):
        DriftConfig(language_shift=1.5)
    with pytest.raises(ConfigError, match=r"drift\.tokens_max"):
        DriftConfig(tokens_max=0)
