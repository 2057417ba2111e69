"""What the documents name, their size and their form; `tests/e2e` runs their commands."""

import re
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
LINES_MAX, WIDTH_MAX = 150, 119
DATE = re.compile(r"^## (20\d\d-\d\d(?:-\d\d)?)$", re.MULTILINE)


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
    """A fence without a language hides its commands from `tests/e2e/test_readme_commands.py`."""
    for document in READMES:
        text = (ROOT / document).read_text("utf-8")
        for fenced in re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            assert not re.search(r"^(textmill|make|prefect) ", fenced, re.MULTILINE), document
