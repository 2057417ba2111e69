"""The commands of all pages, run as they stand, one page after the other in one reader's folder."""

import os
import pydoc_data.topics
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_readme import READMES, ROOT

WITH_SERVERS = {"flows/README.md"}  # tests/e2e/test_up.py runs its commands beside `textmill up`


def blocks(document: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", (ROOT / document).read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as a reader has it: an environment to activate and texts of their own."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / ".venv").symlink_to(sys.prefix)
    texts = folder / "my-texts"
    texts.mkdir()
    for name, text in sorted(pydoc_data.topics.topics.items()):
        (texts / f"{name}.txt").write_text(text, "utf-8")
    return folder


COMMANDS = [
    pytest.param(block, id=f"{page.removesuffix('/README.md')}: {block.split(chr(10))[0]}")
    for page in READMES
    if page not in WITH_SERVERS
    for block in blocks(page)
]


@pytest.mark.parametrize("block", COMMANDS)
def test_the_commands_of_the_pages_work(folder, block):
    if block.startswith("make"):
        for line in block.splitlines():
            subprocess.run([*line.split(), "-n"], cwd=ROOT, check=True, capture_output=True)
        return
    environment = {**os.environ, "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euc", block], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
