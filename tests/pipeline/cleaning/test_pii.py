"""Personal data: found in both languages, decoys left, replaced once and for all."""

import json
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning import pii_checks
from pipeline.cleaning.pii import PII, PiiConfig, find_pii, replace_spans
from pipeline.errors import ConfigError

# Kind: what it finds in a Chinese and in an English sentence, and a decoy that it must leave.
SAMPLES = {
    "secret": (["AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9], "the sk-learn package of 2024"),
    "url_secret": (
        ["https://example.com/reset?token=eucwkrosxcul015586"], "https://example.com/?page=12345678"
    ),
    "email": (["li.ming@example.com", "a+b@mail.example.co.uk"], "foo@bar is no address"),
    "email_spelt": (["jkougz [at] example [dot] com"], "look (at) the dot com boom"),
    "id_card": (["11010519491231002X"], "110105194912310021"),
    "iban": (
        ["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000"], "GB82 WEST 1234 5698 7654 33"
    ),
    "bank_card": (["4111 1111 1111 1111", "5500005555555559"], "4111 1111 1111 1112"),
    "social_security": (["514-69-0360"], "514-69-03601"),
    "passport": (["E12345678", "passport number 123456789"], "E1234567"),
    "ipv4": (["203.0.113.95"], "version 10.4.21"),
    "ipv6": (["2001:db8::c919:5692"], "12:30:55"),
    "phone": (["13800138000", "+86 138 0013 8000", "010-62345678", "(202) 555-0171"], "20240131"),
    "qq": (["QQ：828499266"], "QQ 群里有人"),
    "wechat": (["微信号：wx_zdotnsye"], "微信：好"),
    "number_plate": (["京A·12345"], "京津冀地区"),
}  # fmt: skip


def kinds_in(text: str) -> list[tuple[str, str]]:
    return [(kind, text[a:b]) for _, kind, a, b in find_pii(pl.Series([text]), PII).iter_rows()]


def test_every_kind_has_samples():
    assert set(SAMPLES) == set(PII)


@pytest.mark.parametrize(
    "sentence", ["请使用{}与我们联系。", "You can reach us at {} any time.", "({})"]
)
@pytest.mark.parametrize(("kind", "datum"), [(k, d) for k in SAMPLES for d in SAMPLES[k][0]])
def test_data_are_found_whole_beside_chinese_and_english(kind, datum, sentence):
    assert kinds_in(sentence.format(datum)) == [(kind, datum)]


@pytest.mark.parametrize(("kind", "decoy"), [(k, SAMPLES[k][1]) for k in SAMPLES])
def test_decoys_are_left(kind, decoy):
    for sentence in ("参见{}。", "See {} for more."):
        assert kind not in dict(kinds_in(sentence.format(decoy)))


def test_checksums_decide():
    assert pii_checks.luhn("4111111111111111")
    assert not pii_checks.luhn("4111111111111121")
    assert pii_checks.chinese_id("11010519491231002X")
    assert not pii_checks.chinese_id("110105194913310021")
    assert not pii_checks.chinese_id("010105194912310021")
    assert pii_checks.iban("DE89 3704 0044 0532 0130 00")
    assert not pii_checks.iban("DE89 3704 0044 0532 0130 01")
    assert not pii_checks.ipv4("256.1.1.1")


def test_placeholders_take_the_place_and_hold_nothing():
    texts = pl.Series(["写信到 a@example.com 或打 13800138000。", "plain", "x@example.org"])
    replaced = replace_spans(texts, find_pii(texts, PII))

    assert replaced.to_list() == ["写信到 <EMAIL> 或打 <PHONE>。", "plain", "<EMAIL>"]
    assert find_pii(replaced, PII).is_empty()
    assert texts[1] == "plain"


DATA = st.sampled_from([d for samples, _ in SAMPLES.values() for d in samples])


@given(st.lists(st.one_of(DATA, st.text(max_size=12)), max_size=8))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_spans_lie_in_the_text_apart_and_replacing_is_final(pieces):
    text = "".join(pieces).encode("utf-8", "ignore").decode()
    spans = find_pii(pl.Series([text]), PII)
    reach = 0
    for _, _, start, end in spans.iter_rows():
        assert reach <= start < end <= len(text)
        reach = end
    once = replace_spans(pl.Series([text]), spans)
    left = find_pii(once, PII)
    again = replace_spans(once, left)
    assert find_pii(again, PII).height <= left.height


def test_long_lines_cost_no_more_than_short_ones():
    text = ("1234 " * 200_000) + "a@example.com " + "x" * 1_000_000

    assert [kind for kind, _ in kinds_in(text)] == ["email"]


@pytest.mark.parametrize("options", [{"action": "hide"}, {"kinds": ("mail",)}])
def test_config_that_cannot_be_used_is_refused(options):
    with pytest.raises(ConfigError, match=r"clean\.pii"):
        PiiConfig(**options)


def test_injected_data_are_found_and_decoys_left(shared_lines):
    truth = [json.loads(line) for line in shared_lines("dirty.truth.jsonl.gz")[1:] if line]
    lines = shared_lines("dirty.jsonl.gz")
    rows = [row for row in truth if row["kind"] in ("pii", "pii_decoy")]
    texts = pl.Series([json.loads(lines[row["line"] - 1])["text"] for row in rows])
    found = find_pii(texts, PII).rows()

    spans = [(n, s["start"], s["end"]) for n, row in enumerate(rows) for s in row.get("spans", [])]
    hits = sum(any(n == m and a <= s and b >= e for m, _, a, b in found) for n, s, e in spans)
    real = sum(any(n == m and a < e and b > s for n, s, e in spans) for m, _, a, b in found)
    assert hits >= 0.98 * len(spans) > 300
    assert real >= 0.98 * len(found)
    assert not [rows[n] for n, *_ in found if rows[n]["kind"] == "pii_decoy"]


def test_recall_on_synthetic_english(shared_lines):
    rows = [json.loads(line) for line in shared_lines("pii_presidio.jsonl.gz") if line]
    found = find_pii(pl.Series([row["text"] for row in rows]), PII).rows()
    least = {"EMAIL_ADDRESS": 0.98, "CREDIT_CARD": 0.95, "IBAN_CODE": 0.95, "US_SSN": 0.95,
             "IP_ADDRESS": 0.9, "PHONE_NUMBER": 0.4}  # fmt: skip
    hits, all_ = Counter(), Counter()
    for number, row in enumerate(rows):
        for span in row["spans"]:
            all_[span["type"]] += 1
            hits[span["type"]] += any(
                m == number and a < span["end"] and b > span["start"] for m, _, a, b in found
            )
    assert {kind for kind, share in least.items() if hits[kind] < share * all_[kind]} == set()
