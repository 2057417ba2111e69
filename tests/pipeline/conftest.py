"""Fixtures of the tests of deduplication: make a clean artifact of texts, deduplicate some."""

import pytest

from pipeline.dedup import STAGE, DedupConfig
from pipeline.stage import run_stage
from tests.pipeline.corpora import GIVEN, Given


@pytest.fixture
def clean(tmp_path):
    """Make a clean artifact of parts of (id, text) or (id, text, lang)."""

    def make(*parts):
        given = Given(tuple(tuple(part) for part in parts))
        return run_stage(
            GIVEN, given, [], tmp_path / f"clean{len(list(tmp_path.iterdir()))}"
        ).artifact

    return make


@pytest.fixture
def deduped(tmp_path):
    """Deduplicate artifacts as one corpus."""

    def run(*parents, config=DedupConfig(), previous=None, **options):  # noqa: B008 - frozen
        folder = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        return run_stage(STAGE.going_on_from(previous), config, parents, folder, **options).artifact

    return run
