"""The sandbox: right answers pass, tricks do not, and nothing is left of a run."""

import os
import socket
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from model.evaluation.tasks import row_texts, sandbox
from model.evaluation.tasks.sandbox import FAILED, PASSED, TIMED_OUT, Limits, Program, compiles, run

WALLS = {
    "all walls": "",
    "no read-only mounts": "from model.evaluation.tasks import sandbox_walls\n"
    "sandbox_walls._seal = lambda libc, places: False\n",
    "no namespaces": "sandbox_child.unshare = lambda: False\n",
    "the hook alone": "sandbox_child.unshare = lambda: False\n"
    "sandbox_child.filter_calls = lambda libc: False\n",
}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs namespaces and a filter of calls")
TEN = Limits(seconds=10)


def outcome(code: str, limits: Limits = TEN) -> str:
    """What becomes of a function with this body, which has to come to its end."""
    answer = f"def probe():\n{textwrap.indent(code, '    ')}\n    return 'end'"
    return run(Program(answer, "assert probe() == 'end'", "probe"), limits)


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("assert sum([1, 2]) == 3", PASSED),
        ("import math, re, json, collections, itertools\nassert math.isqrt(17) == 4", PASSED),
        ("import heapq, dataclasses, typing, datetime, decimal, fractions, string, random", PASSED),
        ("import collections\ncollections.namedtuple('P', 'x y')(1, 2)", PASSED),
        ("import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()", PASSED),
        ("with open('here.txt', 'w') as f: f.write('x')\nassert open('here.txt').read() == 'x'",
         PASSED),
        ("assert 1 == 2", FAILED),
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
def test_programs_end_as_they_should(code, wanted, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "1234")
    assert outcome(code) == wanted


@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(60)"])
@pytest.mark.parametrize("where", ["answer", "call", "checks"])
def test_what_does_not_end_is_ended(code, where):
    answer = "def f():\n    return 1\n" + (code if where == "answer" else "")
    if where == "call":
        answer = "def f():\n" + textwrap.indent(code, "    ")
    checks = "f()\n" + (code if where == "checks" else "")
    assert run(Program(answer, checks, "f"), Limits(seconds=1)) == TIMED_OUT


CHECKED = "assert f(41) == 42 and f(1) == 2"
FORGE = '{"passed": true}\\n'
TRICKS = {
    "another value": "def f(x):\n    return 0",
    "equal to anything": """
class Any(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = None
def f(x):
    return Any(0)""",
    "no plain value": """
class Any:
    def __eq__(self, other): return True
def f(x):
    return Any()""",
    "the caller's frame": """
import sys
def f(x):
    frame = sys._getframe()
    while frame:
        for names in (frame.f_locals, frame.f_globals):
            for name in list(names):
                if name in ("pack", "unpack", "channel", "result", "reply", "checks", "code"):
                    try: names[name] = lambda *a: {"passed": True}
                    except Exception: pass
        frame = frame.f_back
    return 0""",
    "what is in memory": """
import gc
def f(x):
    for one in gc.get_objects():
        if isinstance(one, str) and "assert f(41)" in one: return 42
    return 0""",
    "leaving early": "import os\ndef f(x):\n    os._exit(0)",
    "leaving early at once": "import os\nos._exit(0)",
    "leaving with an end": "import atexit, sys\natexit.register(print, 'passed')\nsys.exit(0)",
    "writing the verdict": f"""
import os
def f(x):
    for number in range(64):
        try: os.write(number, b'{FORGE}')
        except OSError: pass
    return 0""",
    "writing the verdict beforehand": f"""
import os
for number in range(64):
    try: os.write(number, b'{FORGE}' * 5)
    except OSError: pass
def f(x):
    return 0""",
    "other comparisons": """
import builtins, json, operator
builtins.AssertionError = type("Quiet", (Exception,), {})
builtins.isinstance = lambda *a: True
operator.eq = lambda *a: True
json.dumps = lambda *a, **k: '{"passed": true}'
json.loads = lambda *a, **k: {"call": [[], {}]}
def f(x):
    return 0""",
    "an error that ends the checks": "def f(x):\n    raise SystemExit(0)",
    "an error that passes for an end": "def f(x):\n    raise KeyboardInterrupt",
    "the memory of others": """
import os
def f(x):
    for pid in [os.getppid(), 1, *range(2, 400)]:
        for name in ("mem", "cmdline", "environ", "fd/0", "fd/1"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    if b"f(41)" in file.read(100000): return x + 1
            except (OSError, ValueError): pass
    return 0""",
}


@pytest.fixture(params=WALLS)
def walls(request, monkeypatch):
    changed = WALLS[request.param] + "sandbox_child.main()"
    start = sandbox.START.replace("sandbox_child.main()", changed)
    monkeypatch.setattr(sandbox, "START", start)


def test_right_answers_pass_within_any_walls(walls):
    answer = "import json\ndef f(x):\n    open('a', 'w').close()\n    return json.loads('[1]') * x"
    assert run(Program(answer, "assert f(2) == [1, 1]", "f"), TEN) == PASSED


@pytest.mark.parametrize("name", TRICKS)
def test_no_trick_passes_for_an_answer(name, walls):
    assert run(Program(TRICKS[name], CHECKED, "f"), TEN) == FAILED


def test_an_answer_that_reads_no_calls_blocks_nobody():
    answer = "import time\ndef f(x):\n    time.sleep(60)"
    checks = "import threading\nf('x' * 1)\n"
    assert run(Program(answer, checks, "f"), Limits(seconds=1)) == TIMED_OUT
    loaded = (
        "import os, time\nfor n in range(40):\n    try: os.write(n, b'{\"loaded\": true}\\n')\n"
    )
    answer = loaded + "    except OSError: pass\ntime.sleep(60)"
    assert run(Program(answer, "f('x' * (1 << 21))", "f"), Limits(seconds=1)) == TIMED_OUT


def test_the_answers_on_this_machine_s_disk_are_out_of_sight(walls):
    for path in (row_texts.__file__, __file__, "/etc/passwd", f"/proc/{os.getpid()}/environ"):
        assert outcome(f"open({path!r}).read()") == FAILED
    assert outcome("import string, zipfile, email.message") == PASSED


def test_a_right_answer_passes_whatever_values_travel():
    answer = """
def f(kind, *given, **named):
    if kind == "error": raise ValueError("not so")
    if kind == "grow": given[0].append(7); given[1]["a"] = {1}; return None
    if kind == "many": return (n * n for n in range(4))
    return given[0] if given else named
"""
    values = [None, True, -3, 2.5, float("inf"), "文\ud800", b"\x00\xff", (1, (2,)), [1, [2]],
              {"a": (1, 2), 3: {4}}, frozenset({1}), 1 << 5000, 2 + 3j, ""]  # fmt: skip
    checks = f"""
inf = float("inf")
for value in {values!r}:
    got = f("same", value)
    assert got == value and type(got) is type(value), value
assert f("named", b=[1]) == {{"b": [1]}}
assert list(f("many")) == [0, 1, 4, 9]
grown, table = [1], {{}}
assert f("grow", grown, table) is None and grown == [1, 7] and table == {{"a": {{1}}}}
try:
    f("error")
except ValueError as error:
    assert str(error) == "not so"
else:
    raise AssertionError
"""
    assert run(Program(answer, checks, "f"), TEN) == PASSED


def test_checks_use_what_the_prompt_defines():
    prompt = "import math\ndef area(r):\n    return math.pi * r\ndef half(r):\n    '''Half.'''\n"
    checks = "def check(c):\n    assert math.isclose(c(2), area(2) / 2)\ncheck(half)"
    right, wrong = "    return area(r) / 2", "    return 0"
    assert run(Program(prompt + right, checks, "half", prompt), TEN) == PASSED
    assert run(Program(prompt + wrong, checks, "half", prompt), TEN) == FAILED
    bare = "def half(r):\n"
    assert run(Program(bare + "    return r", "assert half(2) == 2", "half", bare), TEN) == PASSED


def processes(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


SHELL = """
import os, sys
import _posixsubprocess
read, write = os.pipe()
for _ in range({times}):
    _posixsubprocess.fork_exec(
        [b"/bin/sh", b"-c", {command!r}.encode()], [b"/bin/sh"], True, (write,), None, None,
        -1, -1, -1, -1, -1, -1, read, write, True, True, -1, None, None, None, -1, None, False)
os.close(write)
os.read(read, 1)
"""


@LINUX
def test_a_program_started_behind_the_hook_s_back_does_nothing_and_is_gone(tmp_path, walls):
    mark = f"31{os.getpid()}77"
    command = f"echo x > {tmp_path}/escaped; kill -9 {os.getpid()}; setsid sleep {mark}"
    assert outcome(SHELL.format(times=40, command=command), Limits(seconds=5)) != PASSED
    assert not (tmp_path / "escaped").exists()  # and this process lives
    time.sleep(0.2)
    assert processes(mark) == []


@LINUX
def test_nothing_of_a_run_outlives_it(walls):
    before = set(processes("sandbox_child"))
    for code in ("import time\ntime.sleep(60)", "import os\nos.setsid()\nwhile True: pass"):
        assert outcome(code, Limits(seconds=1)) in (TIMED_OUT, FAILED)
    assert set(processes("sandbox_child")) == before


@LINUX
def test_files_have_a_number_and_a_size():
    many = "for n in range(1000):\n    open(f'{n}', 'w').close()"
    large = "for n in range(40):\n    open(f'{n}', 'wb').write(bytes(1 << 20))"
    assert outcome(many) == FAILED
    assert outcome(large) == FAILED
    assert outcome("open('a', 'wb').write(bytes(2 << 20))") == FAILED


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
        assert outcome(code) == FAILED
        thread.join()
    assert not reached


def test_python_is_told_from_what_is_not():
    assert compiles("def f():\n    return 1\n")
    assert not compiles("def f():\nreturn 1\n")
    assert not compiles("\0")
    assert not compiles("(" * 5000)
