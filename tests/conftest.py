"""Fixtures shared by all tests; no Prefect or torch in here, so that unit tests start fast."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """Folder of real text with ground truth; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/data (real text with ground truth)")
    return SHARED_DATA


@pytest.fixture
def corpus_file():
    """Path of a small file of real or written-for-us text in tests/data, by name."""
    return lambda name: Path(__file__).parent / "data" / name
