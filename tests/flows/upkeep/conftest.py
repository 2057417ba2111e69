"""A store with a short history, made once: five runs, of which the last two teach nothing."""

import pytest

from flows import cli
from tests import small_world


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The folder of sources, recipe and store of five runs on a growing corpus."""
    folder = tmp_path_factory.mktemp("world")
    small_world.begin(folder)
    texts = small_world.english()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for month in range(5):
            small_world.write(folder / "texts" / f"{month}.jsonl", texts[month * 50 :][:50])
            worse = small_world.WORSE if month > 2 else ()
            assert cli.main(["run", "world.toml", *small_world.SMALL, *worse]) == 0
    return folder
