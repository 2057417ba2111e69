"""Personal data: found in both languages, decoys left, replaced once and for all."""

import json

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
    "passport": (["E12345678", "G87654321"], "E1234567"),
    "ipv4": (["203.0.113.95"], "version 10.4.21"),
    "ipv6": (["2001:db8::c919:5692"], "12:30:55"),
    "phone": (
        ["13800138000", "+86 138 0013 8000", "010-62345678", "(202) 555-0171", "400-810-1234",
         "079 2718 1155", "0688 872 49 99", "001-518-640-0854", "(71) 4233-6306"], "20240131"),
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


TOLD = [
    ("passport", "His passport number is {}.", "123456789"),
    ("passport", "护照号码：{}，请查收。", "AB1234567"),
    ("phone", "Phone:\n{}", "467 3395"),
    ("phone", "Please call me at {}, thanks.", "9472 7916"),
    ("phone", "Tel. {} (day)", "891-3818 x 201"),
    ("phone", "{}-Office\\,", "(37) 788-063"),
    ("phone", "联系电话：{}。", "64432569"),
    ("phone", "请拨打{}咨询", "8653 2210"),
    ("phone", "手机号码是{}", "5512 3409"),
]


@pytest.mark.parametrize(("kind", "sentence", "datum"), TOLD)
def test_what_stands_beside_a_number_tells_what_it_is(kind, sentence, datum):
    assert kinds_in(sentence.format(datum)) == [(kind, datum)]
    bare = ["The total is {} in all.", "共计{}件。", "see answer/{}", "在 {} 中"]
    for other in bare:
        assert kinds_in(other.format(datum)) == []


@pytest.mark.parametrize(
    "text",
    [
        "call   8048534 <printf>",  # an address of code
        "147 040 157 156 040 114 151",
        "combinations: 012 013 023 123",
        "phone support from 2010 2015 on",
        "'+3.140000; -3.140000'",
        "the office sold 1,250,000 phones",
    ],
)
def test_numbers_that_only_look_like_telephones_are_left(text):
    assert kinds_in(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "We went from version 10.2.3.4 to 10.2.4.0.",
        "It is in section 1.2.3.4 of the manual, see also Sections 2.1.1.1, 2.1.1.2 and 3.1.1.1.",
        "Upgrade Postgres to 10.2.4.0 or v10.2.4.1 (release: 10.2.4.2), never 10.2.4.3-beta.",
        "§1.2.3.4, clause 4.1.2.2, Fig. 1.1.1.2, table 3.2.1.1 and the 10.1.1.1 release",
        "见第1.2.3.4节、版本10.2.3.4至10.2.4.0，请升级到 10.2.4.5 版本。",
        "Siehe Abschnitt 1.2.3.4; versión 2.3.4.5; версия 10.2.3.4",
        "Order 13812345678 was shipped, invoice no. 400-123-4567, part number 4111111111111111.",
        "Item 800-123-4567 and article 212-555-1234, tracking number: 123-45-6789",
        "ISBN 978-3-16-148410-0, ISBN 9783161484100, ISSN 0378-5955, EAN 4006381333931",
        "订单号13812345678，货号：13912345678，商品编号：6222021234567890128",
        "It cost 13800138000 USD, or ¥13800138000, 共计13800138000元",
        "sha 4111111111111111, DOI 10.1000/182, patent 6281999, 2026-01-02 at 10:20:30",
    ],
)
def test_what_is_called_something_else_is_left(text):
    assert kinds_in(text) == []


@pytest.mark.parametrize(
    ("text", "datum"),
    [
        ("The server at {} runs version 2.", "203.0.113.95"),
        ("Version 2 of the page came from {}.", "203.0.113.95"),
        ("We updated the DNS record to {} today.", "10.2.4.7"),
        ("新版本的服务器地址为{}。", "203.0.113.95"),
        ("The order was placed by phone from {}.", "(202) 555-0171"),
        ("To order: {}", "(202) 555-0171"),
        ("订单有问题请拨打{}", "13800138000"),
        ("Her card is {}, the order came later.", "4111 1111 1111 1111"),
    ],
)
def test_real_data_near_such_words_are_found(text, datum):
    assert [found for _, found in kinds_in(text.format(datum))] == [datum]


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
@settings(max_examples=200)
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


@pytest.mark.parametrize("options", [{"action": "hide"}, {"kinds": ("emial",)}])
def test_config_that_cannot_be_used_is_refused(options):
    with pytest.raises(ConfigError, match=r"clean\.pii"):
        PiiConfig(**options)


def overlaps(found, row, span):
    """Kinds found in document `row` that share a character with `span`."""
    return [k for m, k, a, b in found if m == row and a < span["end"] and b > span["start"]]


def test_injected_data_are_found_and_decoys_left(shared_lines):
    truth = [json.loads(line) for line in shared_lines("dirty.truth.jsonl.gz")[1:] if line]
    lines = shared_lines("dirty.jsonl.gz")
    rows = [row for row in truth if row["kind"] in ("pii", "pii_decoy")]
    texts = pl.Series([json.loads(lines[row["line"] - 1])["text"] for row in rows])
    found = find_pii(texts, PII).rows()

    missed = [
        (n, span)
        for n, row in enumerate(rows)
        for span in row.get("spans", [])
        if not any(n == m and a <= span["start"] and b >= span["end"] for m, _, a, b in found)
        and not overlaps(found, n, span)
    ]
    wrong = [
        hit
        for hit in found
        if not any(hit[2] < s["end"] and hit[3] > s["start"] for s in rows[hit[0]].get("spans", []))
    ]
    assert sum(len(row.get("spans", [])) for row in rows) > 300
    assert len(missed) <= 1
    assert wrong == []


# Presidio's type -> our kinds, least recall and precision.
RATES = {
    "EMAIL_ADDRESS": ({"email"}, 1.0, 1.0),
    "CREDIT_CARD": ({"bank_card"}, 0.98, 1.0),
    "IBAN_CODE": ({"iban"}, 1.0, 1.0),
    "US_SSN": ({"social_security"}, 1.0, 1.0),
    "IP_ADDRESS": ({"ipv4", "ipv6"}, 1.0, 1.0),
    "PHONE_NUMBER": ({"phone"}, 0.95, 0.95),
}


def test_recall_and_precision_on_synthetic_english(shared_lines):
    rows = [json.loads(line) for line in shared_lines("pii_presidio.jsonl.gz") if line]
    found = find_pii(pl.Series([row["text"] for row in rows]), PII).rows()
    spans = [(n, span) for n, row in enumerate(rows) for span in row["spans"]]
    for kind, (ours, recall, precision) in RATES.items():
        mine = [(n, span) for n, span in spans if span["type"] == kind]
        hits = sum(bool(ours & {*overlaps(found, n, span)}) for n, span in mine)
        claimed = [hit for hit in found if hit[1] in ours]
        right = sum(
            any(n == m and a < s["end"] and b > s["start"] for n, s in mine)
            for m, _, a, b in claimed
        )
        assert hits >= recall * len(mine), kind
        assert right >= precision * len(claimed), kind
    assert {kind for _, kind, _, _ in found} <= set().union(
        *(ours for ours, _, _ in RATES.values())
    )
