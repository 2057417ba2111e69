"""Text files of many documents, and files too long to be one."""

import gzip
import random

import pytest

from pipeline.reading.text_pieces import pieces, separated
from tests.pipeline.ingesting import TEXTS, documents, ingested

ENGLISH = "The miller weighed the sacks. He wrote the sum down! Was it right? "
KINDS = {
    "blank lines": "\n\n".join(TEXTS * 9),
    "windows lines": "\r\n".join(TEXTS * 9),
    "sentences": "".join(TEXTS * 9),
    "english": ENGLISH * 300,
    "words": ENGLISH.replace(".", "").replace("!", "").replace("?", "") * 300,
    "neither": "磨坊" * 9000,
    "letters": "a" * 30_000,
    "emoji": "👩‍🌾" * 3000,
}
ENDS = {
    "blank lines": ("\n\n",),
    "windows lines": ("\r\n",),
    "sentences": ("。", "！", "？", "”", "…"),
    "english": (". ", "! ", "? "),
    "words": (" ",),
}


def in_chunks(text: str, size: int) -> list[bytes]:
    data = text.encode()
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_joined_give_the_text_and_end_where_something_ends(kind):
    text = KINDS[kind]
    found = list(pieces(in_chunks(text, 777), 5000))
    assert "".join(found) == text
    assert all(len(piece.encode()) <= 5000 for piece in found)
    assert all(len(piece.encode()) > 2000 for piece in found[:-1])
    assert all(piece.endswith(ENDS.get(kind, "")) for piece in found[:-1])


def test_pieces_depend_on_what_stands_before_them_alone():
    text = KINDS["sentences"]
    found = list(pieces(in_chunks(text, 999), 3000))
    grown = list(pieces(in_chunks(text + "又一天过去了。" * 900, 10_000), 3000))
    assert grown[: len(found) - 1] == found[:-1]


@pytest.mark.parametrize("size", [1, 3, 64, 100_000])
@pytest.mark.parametrize("separator", ["\n", "\n\n", "<|endoftext|>", "。", "-+[x]"])
def test_documents_between_separators(separator, size):
    dice = random.Random(1)
    texts = [text.rstrip("。") for text in TEXTS if "\n" not in text and separator not in text]
    ends = "\n" if "\n" not in separator else ""
    content = separator + "".join(f"{t}{ends * dice.randint(0, 2)}{separator}" for t in texts)
    assert list(separated(in_chunks(content, size), separator, 1 << 20)) == texts
    windows = content.replace("\n", "\r\n")
    assert list(separated(in_chunks(windows, size), separator, 1 << 20)) == texts


@pytest.mark.parametrize("packing", [bytes, gzip.compress])
def test_a_separator_makes_a_document_of_each_line(tmp_path, packing):
    (tmp_path / "in").mkdir()
    content = "\n".join([TEXTS[0], "", TEXTS[1], TEXTS[0], ""]).encode("gb18030")
    (tmp_path / "in" / "a.txt").write_bytes(packing(content))
    made = ingested(tmp_path / "in", tmp_path / "out", separator=r"\n")
    found = documents(made)
    assert found["text"].to_list() == [TEXTS[0], TEXTS[1], TEXTS[0]]
    assert found["position"].to_list() == [0, 1, 2]
    assert found["id"].n_unique() == 3


def test_a_text_file_over_the_limit_is_read_in_pieces(tmp_path):
    (tmp_path / "in").mkdir()
    text = KINDS["blank lines"]
    (tmp_path / "in" / "a.txt").write_text(text)
    made = ingested(tmp_path / "in", tmp_path / "out", record_bytes_max=4096)
    found = documents(made)
    assert "".join(found["text"]) == text
    assert found["id"].n_unique() == made.rows > 5
    assert not made.ledger.quarantined
    (tmp_path / "in" / "a.txt").write_text(text + text)
    grown = documents(ingested(tmp_path / "in", tmp_path / "out2", record_bytes_max=4096))
    assert grown["id"].to_list()[: made.rows - 1] == found["id"].to_list()[:-1]


def test_a_document_between_separators_that_is_too_long_comes_in_pieces():
    text = KINDS["sentences"]
    found = list(separated(in_chunks(f"{text}|end|short", 999), "|end|", 4000))
    assert "".join(found[:-1]) == text
    assert found[-1] == "short"
