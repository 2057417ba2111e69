"""Shared passages: marked alike wherever they stand, found as far as they go, cut cleanly."""

import random

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.duplicates.config import LINE, PARAGRAPH, SUBSTRING
from pipeline.duplicates.passage_hashes import hash_passages
from pipeline.duplicates.spans import extend_matches, merge_spans, remove_spans

ENGLISH = "The committee met on Tuesday and agreed that the library needs a new roof before winter."
CHINESE = "委员会星期二开会，一致同意图书馆在冬天到来之前需要修一个新的屋顶，费用由市政府承担。"


def texts(*rows: str) -> pa.Array:
    return pa.array(rows, pa.large_string())


def random_text(seed: int, size: int, letters: str = "abcdefgh 的一是了我不人在他") -> str:
    generator = random.Random(seed)
    return "".join(generator.choice(letters) for _ in range(size))


@pytest.mark.parametrize("passage", [ENGLISH, CHINESE])
@pytest.mark.parametrize("kind", [LINE, PARAGRAPH])
def test_a_unit_is_marked_alike_whatever_its_case_width_and_surroundings(kind, passage):
    blank = "\n" if kind == LINE else "\n\n"
    other = passage.upper().replace(" ", "  ").replace("，", "，")
    marks = hash_passages(
        texts(f"头 head{blank}{passage}{blank}tail", f"{other}{blank}别的"), kind, 40
    )

    assert marks["row"].to_list() == [0, 1]
    assert marks["key"].n_unique() == marks["check"].n_unique() == 1


def test_a_paragraph_spans_its_lines_and_a_line_does_not():
    text = f"{ENGLISH}\n{ENGLISH[::-1]}\n\n{CHINESE}"

    assert hash_passages(texts(text), LINE, 40).height == 3
    paragraphs = hash_passages(texts(text), PARAGRAPH, 40)
    assert paragraphs.height == 2
    start, end = paragraphs["start"][0], paragraphs["end"][0]
    assert text.encode()[start:end].decode() == f"{ENGLISH}\n{ENGLISH[::-1]}\n\n"


def test_short_units_are_not_marked():
    assert hash_passages(texts("Yes.\n好的。\n"), LINE, 40).is_empty()


@pytest.mark.parametrize("least", [64, 200, 333])
@pytest.mark.parametrize("seed", range(12))
def test_every_shared_run_of_the_least_length_shares_a_mark(least, seed):
    run = random_text(seed, least)
    while len(run.encode()) > least:
        run = run[:-1]
    run += "x" * (least - len(run.encode()))
    left = random_text(seed + 100, 5 + 37 * seed) + run + random_text(seed + 200, 90)
    right = random_text(seed + 300, 400 - 31 * seed) + run + random_text(seed + 400, 3)
    marks = hash_passages(texts(left, right), SUBSTRING, least)

    shared = marks.filter(pl.col("key").is_duplicated() & pl.col("check").is_duplicated())
    assert set(shared["row"]) == {0, 1}
    for row, start, end, *_ in shared.iter_rows():
        piece = (left, right)[row].encode()[start:end]
        assert piece in left.encode()
        assert piece in right.encode()


def test_texts_without_a_shared_run_share_no_mark():
    marks = hash_passages(texts(random_text(1, 4000), random_text(2, 4000)), SUBSTRING, 64)

    assert marks.height > 50
    assert not marks["key"].is_duplicated().any()


@given(st.lists(st.text(max_size=300), max_size=4), st.integers(40, 120))
def test_marks_lie_on_character_bounds_within_their_text(rows, least):
    rows = [row.encode("utf-8", "ignore").decode() for row in rows]
    for kind in (LINE, PARAGRAPH, SUBSTRING):
        for row, start, end, *_ in hash_passages(texts(*rows), kind, least).iter_rows():
            assert 0 <= start < end <= len(rows[row].encode())
            rows[row].encode()[start:end].decode()


def test_a_match_grows_to_the_whole_shared_run():
    run = f"{CHINESE}{ENGLISH}"
    mine, theirs = f"甲乙丙{run}壹", f"完全不同{run}二"
    at, their_at = mine.encode().index(b"The comm"), theirs.encode().index(b"The comm")
    spans = pl.DataFrame({"row": [0], "start": [at], "end": [at + 40], "context": [0]})
    around = pl.DataFrame(
        {"before": [theirs.encode()[:their_at]], "after": [theirs.encode()[their_at + 40 :]]}
    )
    starts, ends = extend_matches(texts(mine), spans, around)

    assert mine.encode()[starts[0] : ends[0]].decode() == run


def test_spans_that_touch_become_one():
    spans = pl.DataFrame(
        {"row": [0, 0, 0, 1, 1], "start": [10, 50, 200, 10, 0], "end": [60, 90, 210, 30, 30]}
    )

    assert merge_spans(spans).rows() == [(0, 10, 90), (0, 200, 210), (1, 0, 30)]


def test_cutting_leaves_the_rest():
    given_texts = texts("abc DEF ghi", "untouched", "X", "文字重复文字")
    spans = pl.DataFrame(
        {"row": [0, 0, 2, 3], "start": [0, 8, 0, 6], "end": [4, 11, 1, 12]},
        schema=dict.fromkeys(("row", "start", "end"), pl.Int64),
    )

    assert remove_spans(given_texts, spans).to_pylist() == ["DEF ", "untouched", "", "文字文字"]
