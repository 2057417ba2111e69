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
DOCUMENTS = [
    "README.md",
    *(f"{p}/README.md" for p in ("flows", "pipeline", "model", "expectations")),
]


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


@pytest.mark.parametrize("block", blocks("README.md"), ids=lambda block: block.split("\n")[0])
def test_the_commands_of_the_readme_work(folder, block):
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
    for document in DOCUMENTS:
        text = (ROOT / document).read_text("utf-8")
        assert set(re.findall(r"textmill/(\w+)", text)) <= known


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_and_pictures_that_documents_name_exist(document):
    text = (ROOT / document).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / document).parent / target).exists(), target
    for name in re.findall(r"`((?:pipeline|model|flows|expectations|tests)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), name
