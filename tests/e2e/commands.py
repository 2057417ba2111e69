"""Commands of `textmill`, one after the other in one process: what a command loads, loads once.

As a program it reads a JSON list of arguments a line and answers with `[exit code, stdout, stderr]`
a line; `Commands` is the other end.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import ROOT, Ran


class Commands:
    """A process that runs commands in a folder, with one thread, until the block ends."""

    def __init__(self, folder: Path):
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Commands":
        return self

    def __exit__(self, *_) -> None:
        self._process.communicate()

    def __call__(self, *arguments: str) -> Ran:
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        return Ran(*json.loads(self._process.stdout.readline()))


def main() -> None:
    """Run each line of stdin as a command."""
    from flows import cli

    answers = sys.stdout
    for line in sys.stdin:
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                code = cli.main(json.loads(line))
            except SystemExit as stop:
                code = stop.code
        print(json.dumps([code, out.getvalue(), errors.getvalue()]), file=answers, flush=True)


if __name__ == "__main__":
    main()
