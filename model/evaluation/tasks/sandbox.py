"""Runs code that a model wrote, and checks it from outside: two processes, limits, no network.

The answer runs in one process, the checks in another (`sandbox_child.py`); between them go plain
values alone: arguments one way, results the other. The answer never holds what is wanted of it, and
whatever it does to its own process, it can only return values. Each process has limits on time,
memory and files, no environment, and ends with the run.

Where the kernel allows (Linux 5.12, namespaces of its own) it sees no other process, no network and
no file but Python's library and a small empty folder. On Linux a filter of system calls refuses new
processes, programs and sockets, whoever runs it; elsewhere an audit hook refuses them, which stops
accidents and simple tricks: there, run the whole command in a container.

Functions that take or return objects of their own making cannot be called from outside and fail.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

PASSED, FAILED, TIMED_OUT = "passed", "failed", "timed out"
ROOT = Path(__file__).resolve().parents[3]
# The path to this package is gone again before anything else runs.
START = """import sys
sys.path.insert(0, sys.argv[1])
from model.evaluation.tasks import sandbox_child
del sys.path[0]
sandbox_child.main()
"""
LOADED, PASSED_LINE = b'{"loaded": true}', b'{"passed": true}'
MESSAGE_BYTES_MAX = 4 << 20
ENDED_BY_TIME = (128 + signal.SIGKILL, 128 + signal.SIGXCPU)
GRACE_SECONDS = 5.0  # in which a process that was told to end sweeps up


@dataclass(frozen=True)
class Limits:
    """What a run may use; memory counts address space, of which Python itself takes some 20 MB."""

    seconds: int = 5
    memory_bytes: int = 512 << 20


@dataclass(frozen=True)
class Program:
    """An answer, and the checks that call its function `name` and have to come to their end.

    `prompt` is what the answer goes on from: checks may use the functions in it.
    """

    answer: str
    checks: str
    name: str
    prompt: str = ""


def run(program: Program, limits: Limits | None = None) -> str:
    """Return 'passed' if the checks come to their end with this answer, 'failed' or 'timed out'.

    Leaving early, as with sys.exit, is no end.
    """
    limits = limits or Limits()
    sources = {"checks": program.checks}
    if (begun := _whole(program.prompt)) is not None:
        sources["prompt"] = begun
    if not compiles(program.answer) or not compiles(program.checks):
        return FAILED
    # processor time is limited inside; sleeping is not
    deadline = time.monotonic() + 2 * limits.seconds
    answer = _task("answer", {"answer": program.answer}, program.name, limits)
    with (
        _Child(answer, deadline) as answering,
        _Child(_task("checks", sources, program.name, limits), deadline) as checking,
    ):
        try:
            return _between(answering, checking)
        except TimeoutError:
            return TIMED_OUT


def compiles(code: str) -> bool:
    """Tell whether code is Python at all; nothing of it is run."""
    try:
        compile(code, "<answer>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _whole(prompt: str) -> str | None:
    """Return a prompt that ends in a function's head as a program, None if it cannot be one."""
    tries = (prompt, prompt + "    pass\n", prompt + "\n    pass\n")
    return next((attempt for attempt in tries if prompt and compiles(attempt)), None)


def _task(role: str, code: dict[str, str], name: str, limits: Limits) -> dict[str, Any]:
    bounds = {"seconds": limits.seconds, "bytes": limits.memory_bytes}
    return {"role": role, "code": code, "name": name, **bounds}


def _between(answering: "_Child", checking: "_Child") -> str:
    """Carry calls to the answer and results to the checks until these end."""
    loaded = answering.receive()
    if loaded != LOADED:
        return answering.why_ended() if loaded is None else FAILED
    while (message := checking.receive()) is not None:
        if message == PASSED_LINE:
            return PASSED
        answering.send(message)
        if (reply := answering.receive()) is None:
            return answering.why_ended()
        checking.send(reply)
    return checking.why_ended()


class _Child:
    """One process of the sandbox; a context manager that leaves nothing of it behind."""

    def __init__(self, task: dict[str, Any], deadline: float):
        self._task, self._deadline = task, deadline
        self._inner: int | None = None
        self._held = b""

    def __enter__(self) -> "_Child":
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", START, str(ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder.name,
            env={},
            start_new_session=True,
        )
        try:
            self.send(json.dumps({**self._task, "folder": self._folder.name}).encode())
            self._inner = json.loads(self.receive() or b"{}").get("pid")
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._inner is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._inner, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._inner, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]  # both are pipes
        self._folder.cleanup()

    def send(self, line: bytes) -> None:
        """Send one line; an end on the other side is found when an answer is read."""
        assert self._process.stdin is not None
        number, left = self._process.stdin.fileno(), line + b"\n"
        os.set_blocking(number, False)
        with contextlib.suppress(BrokenPipeError):
            while left:
                self._wait(number, selectors.EVENT_WRITE)
                left = left[os.write(number, left) :]

    def receive(self) -> bytes | None:
        """Return the next line, None at the end or past the size; raise TimeoutError when late."""
        assert self._process.stdout is not None
        number = self._process.stdout.fileno()
        while b"\n" not in self._held:
            self._wait(number, selectors.EVENT_READ)
            data = os.read(number, 1 << 16)
            if not data or len(self._held) + len(data) > MESSAGE_BYTES_MAX:
                return None
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        return line

    def _wait(self, number: int, event: int) -> None:
        """Wait until a pipe can be used; raise TimeoutError if that is too late."""
        with selectors.DefaultSelector() as selector:
            selector.register(number, event)
            left = self._deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise TimeoutError

    def why_ended(self) -> str:
        """Return what the process that ended without a word came to."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(max(0.0, self._deadline - time.monotonic()))
            return TIMED_OUT if code in ENDED_BY_TIME else FAILED
        return TIMED_OUT
