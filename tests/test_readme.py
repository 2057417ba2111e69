"""The commands of the README, run as they stand, and what the documents name."""

import os
import pydoc_data.topics
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("flows", "pipeline", "model", "expectations")


def pages(name: str) -> list[str]:
    """Return the paths of all pages of this name, those of rooms too."""
    found = [page for package in PACKAGES for page in (ROOT / package).rglob(name)]
    return sorted(str(page.relative_to(ROOT)) for page in found)


READMES = ["README.md", *pages("README.md")]
LOGS = pages("LOG.md")
WITH_SERVERS = {"flows/README.md"}  # tests/e2e/test_up.py runs its commands beside `textmill up`
LINES_MAX, WIDTH_MAX = 150, 119
DATE = re.compile(r"^## (20\d\d-\d\d(?:-\d\d)?)$", re.MULTILINE)


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


def test_deployments_that_documents_name_exist():
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))["deployments"]
    known = {deployment["name"] for deployment in deployments}
    for document in READMES:
        text = (ROOT / document).read_text("utf-8")
        assert set(re.findall(r"textmill/(\w+)", text)) <= known


@pytest.mark.parametrize("document", READMES)
def test_files_and_pictures_that_documents_name_exist(document):
    text = (ROOT / document).read_text("utf-8")
    named = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(
        r"^\[\w+\]: (\S+)$", text, re.MULTILINE
    )
    for target in named:
        assert ((ROOT / document).parent / target).exists(), target
    for name in re.findall(r"`((?:pipeline|model|flows|expectations|tests)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", READMES)
def test_a_page_is_a_page(document):
    lines = (ROOT / document).read_text("utf-8").splitlines()
    assert len(lines) < LINES_MAX
    assert not [line for line in lines if len(line) > WIDTH_MAX]


@pytest.mark.parametrize("log", LOGS)
def test_a_log_is_dated_newest_first(log):
    text = (ROOT / log).read_text("utf-8")
    dates = DATE.findall(text)
    assert dates
    assert dates == sorted(dates, reverse=True)
    assert not [line for line in text.splitlines() if len(line) > WIDTH_MAX]


def test_commands_are_blocks_that_a_test_runs():
    """A fence without a language would hide its commands from the test above."""
    for document in READMES:
        text = (ROOT / document).read_text("utf-8")
        for fenced in re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            assert not re.search(r"^(textmill|make|prefect) ", fenced, re.MULTILINE), document
