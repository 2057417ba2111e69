"""Tombstones: what they find again, how surely, and what their list gives away."""

import numpy as np
import pytest

from pipeline.forgetting.matching import NEAR, Looked, Matcher, text_tombstone, tombstone_of
from pipeline.store.tombstones import (
    Tombstones,
    add_tombstones,
    list_beside,
    list_of,
    read_tombstones,
)
from tests.small_world import chinese, english


def matcher(*documents: Looked) -> Matcher:
    return Matcher(Tombstones.of(tombstone_of(document) for document in documents))


def fits(found: Matcher, document: Looked) -> str | None:
    (match,) = found.matches([document])
    return match and match.by


@pytest.mark.parametrize("text", [english()[5], chinese()[0]], ids=["en", "zh"])
def test_a_document_is_found_by_id_address_file_and_folded_text(text):
    stone = tombstone_of(Looked("given", text, "https://example.org/a?utm_source=x"))
    found = Matcher(Tombstones.of([stone, {"file": "f" * 64}]))
    other = english()[9]
    assert fits(found, Looked("given", other)) == "id"
    assert fits(found, Looked("x", other, "http://www.example.org/a/")) == "address"
    assert fits(found, Looked("x", other, None, "f" * 64)) == "file"
    assert fits(found, Looked("x", text.upper().replace(" ", "\u00a0 "))) == "text"
    assert fits(found, Looked("x", other, "http://example.org/b", "e" * 64)) is None


def shingles(text: str) -> set:
    words = text.split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def altered(words: list[str], similarity: float, drawn: np.random.Generator) -> list[str]:
    """Replace words, apart from each other, until the shingles are about so similar."""
    lost = round(len(words) * (1 - similarity) / (1 + similarity))
    places = drawn.permutation(len(words) // 6)[: max(1, round(lost / 5))] * 6 + 3
    return [f"other{at}" if at in places else word for at, word in enumerate(words)]


def near_rates(similarity: float, tries: int = 150) -> tuple[float, float]:
    """Return the mean real similarity of altered texts and how many are taken for near copies."""
    drawn = np.random.Generator(np.random.PCG64(int(similarity * 100)))
    hits, real = 0, []
    for number in range(tries):
        words = [f"w{n}" for n in drawn.integers(0, 50_000, 900)]
        copy = altered(words, similarity, drawn)
        own, other = shingles(" ".join(words)), shingles(" ".join(copy))
        real.append(len(own & other) / len(own | other))
        found = matcher(Looked(f"{number}", " ".join(words)))
        hits += fits(found, Looked("copy", " ".join(copy))) == NEAR
    return float(np.mean(real)), hits / tries


def test_near_copies_are_found_as_the_bound_says():
    for similarity, least, most in ((0.9, 1.0, 1.0), (0.8, 0.97, 1.0), (0.65, 0.0, 0.02)):
        real, rate = near_rates(similarity)
        assert real == pytest.approx(similarity, abs=0.02)
        assert least <= rate <= most, (similarity, rate)


def test_texts_that_are_not_alike_are_left_alone():
    texts = english()[:200]
    found = matcher(*(Looked(str(n), text) for n, text in enumerate(texts[:20])))
    matches = found.matches([Looked(f"other-{n}", text) for n, text in enumerate(texts[20:])])
    assert [match for match in matches if match] == []


def test_the_list_holds_hashes_alone(tmp_path):
    text = english()[5]
    stones = [tombstone_of(Looked("a-name", text, "http://e.org/x")), text_tombstone(text)]
    add_tombstones(tmp_path / "store", tmp_path / "beside.json", Tombstones.of(stones))
    stored = list_of(tmp_path / "store").read_text()
    assert "a-name" not in stored
    assert "e.org" not in stored
    assert not any(word in stored for word in text.split() if len(word) > 6)


def test_either_list_completes_the_other(tmp_path):
    store = tmp_path / "store"
    beside = list_beside(store)
    one, two = (Tombstones.of([text_tombstone(text)]) for text in english()[:2])
    add_tombstones(store, beside, one)
    before = list_of(store).read_bytes()
    add_tombstones(store, beside, two)
    list_of(store).write_bytes(before)  # a restored store
    assert read_tombstones(store, beside) == one | two
    beside.unlink()
    assert read_tombstones(store, beside) == one | two
    assert beside.read_bytes() == list_of(store).read_bytes()
