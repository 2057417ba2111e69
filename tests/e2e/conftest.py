"""Run the installed command as a user does, in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@pytest.fixture(scope="session")
def textmill():
    """Run `textmill ARGUMENTS` in a folder and return exit code and output."""

    def run(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def smoke_store(textmill, tmp_path_factory) -> Path:
    """A folder whose `store` holds one undisturbed run of the smoke recipe."""
    folder = tmp_path_factory.mktemp("smoke")
    ran = textmill("run", "smoke", "--json", "--workers", "2", cwd=folder)
    assert ran.code == 0, ran.stderr
    (folder / "result.json").write_text(ran.stdout)
    return folder
