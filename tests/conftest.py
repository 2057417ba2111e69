"""Fixtures shared by all tests; no Prefect or torch in here, so that unit tests start fast."""

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import settings

from model.openmp import spin_briefly

spin_briefly()  # as every command does, before a test imports torch
# the same examples each time: a run on one's own machine finds what a server would
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_texts(name: str, first: int | None = None) -> Iterator[str]:
    """Yield the texts of a file of the shared data (all, or the first ones) that UTF-8 can hold."""
    with gzip.open(SHARED_DATA / f"{name}.jsonl.gz") as lines:
        for line in islice(lines, first):
            try:
                text = json.loads(line)["text"]
                text.encode()
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue  # the dirty set has lines that hold no text
            yield text


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real text with ground truth; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/data (real text with ground truth)")
    return SHARED_DATA


@pytest.fixture
def corpus_file():
    """Path of a small file of real or written-for-us text in tests/data, by name."""
    return lambda name: Path(__file__).parent / "data" / name


@pytest.fixture
def shared_lines(shared_data):
    """Read a packed file of the shared data as a list of lines (bytes)."""
    return lambda name: gzip.decompress((shared_data / name).read_bytes()).split(b"\n")
