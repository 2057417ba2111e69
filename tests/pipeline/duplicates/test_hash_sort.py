"""Distinct hashes come out in order, whether spread evenly, repeated or crowded together."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.duplicates.hash_sort import distinct_sorted

CROWDED = st.one_of(st.integers(0, 5), st.integers(0, 2**64 - 1), st.integers(2**64 - 9, 2**64 - 1))


@given(arrays.arrays(np.uint64, st.integers(0, 200), elements=CROWDED))
@settings(max_examples=300)
def test_any_values_come_out_once_and_in_order(values):
    assert distinct_sorted(values).tolist() == np.unique(values).tolist()


def test_many_values_spread_evenly_among_many_copies_of_one():
    values = np.random.Generator(np.random.PCG64(1)).integers(0, 2**64, 50_000, dtype=np.uint64)
    values[::3] = values[0]

    assert distinct_sorted(values).tolist() == np.unique(values).tolist()
