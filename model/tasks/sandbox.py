"""Runs code that a model wrote: another process, limits on time and memory, no network.

The process has an empty folder and no environment. Where the kernel allows (namespaces of its
own, Linux 5.12) it has no network, all but the folder is read-only, and what it starts sees no
other process; everywhere an audit hook refuses sockets, processes, and files written outside the
folder. This stops accidents and simple tricks: for models that might be attackers, run the whole
command in a container.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass

PASSED, FAILED, TIMED_OUT = "passed", "failed", "timed out"

RUNNER = """
import ctypes, io, json, os, resource, struct, sys
task = json.load(sys.stdin)
seconds, size = task["seconds"], task["bytes"]
for name, most in (("CPU", seconds), ("AS", size), ("FSIZE", 1 << 20), ("NOFILE", 32), ("CORE", 0)):
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (most, most))
home = os.path.realpath(os.getcwd())

def close_off(libc, folder):
    if libc.unshare(0x70020000):  # CLONE_NEWUSER, NEWPID, NEWNET, NEWNS
        libc.unshare(0x50000000)  # CLONE_NEWUSER, NEWNET
        return
    libc.mount(None, b"/", None, 0x44000, None)  # MS_REC, MS_PRIVATE
    libc.mount(folder, folder, None, 0x1000, None)  # MS_BIND
    read_only = struct.pack("QQQQ", 1, 0, 0, 0)  # set MOUNT_ATTR_RDONLY
    writable = struct.pack("QQQQ", 0, 1, 0, 0)
    if not libc.syscall(442, -100, b"/", 0x8000, read_only, 32):  # mount_setattr, AT_RECURSIVE
        libc.syscall(442, -100, folder, 0, writable, 32)
    os.chdir(folder)

try:
    close_off(ctypes.CDLL(None), home.encode())
except (OSError, AttributeError):
    pass
print_passed = os.dup(1)
null = os.open(os.devnull, os.O_RDWR)
for stream in (0, 1, 2):
    os.dup2(null, stream)

REFUSED = ("socket.", "subprocess.", "ctypes.", "shutil.", "signal.", "os.exec", "os.posix_spawn",
           "os.fork", "os.kill", "os.system", "os.remove", "os.rename", "os.chmod", "os.chown",
           "os.link", "os.symlink", "os.truncate", "os.rmdir", "os.mkdir", "os.putenv")

def refuse(event, arguments):
    if event.startswith(REFUSED):
        raise PermissionError(event)
    if event == "open":
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if writes and not (isinstance(path, str) and os.path.realpath(path).startswith(home + "/")):
            raise PermissionError(path)
        if not isinstance(path, int) and os.path.isdir(path):
            raise PermissionError(path)  # files below it could be opened without their path

code = compile(task["code"], "<answer>", "exec")
word = task["word"].encode()
del task
sys.addaudithook(refuse)
exec(code, {"__name__": "__main__"})
os.write(print_passed, word)
"""


@dataclass(frozen=True)
class Limits:
    """What a run may use; memory counts address space, of which Python itself takes some 20 MB."""

    seconds: int = 5
    memory_bytes: int = 512 << 20


def run(code: str, limits: Limits | None = None) -> str:
    """Run a program and return 'passed' if it came to its end, 'failed' or 'timed out'.

    Leaving early, as with sys.exit, is no end: checks at the foot have to be reached.
    """
    limits = limits or Limits()
    word = secrets.token_hex(16)  # what only a run that reaches its end can print
    task = {"code": code, "word": word, "seconds": limits.seconds, "bytes": limits.memory_bytes}
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", RUNNER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=folder, env={}, start_new_session=True,
        )  # fmt: skip
        try:
            # processor time is limited inside; sleeping is not
            out, _ = process.communicate(json.dumps(task).encode(), timeout=2 * limits.seconds)
        except subprocess.TimeoutExpired:
            return TIMED_OUT
        finally:
            _end(process)
    if process.returncode == -signal.SIGXCPU or process.returncode == -signal.SIGKILL:
        return TIMED_OUT
    return PASSED if out.decode(errors="replace") == word else FAILED


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def compiles(code: str) -> bool:
    """Tell whether code is Python at all; nothing of it is run."""
    try:
        compile(code, "<answer>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
