"""Samples: each language and source has its share, whatever the layout and the size."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.schema import CLEAN, TOKENIZER_REPORT
from pipeline.stage import Stage, run_stage
from pipeline.tokenizing.sample import draw_sample, quotas
from tests.pipeline.test_tokenizer_training import DocumentsConfig, write_documents

SIZES = st.lists(st.integers(1, 10**7), min_size=1, max_size=12)


@settings(max_examples=200)
@given(SIZES, st.integers(0, 10**7), st.floats(0, 1))
@example([12366], 6183, 0.12352105786003167)  # a quotient that is a little less than it should be
def test_quotas_spend_what_there_is_and_nobody_gets_more_than_they_have(sizes, bytes_max, balance):
    sizes = np.array(sizes)
    given = quotas(sizes, bytes_max, balance)
    assert (given >= 0).all()
    assert (given <= sizes).all()
    assert given.sum() <= bytes_max
    assert given.sum() > min(bytes_max, sizes.sum()) - len(sizes)


def test_balance_goes_from_the_corpus_mixture_to_equal_shares():
    sizes = np.array([900_000, 90_000, 10_000])
    assert quotas(sizes, 1000, 0.0).tolist() == [900, 90, 10]
    assert quotas(sizes, 999, 1.0).tolist() == [333, 333, 333]
    assert quotas(sizes, 60_000, 1.0).tolist() == [25_000, 25_000, 10_000]
    half = quotas(sizes, 1000, 0.5)
    assert half[0] / half[1] == pytest.approx(10**0.5, rel=0.02)


def documents(folder: Path, rows, rows_per_part: int):
    def run(job):
        step = rows_per_part
        job.map(write_rows, [rows[i : i + step] for i in range(0, len(rows), step)])

    return run_stage(
        Stage("clean", CLEAN, run, "pipeline.store.ledger", ("pyarrow",)),
        DocumentsConfig(tuple(row[:3] for row in rows), rows_per_part), [], folder,
    ).artifact  # fmt: skip


def write_rows(rows, sink):
    class WithSource:
        def write(self, table, columns):
            at = columns.column_names.index("source")
            sources = pl.Series([row[3] for row in rows]).to_arrow()
            sink.write(table, columns.set_column(at, "source", sources))

        saw = staticmethod(sink.saw)

    write_documents([row[:3] for row in rows], WithSource())


def drawn(folder: Path, parent, bytes_max: int, balance: float) -> pl.DataFrame:
    found = []

    def run(job):
        sample = draw_sample(job, parent, bytes_max, "salt", balance)
        found.append(pl.read_parquet(sample.file))

    stage = Stage("tokenizer", TOKENIZER_REPORT, run, "pipeline.store.ledger", ())
    run_stage(stage, DocumentsConfig((), bytes_max), [parent], folder)
    return found[0]


@pytest.fixture(scope="module")
def rows():
    many = [(f"en-{i}", f"some words of English, number {i} " * 9, "en", "web") for i in range(900)]
    books = [(f"b-{i}", f"a page of a book {i} " * 40, "en", "books") for i in range(30)]
    few = [(f"zh-{i}", f"第{i}段中文，很短。" * 6, "zh", "web") for i in range(60)]
    return many + books + few


def test_a_sample_is_balanced_over_languages_and_their_sources(tmp_path, rows):
    parent = documents(tmp_path / "in", rows, 100)
    size = {}
    for balance in (0.0, 1.0):
        got = drawn(tmp_path / f"s{balance}", parent, 24_000, balance)
        bytes_of = got.group_by("lang", "source").agg(pl.col("text").str.len_bytes().sum())
        size[balance] = {row[:2]: row[2] for row in bytes_of.iter_rows()}
        assert sum(size[balance].values()) == pytest.approx(24_000, abs=10)
    assert size[0.0]["en", "web"] > 5 * size[0.0]["en", "books"]
    assert size[1.0]["en", "web"] == pytest.approx(size[1.0]["en", "books"], abs=4)
    english = size[1.0]["en", "web"] + size[1.0]["en", "books"]
    whole = sum(len(text.encode()) for _, text, lang, _ in rows if lang == "zh")
    assert size[1.0]["zh", "web"] == min(whole, 12_000) == pytest.approx(24_000 - english, abs=10)


def test_order_and_parts_do_not_change_a_sample(tmp_path, rows):
    one = drawn(tmp_path / "a", documents(tmp_path / "in-a", rows, 5000), 30_000, 0.5)
    two = drawn(tmp_path / "b", documents(tmp_path / "in-b", rows[::-1], 37), 30_000, 0.5)
    assert one.equals(two)


def test_a_corpus_that_fits_is_taken_whole(tmp_path, rows):
    got = drawn(tmp_path / "s", documents(tmp_path / "in", rows, 5000), 10**7, 1.0)
    assert sorted(got["text"]) == sorted(row[1] for row in rows)
