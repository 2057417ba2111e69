"""Many clients at once, checked by content: every answer is the one that is given alone."""

import asyncio
import json
import os
import random
import re
import signal
from pathlib import Path

import httpx
import pytest

from tests.model.serve.test_app import NAME, START_SECONDS, start

WORDS = ("The ", "机器学习", "A model ", "数据里", "learns 🙂", "规则")
LENGTHS = (1, 7, 30, 160)


@pytest.fixture(scope="module")
def server(tiny_model):
    process, address = start(str(tiny_model), "--name", NAME)
    yield process, address
    process.terminate()
    process.wait(timeout=START_SECONDS)


def questions() -> list[dict]:
    """Return different requests: short and long, greedy and seeded."""
    return [
        {"prompt": word, "max_tokens": length, "temperature": warm, "seed": seed}
        for seed, word in enumerate(WORDS)
        for length in LENGTHS
        for warm in (0, 1.0)
    ]


def settled(text: str) -> str:
    """Return a text without half a character at its end, which a stream leaves out."""
    return re.sub("\ufffd.{0,3}$", "", text)


async def ask(client: httpx.AsyncClient, fields: dict) -> str:
    """Return a whole answer's text."""
    reply = await client.post("/v1/completions", json={"model": NAME, **fields})
    assert reply.status_code == 200, reply.text
    return reply.json()["choices"][0]["text"]


async def ask_streamed(client: httpx.AsyncClient, fields: dict, pieces: int | None) -> str:
    """Return a streamed answer's text; after `pieces` of them leave."""
    body = {"model": NAME, "stream": True, **fields}
    text = ""
    async with client.stream("POST", "/v1/completions", json=body) as reply:
        assert reply.status_code == 200
        async for line in reply.aiter_lines():
            if line.startswith("data: {"):
                text += json.loads(line.removeprefix("data: "))["choices"][0]["text"]
                if pieces is not None and (pieces := pieces - 1) < 0:
                    break
    return text


def resident_kb(pid: int) -> int:
    """Return the memory of a process and its children."""
    total = 0
    for process in [pid, *children(pid)]:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return total


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def load(address: str, clients: int, each: int) -> None:
    """Ask alone, then all at once; raise AssertionError for an answer that is another's."""
    limits = httpx.Limits(max_connections=None)
    timeout = httpx.Timeout(120)
    async with httpx.AsyncClient(
        base_url=address, limits=limits, timeout=timeout, trust_env=False
    ) as client:
        asked = questions()
        alone = [await ask(client, fields) for fields in asked]

        async def one(number: int) -> None:
            chance = random.Random(number)
            for _ in range(each):
                index = chance.randrange(len(asked))
                way = chance.randrange(4)
                if way == 0:
                    streamed = await ask_streamed(client, asked[index], None)
                    assert settled(streamed) == settled(alone[index])
                elif way == 1:  # leaves in the middle
                    begun = await ask_streamed(client, asked[index], chance.randrange(3))
                    assert alone[index].startswith(begun)
                else:
                    assert await ask(client, asked[index]) == alone[index]

        await asyncio.gather(*map(one, range(clients)))


def test_many_clients_each_get_their_own_answer(server):
    _, address = server
    asyncio.run(load(address, clients=24, each=4))


@pytest.mark.slow
def test_256_clients_each_get_their_own_answer_and_memory_stays_flat(server):
    process, address = server
    asyncio.run(load(address, clients=256, each=2))
    before = resident_kb(process.pid)
    for _ in range(4):
        asyncio.run(load(address, clients=256, each=2))
    assert resident_kb(process.pid) < 1.1 * before


def test_streams_end_and_new_requests_are_refused_when_it_stops(tiny_model):
    process, address = start(str(tiny_model), "--name", NAME)
    fields = {"prompt": "The ", "max_tokens": 1500, "temperature": 0}

    async def drain() -> tuple[str, str, int]:
        async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
            alone = await ask(client, fields)
            stream = asyncio.create_task(ask_streamed(client, fields, None))
            async with client.stream(
                "POST", "/v1/completions", json={"model": NAME, "stream": True, **fields}
            ) as other:
                lines = other.aiter_lines()
                await anext(lines)
                process.send_signal(signal.SIGTERM)
                while (refused := await client.get("/ready")).status_code == 200:
                    await asyncio.sleep(0)
                refused = await client.post("/v1/completions", json={"model": NAME, **fields})
                rest = [line async for line in lines]
            assert rest[-2:] == ["data: [DONE]", ""]
            return alone, await stream, refused.status_code

    alone, streamed, refused = asyncio.run(drain())
    assert settled(streamed) == settled(alone)
    assert refused == 503
    assert process.wait(timeout=START_SECONDS) == 0


def test_a_killed_engine_fails_only_what_it_wrote(server):
    process, address = server
    [helper] = children(process.pid)
    fields = {"prompt": "The ", "max_tokens": 2000, "temperature": 0}

    async def crash() -> tuple[list[str], str]:
        async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
            body = {"model": NAME, "stream": True, **fields}
            async with client.stream("POST", "/v1/completions", json=body) as reply:
                lines = reply.aiter_lines()
                await anext(lines)
                os.kill(helper, signal.SIGKILL)
                rest = [line async for line in lines if line]
            down, alive = await client.get("/ready"), await client.get("/health")
            assert (down.status_code, alive.status_code) == (503, 200)
            assert down.json()["error"]["message"] == f"{NAME}: the engine is being started again"
            after = await ask(client, {**fields, "max_tokens": 8})
            assert (await client.get("/ready")).status_code == 200
            return rest, after

    rest, after = asyncio.run(crash())
    error = json.loads(rest[-1].removeprefix("data: "))["error"]
    assert error["code"] == "engine_failed"
    assert "ask again" in error["message"]
    assert len(after) > 0
    assert children(process.pid) != [helper]
