"""Sorted hashes equal numpy's, however they are spread."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.duplicates.hash_sort import sorted_hashes


@given(arrays.arrays(np.uint64, st.integers(0, 200)))
def test_any_values_come_out_sorted(values):
    assert (sorted_hashes(values) == np.sort(values)).all()


def test_hashes_copies_and_small_numbers_come_out_sorted():
    drawn = np.random.default_rng(3).integers(0, 1 << 64, 50_000, dtype=np.uint64)
    for values in (drawn, np.repeat(drawn[:5], 1000), drawn % np.uint64(1000), drawn[:1]):
        assert (sorted_hashes(values) == np.sort(values)).all()
