"""The sandbox: what runs through passes, what is dangerous or endless is stopped."""

import os
import socket
import sys
import threading

import pytest

from model.tasks.sandbox import FAILED, PASSED, TIMED_OUT, Limits, compiles, run


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("assert sum([1, 2]) == 3", PASSED),
        ("import math, re, json, collections, itertools\nassert math.isqrt(17) == 4", PASSED),
        ("with open('here.txt', 'w') as f: f.write('x')\nassert open('here.txt').read() == 'x'",
         PASSED),
        ("assert 1 == 2", FAILED),
        ("def f(:", FAILED),
        ("import sys\nsys.exit(0)\nassert False", FAILED),
        ("import os\nos._exit(0)", FAILED),
        ("print('passed')\nraise SystemExit", FAILED),
        ("x = bytearray(1 << 30)", FAILED),
        ("import socket\nsocket.socket()", FAILED),
        ("import subprocess\nsubprocess.run(['ls'])", FAILED),
        ("import os\nos.fork()", FAILED),
        ("import os\nos.kill(os.getppid(), 9)", FAILED),
        ("open('/tmp/textmill-escaped', 'w')", FAILED),
        ("import os\nos.remove('/tmp/textmill-kept')", FAILED),
        ("import os\nopen(os.getcwd() + 'x', 'w')", FAILED),  # a folder beside its own
        ("import os\nhere = os.open('/tmp', os.O_RDONLY)\n"
         "os.open('textmill-escaped', os.O_WRONLY | os.O_CREAT, dir_fd=here)", FAILED),
        ("import os\nos.chdir('/tmp')\nopen('textmill-escaped', 'w')", FAILED),
        ("import os\nassert not [k for k in os.environ if k.startswith('SECRET')]", PASSED),
    ],
)  # fmt: skip
def test_programs_end_as_they_should(code, outcome, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "1234")
    assert run(code, Limits(seconds=10)) == outcome


@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(60)"])
def test_what_does_not_end_is_ended(code):
    assert run(code, Limits(seconds=1)) == TIMED_OUT


SHELL = """
import os, _posixsubprocess
read, write = os.pipe()
_posixsubprocess.fork_exec(
    [b"/bin/sh", b"-c", {command!r}.encode()], [b"/bin/sh"], True, (write,), None, None,
    -1, -1, -1, -1, -1, -1, read, write, True, False, -1, None, None, None, -1, None, True)
os.close(write)
os.read(read, 1)
import time; time.sleep(1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs namespaces")
def test_a_program_started_behind_the_hook_s_back_writes_and_kills_nothing_outside(tmp_path):
    command = f"echo x > {tmp_path}/escaped; kill -9 {os.getpid()}; echo x > inside; kill -9 1"
    run(SHELL.format(command=command), Limits(seconds=5))
    assert not (tmp_path / "escaped").exists()  # and this process lives


def test_nothing_reaches_a_server_on_this_machine():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        reached = []

        def listen():
            try:
                reached.append(server.accept())
            except TimeoutError:
                return

        thread = threading.Thread(target=listen)
        thread.start()
        code = f"import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}')"
        assert run(code) == FAILED
        thread.join()
    assert not reached


def test_python_is_told_from_what_is_not():
    assert compiles("def f():\n    return 1\n")
    assert not compiles("def f():\nreturn 1\n")
    assert not compiles("\0")
    assert not compiles("(" * 5000)
