"""What runs inside the sandbox: an answer that is called, or checks that call it.

Started as a process with the standard library alone. It shuts itself in and then obeys lines of
JSON on standard input. One process holds a model's answer and knows nothing of the checks; the
other holds the checks and gets from the answer plain values alone, of exact built-in types, so that
no object of the answer's making is ever compared with what is right.
"""

import contextlib
import ctypes
import json
import os
import signal
import struct
import sys
from pathlib import Path
from typing import Any

from model.evaluation.tasks.sandbox_walls import (
    HOME,
    filter_calls,
    limit,
    new_root,
    refusals,
    unshare,
)

INT_BITS_MAX = 1024  # longer integers travel in hexadecimal: JSON's digits are quadratic
DEPTH_MAX = 60


def main() -> None:
    """Fork into namespaces of its own, tell the process to kill, wait, and leave nothing behind."""
    task = json.loads(sys.stdin.buffer.readline())
    shut_in = unshare()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come to us
    wait, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os.read(wait, 1)
        os.close(wait)
        _inside(task, shut_in)
    os.write(1, json.dumps({"pid": pid}).encode() + b"\n")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(go)
    _, status = os.waitpid(pid, 0)
    _sweep()
    os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


def _sweep() -> None:
    """Kill what the run has started and left, until there is nothing."""
    while True:
        children: list[str] = []
        with contextlib.suppress(OSError):
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        for child in children:
            with contextlib.suppress(OSError):
                os.kill(int(child), signal.SIGKILL)
        try:
            os.waitpid(-1, 0 if children else os.WNOHANG)
        except OSError:
            return
        if not children:
            return


def _inside(task: dict[str, Any], shut_in: bool) -> None:
    """Shut this process in, then do what the task says; never returns."""
    os.setsid()
    calls, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    limit(task["seconds"], task["bytes"])
    folder, forks = task["folder"], True
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: nobody looks into our memory
        if shut_in and new_root(libc):
            folder = HOME
        header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
        libc.capset(header, none)
        forks = not filter_calls(libc)
    os.chdir(folder)
    channel = Channel(calls, replies)
    role = {"answer": _answer, "checks": _checks}[task["role"]]
    compiled = {name: compile(text, f"<{name}>", "exec") for name, text in task["code"].items()}
    home = os.path.realpath(folder)
    sys.addaudithook(refusals(home, forks=forks, sees=folder != HOME))
    try:
        role(channel, compiled, task["name"])
    except BaseException:
        os._exit(1)
    os._exit(0)


class Channel:
    """Lines of JSON to and from the process outside."""

    def __init__(self, calls: int, replies: int):
        self._read, self._write = os.fdopen(calls, "rb"), os.fdopen(replies, "wb")

    def ask(self, message: Any) -> Any:
        """Send a message and return what comes back; the end of input ends this process."""
        self.send(message)
        return self.receive()

    def send(self, message: Any) -> None:
        """Send a message."""
        self._write.write(json.dumps(message).encode() + b"\n")
        self._write.flush()

    def receive(self) -> Any:
        """Return the next message."""
        line = self._read.readline()
        if not line:
            os._exit(1)
        return json.loads(line)


def pack(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON; raise TypeError for what is no plain value."""
    if depth > DEPTH_MAX:
        raise TypeError("nested too deep")
    if value is None or type(value) in (bool, str, float):
        return value
    if isinstance(value, int):
        number = int(value)
        return number if number.bit_length() <= INT_BITS_MAX else {"int": hex(number)}
    if isinstance(value, bytes | bytearray):
        return {type(value).__name__: value.hex()}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, str | float):
        return (str if isinstance(value, str) else float)(value)
    if isinstance(value, list):
        return [pack(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {"dict": [[pack(k, depth + 1), pack(v, depth + 1)] for k, v in value.items()]}
    for kind in (tuple, set, frozenset):
        if isinstance(value, kind):
            return {kind.__name__: [pack(item, depth + 1) for item in value]}
    if hasattr(value, "__next__") or isinstance(value, range):
        return {"iterator": [pack(item, depth + 1) for item in value]}
    raise TypeError(f"{type(value).__name__} is no plain value")


def unpack(value: Any) -> Any:
    """Return what `pack` was given."""
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "int":
        return int(content, 16)
    if kind in ("bytes", "bytearray"):
        data = bytes.fromhex(content)
        return data if kind == "bytes" else bytearray(data)
    if kind == "complex":
        return complex(*content)
    if kind == "dict":
        return {unpack(k): unpack(v) for k, v in content}
    container = {"tuple": tuple, "set": set, "frozenset": frozenset, "iterator": iter}[kind]
    return container([unpack(item) for item in content])  # type: ignore[operator]  # a table of types


def _answer(channel: Channel, code: dict[str, Any], name: str) -> None:
    """Run the answer, then its function as often as it is called."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(code["answer"], names)
    channel.send({"loaded": name in names or not name})
    while True:
        given = [unpack(argument) for argument in channel.receive()["call"]]
        try:
            result = names[name](*given[0], **given[1])
            reply = {"result": pack(result), "given": pack(given[0])}
        except Exception as error:
            reply = {"error": type(error).__name__, "words": str(error)[:300]}
        channel.send(reply)


def _checks(channel: Channel, code: dict[str, Any], name: str) -> None:
    """Run the checks to their end; the function they check is a call to the other process."""
    import builtins

    def candidate(*given: Any, **named: Any) -> Any:
        reply = channel.ask({"call": [pack(list(given)), pack(named)]})
        if "error" in reply:
            kind = getattr(builtins, str(reply["error"]), RuntimeError)
            is_error = isinstance(kind, type) and issubclass(kind, Exception)
            try:
                raised = kind(reply["words"]) if is_error else RuntimeError(reply["words"])
            except TypeError:
                raised = RuntimeError(reply["words"])
            raise raised
        for mine, theirs in zip(given, unpack(reply["given"]), strict=False):
            _take_over(mine, theirs)
        return unpack(reply["result"])

    names: dict[str, Any] = {"__name__": "checks"}
    if "prompt" in code:
        with contextlib.suppress(Exception):
            exec(code["prompt"], names)  # functions that the checks may use
    if name:
        candidate.__name__ = name
        names[name] = candidate
    exec(code["checks"], names)
    channel.send({"passed": True})


def _take_over(mine: Any, theirs: Any) -> None:
    """Let a list, dict or set be what the call has made of it."""
    if type(mine) is not type(theirs):
        return
    if isinstance(mine, list):
        mine[:] = theirs
    elif isinstance(mine, dict | set):
        mine.clear()
        mine.update(theirs)
