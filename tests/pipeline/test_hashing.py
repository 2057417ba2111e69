"""Hashes that split and seed: the values are part of every artifact, so they stay."""

import pyarrow as pa
import pytest

from pipeline.hashing import hash64, id_hashes


@pytest.mark.parametrize(
    ("text", "bits"),
    [("", 0xB4B2797457A0A6E4), ("0/7/3", 0xF2A351338675200F), ("文档", 0x5CE8C270B45CA72D)],
)
def test_a_text_has_its_64_bits(text, bits):
    assert hash64(text) == bits


def test_ids_are_hashed_apart_by_salt():
    ids = pa.array(["a", "b"])
    assert id_hashes(ids, "split").tolist() == [14980695705599442960, 10852483969001655870]
    assert id_hashes(ids, "sample").tolist() != id_hashes(ids, "split").tolist()
    assert id_hashes(pa.array([], pa.string()), "split").tolist() == []
