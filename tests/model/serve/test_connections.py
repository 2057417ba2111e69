"""Connections of a real server: slow ones are closed, many at once are all answered."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

NAME = "tiny"
START_SECONDS = 60
SERVE = """
import sys
from pathlib import Path
from model.serve.options import ServeOptions
from model.serve.limits import ServeLimits
from model.serve.server import serve
from model.serve.service import ModelSource
source = ModelSource("tiny", Path(sys.argv[1]))
serve([source], ServeOptions(port=0), ServeLimits(**eval(sys.argv[2])))
"""


def start(model, **limits) -> tuple[subprocess.Popen, int]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(model), repr(limits)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    found = re.search(r"http://[^:]+:(\d+)", process.stdout.readline())
    assert found
    return process, int(found[1])


@pytest.fixture(scope="module")
def port(tiny_model):
    limits = {"head_seconds_max": 1.0, "body_seconds_max": 1.0, "waiting_max": 3000}
    process, port = start(tiny_model, **limits)
    yield port
    process.terminate()
    process.wait(timeout=START_SECONDS)


HEAD = (
    b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: 400\r\n"
)
GET = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
SLOW = {
    "nothing sent": (b"", b"", b""),
    "half a request line": (b"GET /hea", b"", b"408"),
    "a header by single bytes": (b"GET / HTTP/1.1\r\nx: ", b"y", b"408"),
    "half a second head": (GET + b"GET / HT", b"x", b"408"),
    "half a body": (HEAD + b'\r\n{"model": "tiny", ', b"", b"408"),
    "a body by single bytes": (HEAD + b"\r\n{", b" ", b"408"),
    "the body of a path that reads none": (HEAD.replace(b"/v1/completions", b"/no"), b"", b""),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_client_that_is_too_slow_is_told_and_closed(port, name):
    begin, drop, status = SLOW[name]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(begin)
        client.settimeout(0.2)
        received = b""
        for _ in range(150):  # half a minute at most; a closed connection ends it
            try:
                if drop:
                    client.sendall(drop)
                data = client.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if not data:
                break
            received += data
        else:
            pytest.fail("still open")
    assert status in received
    if status:
        assert json.loads(received.rpartition(b"\r\n\r\n")[2])["error"]["code"] == "timeout"


def test_a_flood_of_headers_is_cut_off_after_the_first_tens_of_kilobytes(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        sent, received = client.send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n"), b""
        with contextlib.suppress(ConnectionError):
            while sent < 64 << 20:
                sent += client.send(b"x-flood: " + b"y" * 1000 + b"\r\n")
        with contextlib.suppress(ConnectionError):
            received = client.recv(65536)
    assert sent < 16 << 20  # what the kernel's buffers hold besides
    assert received == b"" or b" 400 " in received
    assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200


def test_an_idle_connection_stays_open_between_requests(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        for _ in range(2):
            client.sendall(GET)
            received = client.recv(65536)
            while b"}" not in received:
                received += client.recv(65536)
            assert b"200 OK" in received
            time.sleep(1.5)  # longer than a head may take


async def ask_all(port: int, clients: int, each: int, **fields) -> list[tuple[int, dict]]:
    """Ask at once over `clients` connections; a connection that breaks raises."""
    body = json.dumps({"model": NAME, "prompt": "The ", "max_tokens": 2, **fields}).encode()

    async def client() -> list[tuple[int, dict]]:
        found = []
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(each):
            head = HEAD.replace(b"400", str(len(body)).encode())
            writer.write(head + b"\r\n" + body)
            await writer.drain()
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
            await reader.readexactly(int(headers["content-length"]))
            found.append((int(first.split()[1]), headers))
        writer.close()
        return found

    every = await asyncio.gather(*(client() for _ in range(clients)))
    return [one for found in every for one in found]


def test_many_clients_at_once_are_all_served(port):
    found = asyncio.run(ask_all(port, clients=256, each=3))
    assert len(found) == 768
    assert {status for status, _ in found} == {200}


def test_a_full_queue_answers_all_and_says_when_to_come_back(tiny_model):
    process, port = start(tiny_model, waiting_max=8, wait_seconds_max=0.3)
    try:
        found = asyncio.run(ask_all(port, clients=64, each=2, max_tokens=40))
        statuses = {status for status, _ in found}
        assert len(found) == 128
        assert statuses == {200, 429}
        waits = [int(headers["retry-after"]) for status, headers in found if status == 429]
        assert min(waits) >= 1
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def test_who_waits_when_it_stops_is_told_so(tiny_model):
    process, port = start(tiny_model)

    async def stop_at_the_first_answer() -> list[int]:
        one = {"clients": 1, "each": 1, "max_tokens": 2048}
        asked = [asyncio.create_task(ask_all(port, **one)) for _ in range(256)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        process.send_signal(signal.SIGTERM)
        return [status for task in asked for status, _ in await task]

    statuses = asyncio.run(stop_at_the_first_answer())
    assert len(statuses) == 256
    assert set(statuses) <= {200, 503}
    assert 503 in statuses
    assert process.wait(timeout=START_SECONDS) == 0
