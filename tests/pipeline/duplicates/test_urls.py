"""Addresses of the same page compare equal, of other pages do not."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.duplicates.urls import canonical_address, canonical_addresses


@pytest.mark.parametrize(
    "same",
    [
        ("http://Example.com/a", "https://www.example.com:443/a/", "HTTP://EXAMPLE.COM./a#top"),
        ("http://e.com", "http://e.com/", "https://e.com/index.html", "http://e.com/?utm_source=x"),
        ("http://e.com/a?b=1&c=2", "http://e.com/a?c=2&b=1&fbclid=9", "http://e.com/a/?b=1&c=2"),
        ("https://例子.cn/新闻", "https://xn--fsqu00a.cn/%E6%96%B0%E9%97%BB"),
    ],
)
def test_spellings_of_one_page_are_equal(same):
    assert len({canonical_address(url) for url in same}) == 1
    assert canonical_address(same[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://e.com/a", "http://e.com/b"),
        ("http://e.com/a", "http://e.com/A"),
        ("http://e.com/?id=1", "http://e.com/?id=2"),
        ("http://e.com:8080/", "http://e.com/"),
        ("http://a.e.com/", "http://e.com/"),
    ],
)
def test_other_pages_stay_apart(one, other):
    assert canonical_address(one) != canonical_address(other)


@pytest.mark.parametrize("url", ["", "ftp://e.com/a", "mailto:a@b.c", "http://[::1", "没有"])
def test_what_is_no_web_address_has_none(url):
    assert canonical_address(url) is None


@given(st.text())
def test_any_text_is_an_address_or_not(text):
    found = canonical_address(text)
    assert found is None or canonical_address(f"http://{found}") == found


def test_addresses_come_from_a_field_of_the_record():
    meta = [json.dumps({"url": "https://e.com/a/"}), json.dumps({"url": 3}), None, '{"x": "y"}']

    assert canonical_addresses(pl.Series(meta), "url").to_list() == ["e.com/a", None, None, None]
