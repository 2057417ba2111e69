"""Cleaning what was cleaned changes nothing, whatever the text and whatever is asked for."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clean import CleanConfig, clean_texts
from pipeline.cleaning.checks import CHECKS
from pipeline.cleaning.measures import MEASURES
from pipeline.cleaning.optional_measures import OPTIONAL_MEASURES
from pipeline.cleaning.pii import PiiConfig
from pipeline.cleaning.tables import MEASURED

PIECES = st.sampled_from(
    [
        "13800138000", "a@example.com", " call me at 467 3395", "电话：64432569", "E12345678",
        "- [x](https://u:secret@example.com/a)\n", "https://e.com/?token=abcdefgh1234",
        "<p>", "</p>", "<br/>", "&amp;", "[b]", "[/b]", "\n", " ", "Copyright © 2024",
        "首页 | 新闻 | 体育", "[12]", "word ", "水坝的", "，", "。", ".", "\ufffd\ufffd",
        "\u0301", "Ａ", "１", "水壩", "\r", "@", "+", "0",
    ]
)  # fmt: skip
CONFIGS = [
    CleanConfig(pii=PiiConfig(action="replace")),
    CleanConfig(
        profile="en-web",
        edits=("citations", "repeated_lines", "full_width", "simplified"),
        pii=PiiConfig(action="replace"),
    ),
    CleanConfig(profile="gopher-quality", pii=PiiConfig(action="replace")),
]


@given(
    st.lists(st.one_of(PIECES, st.characters(exclude_categories=["Cs"])), max_size=30),
    st.sampled_from(CONFIGS),
)
@settings(max_examples=200)
def test_cleaning_twice_changes_nothing_and_measures_are_numbers(pieces, config):
    first = clean_texts(documents("".join(pieces)), config, set(OPTIONAL_MEASURES))
    again = clean_texts(first.documents, config, set(OPTIONAL_MEASURES))

    assert again.documents.equals(first.documents)
    assert not any(rows.any() for rows in again.changes.values())
    found = ["pii_spans", "detail"]  # what was found is no more where it was replaced
    assert again.measured.drop(found).equals(first.measured.drop(found))
    assert first.measured.columns == MEASURED.schema.names
    figures = first.measured.select(*MEASURES, *OPTIONAL_MEASURES, *CHECKS)
    assert not figures.select(pl.any_horizontal(pl.all().is_nan() | (pl.all() < 0))).item()


def documents(text: str) -> pl.DataFrame:
    row = {"id": "a", "text": text, "lang": "zh", "license": None, "meta": None}
    return pl.DataFrame([row], schema_overrides={"license": pl.String, "meta": pl.String})
