"""Lists of the user: what they drop, what was found, and that only their content counts."""

import gzip
import json
import re

import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import config as recipes
from flows.config import Recipe
from pipeline.clean import CleanConfig
from pipeline.cleaning.checks import check
from pipeline.cleaning.decontamination import contamination
from pipeline.cleaning.lists import (
    ListsConfig,
    blocked_address,
    blocked_terms,
    refused_license,
)
from pipeline.cleaning.pii import PII_SPANS
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile
from pipeline.store.fingerprint import plain

ITEM_EN = (
    "A farmer has seventeen baskets of apples and sells nine of them at the market on Monday; "
    "how many baskets does he carry home in the evening if he buys two more on the way?"
)
ITEM_ZH = (
    "一个农夫有十七筐苹果，星期一他在集市上卖掉了九筐，回家的路上又买了两筐，"
    "请问他晚上带回家多少筐苹果？"
)


CUT = gzip.compress(b'{"text": "a"}\n' * 99, mtime=0)[:-20]
WORDS = pl.Series([100, 1])  # of the two documents


@pytest.fixture
def listed(tmp_path):
    def make(text: str, name: str = "list.txt") -> InputFile:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return InputFile(str(path))

    return make


def test_terms_are_whole_words_in_english_and_parts_of_text_in_chinese(listed):
    words = listed("# a comment\nass\nbad phrase\n赌博\n")
    texts = pl.Series(
        ["The class passed.", "An ASS, a bad  phrase, a bad phrase", "在线赌博网站", "好"]
    )

    found = blocked_terms(texts, (words,))
    assert found["value"].to_list() == [0, 2, 1, 0]
    assert found["detail"].to_list() == [None, "ASS", "赌博", None]


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://spam.example/a", "spam.example"),
        ("http://www.SPAM.example:8080/x?y#z", "spam.example"),
        ("https://notspam.example/", None),
        ("https://good.example/casino-bonus", "casino"),
        ("https://good.example/casinos", None),
        ("not an address", None),
        (None, None),
    ],
)
def test_hosts_match_by_label_and_words_between_other_letters(listed, url, entry):
    hosts, words = listed("spam.example", "h.txt"), listed("casino", "w.txt")
    config = ListsConfig(blocked_hosts=(hosts,), blocked_address_words=(words,))

    found = blocked_address(pl.Series([url], dtype=pl.String), config)
    assert found.row(0) == (float(entry is not None), entry)


@pytest.mark.parametrize(
    ("license", "refused"),
    [
        ("MIT", False),
        ("mit OR GPL-3.0", False),
        ("MIT AND GPL-3.0", True),
        ("CC-BY-NC-4.0", True),
        ("(Apache-2.0 WITH LLVM-exception)", False),
        ("proprietary", True),
        (None, True),
    ],
)
def test_licences_are_judged_as_expressions(license, refused):
    config = ListsConfig(
        allowed_licenses=("MIT", "Apache-*", "CC-BY-*"),
        refused_licenses=("*-NC-*",),
        missing_license="drop",
    )

    assert refused_license(pl.Series([license], dtype=pl.String), config)["value"][0] == refused


def noisy(text: str) -> str:
    return text.upper().replace("，", " ， ").replace(" ", "  \n").replace(";", " -- ")


@given(
    st.text(alphabet="abc def 的一是 \n.,，。", max_size=200),
    st.text(alphabet="xyz uvw 不了人 \n.,，。", max_size=200),
    st.sampled_from([ITEM_EN, ITEM_ZH]),
    st.booleans(),
)
@settings(max_examples=80)
def test_an_item_is_found_wherever_it_was_pasted(tmp_path_factory, before, after, item, changed):
    path = tmp_path_factory.mktemp("items") / "items.jsonl"
    records = [{"id": "one", "question": "What is that?"}, {"id": "two", "question": item}]
    path.write_text("\n".join(json.dumps(r) for r in records), encoding="utf-8")
    pasted = f"{before} {noisy(item) if changed else item} {after}"
    texts = pl.Series([pasted, f"{before} {after}"])

    found = contamination(texts, (InputFile(str(path)),), 13)
    assert found["value"][0] > 15
    assert found["partner"].to_list() == ["two", None]
    assert found["detail"][0] in pasted
    assert found["value"][1] == 0


def test_shared_phrases_are_no_contamination(listed):
    items = listed(f"{ITEM_EN}\n\n{ITEM_ZH}")
    half_en, half_zh = " ".join(ITEM_EN.split()[:12]), ITEM_ZH[:19]

    found = contamination(pl.Series([half_en, half_zh, ""]), (items,), 13)
    assert found["value"].to_list() == [0, 0, 0]


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz", "e.json", "e.ndjson.zst", "e.txt.gz"])
def test_items_are_read_packed_or_not(name, tmp_path):
    record = json.dumps({"id": "one", "text": ITEM_ZH}, ensure_ascii=False)
    content = (ITEM_ZH if name.startswith("e.txt") else record).encode()
    if name.endswith(".gz"):
        content = gzip.compress(content)
    if name.endswith(".zst"):
        content = zstandard.compress(content)
    (tmp_path / name).write_bytes(content)
    items = (InputFile(str(tmp_path / name)),)
    found = contamination(pl.Series([f"前{ITEM_ZH}后", "别的"]), items, 13)
    assert found["value"].to_list() == [len([c for c in ITEM_ZH if c.isalpha()]), 0]
    assert found["partner"][0] == (f"{name}:1" if name.startswith("e.txt") else "one")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("e.xlsx", b"PK", r"e.xlsx: found '.xlsx', wanted .jsonl.*\.txt"),
        ("e.parquet", b"PAR1", "e.parquet: .*whole file"),
        ("e.jsonl", b'{"text": "a"}\n{"text": \n', "e.jsonl: .*correct it or leave it out"),
        ("e.jsonl.gz", CUT, "e.jsonl.gz: .*whole file"),
        ("e.json", b"[1", "e.json: .*leave it out"),
    ],
    ids=["form", "table", "line", "cut", "json"],
)
def test_items_that_cannot_be_read_stop_the_run(name, content, told, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        contamination(pl.Series(["text"]), (InputFile(str(tmp_path / name)),), 13)


def test_the_first_thing_found_is_told_and_nothing_without_lists(listed):
    documents = pl.DataFrame(
        {"text": ["赌博 " + ITEM_ZH, "good"], "license": ["MIT", None], "meta": [None, "{}"]},
        schema_overrides={"meta": pl.String},
    )
    lists = ListsConfig(
        blocked_terms=(listed("赌博"),), evaluation_sets=(listed(ITEM_ZH, "e.txt"),)
    )

    found = check(documents, WORDS, lists, PII_SPANS)
    assert found["blocked_terms"].to_list() == [1, 0]
    assert found["contaminated_words"][0] > 20
    assert found["detail"].to_list() == ["赌博", None]
    nothing = check(documents, WORDS, ListsConfig(), PII_SPANS)
    assert nothing.select(pl.exclude("partner", "detail").sum()).row(0) == (0,) * 6


def test_content_counts_in_a_fingerprint_and_not_the_path(listed, tmp_path):
    one, same = listed("spam", ["a", "..", "one.txt"][-1]), tmp_path / "sub"
    same.mkdir()
    (same / "one.txt").write_text("spam", encoding="utf-8")
    configs = [CleanConfig(lists=ListsConfig(blocked_terms=(InputFile(path),)))
               for path in (one.path, str(same / "one.txt"))]  # fmt: skip

    assert plain(configs[0]) == plain(configs[1])
    (same / "one.txt").write_text("other", encoding="utf-8")
    assert plain(configs[0]) != plain(configs[1])
    with pytest.raises(ConfigError, match="no such file"):
        plain(InputFile(str(tmp_path / "nothing.txt")))


def test_paths_start_at_the_recipe_or_where_the_command_was_typed(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text('[[clean.lists.blocked_terms]]\npath = "words.txt"\n')
    monkeypatch.chdir(tmp_path.parent)

    recipe = recipes.load(str(tmp_path / "mine.toml"))
    assert recipe.clean.lists.blocked_terms == (InputFile(str(tmp_path / "words.txt")),)
    typed = recipes.override(Recipe(), ['clean.lists.evaluation_sets=[{path="e.jsonl"}]'])
    assert typed.clean.lists.evaluation_sets == (InputFile(str(tmp_path.parent / "e.jsonl")),)


@pytest.mark.parametrize(
    ("given", "wanted"), [("['f.txt']", "a table, as in {path = "), ("f.txt", "a list")]
)
def test_a_file_given_in_another_form_is_refused_with_the_right_one(given, wanted):
    with pytest.raises(ConfigError, match=f"blocked_terms.*f.txt.*wanted {re.escape(wanted)}"):
        recipes.override(Recipe(), [f"clean.lists.blocked_terms={given}"])


@pytest.mark.parametrize(
    "options", [{"missing_license": "maybe"}, {"evaluation_words": 2}, {"evaluation_words": 99}]
)
def test_config_that_cannot_be_used_is_refused(options):
    with pytest.raises(ConfigError, match=r"clean\.lists"):
        ListsConfig(**options)


def test_evaluation_items_pasted_into_real_text_are_found(shared_data, shared_lines):
    truth = [json.loads(line) for line in shared_lines("dirty.truth.jsonl.gz")[1:] if line]
    lines = shared_lines("dirty.jsonl.gz")
    rows = [row for row in truth if row["kind"] in ("contaminated", "control", "pii", "pii_decoy")]
    texts = pl.Series([json.loads(lines[row["line"] - 1])["text"] for row in rows])
    items = (InputFile(str(shared_data / "dirty.evalset.jsonl")),)

    hit = (contamination(texts, items, 13)["value"] > 0).to_list()
    flagged = [row for row, found in zip(rows, hit, strict=True) if found]
    assert sum(row["kind"] == "contaminated" for row in flagged) == 30
    assert len(flagged) == 30


def test_an_answer_alone_is_no_contamination_unless_there_is_nothing_else(tmp_path):
    answer = "the small town on the left bank of the river in the east of the county"
    chinese = "位于河流左岸的小镇东边的一座古老而又安静的石头房子里面"
    (tmp_path / "asked.jsonl").write_text(
        json.dumps({"id": "a", "question": ITEM_EN, "Answers": [answer, {"text": chinese}]})
    )
    (tmp_path / "bare.jsonl").write_text(json.dumps({"id": "b", "answer": f"{answer} {chinese}"}))
    texts = pl.Series([f"It is {answer}.", f"他住在{chinese}。", ITEM_EN])

    def hits(name):
        return (contamination(texts, (InputFile(str(tmp_path / name)),), 13)["value"] > 0).to_list()

    assert hits("asked.jsonl") == [False, False, True]
    assert hits("bare.jsonl") == [True, True, False]
