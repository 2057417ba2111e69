"""Fixtures shared by all tests; no Prefect or torch in here, so that unit tests start fast."""

import gzip
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


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
