"""One document, a few, or one that holds most of the text: something is held out, nothing twice."""

import pydoc_data.topics
import random
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.engine.local import LocalEngine
from pipeline.errors import SourceError
from pipeline.reading.document_ids import ending_of
from pipeline.shard import STAGE, ShardConfig
from pipeline.splitting import SplitRule, blocks_of, cut, unit_hashes
from pipeline.stage import run_stage
from pipeline.tokenizer import load_tokenizer
from pipeline.tokenizer_training import STAGE as TOKENIZER
from pipeline.tokenizing.config import TokenizerConfig
from tests.pipeline.test_shard import DOCUMENTS, DocumentsConfig, digest

CHINESE = (Path(__file__).parents[1] / "data" / "tokenizer_zh.txt").read_text("utf-8")
ENGLISH = "\n\n".join(text for _, text in sorted(pydoc_data.topics.topics.items())[:12])
ONE_LINE = "床前明月光疑是地上霜" * 400
CORPORA = {
    "one novel": [("novel", ENGLISH, "en")],
    "one Chinese text": [("小说", CHINESE, "zh")],
    "one line": [("line", ONE_LINE, "zh")],
    "no spaces": [("x", "x" * 5000, "und")],
    "two": [("a", ENGLISH, "en"), ("b", CHINESE, "zh")],
    "a few short ones": [(str(n), f"Text number {n} says little.", "en") for n in range(4)],
    "one and many short": [
        ("novel", ENGLISH, "en"),
        *((f"note {n}", f"Note {n} of the reader.", "en") for n in range(40)),
    ],
}


def made(folder, rows, share=0.1, engine=None, salt="split"):
    documents = run_stage(DOCUMENTS, DocumentsConfig(tuple(rows)), [], folder / "in").artifact
    tokenizer = run_stage(TOKENIZER, TokenizerConfig(), [documents], folder / "t").artifact
    config = ShardConfig(validation_share=share, salt=salt)
    return run_stage(STAGE, config, [documents, tokenizer], folder / "s", engine=engine).artifact


@pytest.mark.parametrize("name", CORPORA)
def test_every_character_is_on_one_side_and_both_sides_have_some(tmp_path, name):
    rows = CORPORA[name]
    shards = made(tmp_path, rows)
    own = load_tokenizer(shards.path)
    table = shards.scan().collect()
    for identifier, text, lang in rows:
        of_document = table.filter(
            (table["id"] == identifier) | table["id"].str.starts_with(f"{identifier}#")
        )
        assert "".join(own.decode(tokens) for tokens in of_document["tokens"].to_list()) == text
        assert set(of_document["lang"]) == {lang}
    assert table["id"].n_unique() == table.height
    held_out = table.filter(split="validation")["bytes"].sum() / table["bytes"].sum()
    assert 0 < held_out < 0.5
    assert shards.stats["round_trip_failures"] == 0


def test_a_novel_gives_several_blocks_of_about_the_share_and_the_ledger_says_so(tmp_path):
    shards = made(tmp_path, CORPORA["one novel"])
    table = shards.scan().collect()
    share = table.filter(split="validation")["bytes"].sum() / table["bytes"].sum()
    assert 0.03 < share < 0.25
    assert table.filter(split="validation").height >= 3
    ledger = shards.ledger.to_json()
    assert ledger["in"] == ledger["kept"] == table.height
    assert ledger["changed"] == {"cut_in_blocks": 1}
    split = shards.stats["split"]
    assert (split["by"], split["documents_cut"]) == ("blocks", 1)
    assert split["block_bytes"] <= 4096


def test_a_document_of_most_of_the_text_is_cut_where_it_was_drawn(tmp_path):
    rows = CORPORA["one and many short"]
    drawn = [salt for salt in map(str, range(60))
             if SplitRule(salt, int(0.1 * 2**64)).split(pa.array(["novel"])).to_pylist()
             == ["validation"]]  # fmt: skip
    shards = made(tmp_path, rows, salt=drawn[0])
    assert shards.stats["split"]["documents_cut"] == 1
    assert shards.stats["bytes"]["train"] > shards.stats["bytes"]["validation"]
    assert shards.scan().collect()["id"].str.starts_with("note").sum() == 40


def test_any_number_of_workers_gives_the_same_blocks(tmp_path):
    rows = CORPORA["two"]
    one, two = made(tmp_path / "1", rows), made(tmp_path / "2", rows, engine=LocalEngine(2))
    assert digest(one.path) == digest(two.path)


def test_too_little_text_is_refused_with_what_is_needed(tmp_path):
    rows = [("a", "hello world, this is all there is.", "en")]
    with pytest.raises(SourceError, match=r"34 bytes.*at least 1024"):
        made(tmp_path, rows)
    assert made(tmp_path / "all", rows, share=0).stats["documents"] == {"train": 1, "validation": 0}


def test_blocks_end_with_lines_and_are_the_text():
    drawn = random.Random(1)
    for _ in range(200):
        signs = "".join(drawn.choices("ab 。\n甲乙😀é", k=drawn.randint(0, 3000)))
        rule = SplitRule("s", 1, cut_above=0, block_bytes=drawn.randint(1, 600))
        blocks = blocks_of(signs, rule)
        assert "".join(blocks) == signs
        assert all(blocks) or blocks == [""]
    rule = SplitRule("s", 1, cut_above=0, block_bytes=256)
    assert all(block.endswith("\n") for block in blocks_of("a line of text\n" * 300, rule)[:-1])


def test_other_columns_stay_with_their_document():
    rule = SplitRule("s", 1 << 62, cut_above=600, block_bytes=100)
    table = pa.table(
        {
            "id": ["short", "long"],
            "text": pa.array(["a", "some words here " * 100], pa.large_string()),
            "lang": ["en", "fr"],
        }
    )
    rows, many = cut(table, rule)
    assert many == 1
    assert rows["lang"].to_pylist() == ["en"] + ["fr"] * (rows.num_rows - 1)
    assert rows["id"].to_pylist()[:2] == ["short", "long#0"]
    assert rows.schema.field("text").type == pa.large_string()


def copies(name, count, text, lang="en"):
    endings = ["", *(ending_of(name, place) for place in range(1, count))]
    return [(name + ending, text, lang) for ending in endings]


def test_blocks_of_copies_are_on_one_side(tmp_path):
    table = made(tmp_path, copies("novel", 3, ENGLISH), share=0.3).scan().collect()
    blocks = {
        name: table.filter(table["id"].str.contains(f"^{name}#[0-9]+$"), split="validation")["id"]
        .str.extract("([0-9]+)$")
        .to_list()
        for name, _, _ in copies("novel", 3, ENGLISH)
    }
    numbers = blocks.pop("novel")
    assert numbers
    assert all(of_copy == numbers for of_copy in blocks.values())


@pytest.mark.parametrize("part_bytes", [1 << 20, 1000])
def test_a_document_of_many_copies_is_not_all_that_is_held_out(tmp_path, monkeypatch, part_bytes):
    """Drawn as the one of the lowest hash, its copies would be three quarters of the text."""
    monkeypatch.setattr("pipeline.store.sink.PART_BYTES", part_bytes)
    rows = copies("many", 60, "A notice that is on every page.")
    rows += [(f"note {n}", f"Note {n} of the reader.", "en") for n in range(20)]
    names = pa.array([name for name, _, _ in rows])
    below = int(0.02 * 2**64)  # so few that the lowest of all hashes decides
    salt = next(
        salt
        for salt in map(str, range(2000))
        if (hashes := unit_hashes(names, salt))[0] == hashes.min() > below
    )
    shards = made(tmp_path, rows, share=0.02, salt=salt)
    assert shards.stats["bytes"]["validation"] > 0 < shards.stats["bytes"]["train"]
    table = shards.scan().collect()
    assert table.filter(table["id"].str.starts_with("many"))["split"].n_unique() == 1


def test_copies_of_one_short_text_alone_are_refused(tmp_path):
    with pytest.raises(SourceError, match="too few to train on"):
        made(tmp_path, copies("notice", 30, "A notice that is on every page."))
