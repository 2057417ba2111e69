"""The HTTP server as a client sees it: a real uvicorn process, a tiny real model, plain httpx."""

import asyncio
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys

import httpx
import pytest

from model.serve.app import create_app
from model.serve.completion import CompletionRequest
from model.serve.engines.torch_engine import TorchEngine
from model.serve.generation import Generator
from model.serve.limits import ServeLimits
from model.serve.options import ServeOptions
from model.serve.schema import ApiError, parse_request
from model.serve.server import serve
from model.serve.service import ModelSource
from model.serve.written_text import GenerationRequest, sampling_of
from pipeline.errors import ServiceError

NAME = "tiny"
START_SECONDS = 60


def start(*arguments: str, stderr=subprocess.DEVNULL) -> tuple[subprocess.Popen, str]:
    """Start `python -m model.serve` on a free port; return the process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "model.serve", *arguments, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"https?://\S+", line)
    assert found, f"no address in {line!r}"
    return process, found[0]


@pytest.fixture(scope="module")
def server(tiny_model):
    process, address = start(str(tiny_model), "--name", NAME)
    yield address
    process.terminate()
    process.wait(timeout=START_SECONDS)


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server, timeout=60, trust_env=False) as client:
        yield client


def ask(client, **fields):
    return client.post("/v1/completions", json={"model": NAME, "prompt": "The ", **fields})


def events(reply: httpx.Response) -> list[str]:
    lines = reply.text.split("\n\n")
    assert lines[-1] == ""
    assert all(line.startswith("data: ") for line in lines[:-1])
    return [line.removeprefix("data: ") for line in lines[:-1]]


def test_health_and_models(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert listed["data"][0]["id"] == NAME
    assert client.get(f"/v1/models/{NAME}").json()["object"] == "model"
    assert client.get("/v1/models/other").status_code == 404


def test_a_completion_has_the_shape_openai_clients_expect(client):
    reply = ask(client, max_tokens=8, seed=1, temperature=0.9, top_k=20, top_p=0.95, user="me")
    body = reply.json()
    assert reply.status_code == 200
    assert body["object"] == "text_completion"
    assert body["id"].startswith("cmpl-")
    assert body["model"] == NAME
    (choice,) = body["choices"]
    assert choice.keys() == {"text", "index", "logprobs", "finish_reason"}
    assert choice["finish_reason"] == "length"
    usage = body["usage"]
    assert usage["completion_tokens"] == 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8
    assert usage["prompt_tokens"] > 1


def test_the_same_seed_gives_the_same_text_and_no_seed_another(client):
    def text(**fields):
        return ask(client, max_tokens=24, **fields).json()["choices"][0]["text"]

    assert text(seed=7) == text(seed=7)
    assert text(seed=7) != text(seed=8)
    assert len({text() for _ in range(3)}) > 1
    assert text(temperature=0) == text(temperature=0, seed=3)


def test_chinese_prompts_echo_and_several_choices(client):
    prompts = ["机器学习", "The model"]
    body = ask(client, prompt=prompts, n=2, max_tokens=4, seed=1, echo=True).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    begins = [prompts[0], prompts[0], prompts[1], prompts[1]]
    for choice, begin in zip(body["choices"], begins, strict=True):
        assert choice["text"].startswith(begin)
        assert "\ufffd" not in begin
    assert body["choices"][0]["text"] != body["choices"][1]["text"]
    assert body["usage"]["completion_tokens"] <= 16


def test_a_stop_text_ends_the_continuation_and_is_cut_off(client):
    whole = ask(client, max_tokens=40, seed=3).json()["choices"][0]["text"]
    stop = whole[3:5]
    choice = ask(client, max_tokens=40, seed=3, stop=stop).json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["text"] == whole[: whole.index(stop)]


def test_a_stream_adds_up_to_the_whole_reply(client):
    fields = {"prompt": "机器", "max_tokens": 20, "seed": 5, "n": 2}
    whole = ask(client, **fields).json()
    reply = ask(client, stream=True, stream_options={"include_usage": True}, **fields)
    assert reply.headers["content-type"].startswith("text/event-stream")
    *parts, counts, done = events(reply)
    assert done == "[DONE]"
    texts, ends = ["", ""], {}
    for part in map(json.loads, parts):
        (choice,) = part["choices"]
        texts[choice["index"]] += choice["text"]
        if choice["finish_reason"]:
            ends[choice["index"]] = choice["finish_reason"]
    assert texts == [choice["text"] for choice in whole["choices"]]
    assert ends == {0: "length", 1: "length"}
    assert json.loads(counts)["usage"] == whole["usage"]
    assert json.loads(counts)["choices"] == []


def test_a_stream_holds_counts_only_when_asked(client):
    reply = ask(client, stream=True, max_tokens=3)
    assert all("usage" not in json.loads(event) for event in events(reply)[:-1])


def test_a_stream_arrives_piece_by_piece(client):
    with client.stream(
        "POST", "/v1/completions",
        json={"model": NAME, "prompt": "The", "max_tokens": 2000, "stream": True},
    ) as reply:  # fmt: skip
        lines = reply.iter_lines()
        assert "text_completion" in next(lines)
        assert client.get("/health").status_code == 200  # while the other reply is under way


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_the_work(tiny_model, monkeypatch, stream):
    begun = []
    start_work = Generator.start

    def watched(self, *asked):
        queued = start_work(self, *asked)
        begun.extend(queued.generations)
        return queued

    monkeypatch.setattr(Generator, "start", watched)
    app = create_app([ModelSource(NAME, tiny_model)])
    asked = {"model": NAME, "prompt": "a", "max_tokens": 2048, "n": 4, "stream": stream}
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "method": "POST",
             "path": "/v1/completions", "raw_path": b"", "query_string": b"", "root_path": "",
             "scheme": "http", "http_version": "1.1", "headers": headers}  # fmt: skip

    async def leave_early() -> list[int]:
        messages = [{"type": "http.request", "body": json.dumps(asked).encode()}]
        sent = asyncio.Event()

        async def receive():
            if messages:
                return messages.pop()
            if stream:
                await sent.wait()  # the first words have arrived
            return {"type": "http.disconnect"}

        async def send(message):
            if message.get("body"):
                sent.set()

        async with app.router.lifespan_context(app):
            await app(scope, receive, send)
        assert all(one.text.ended for one in begun)
        return [one.completion_tokens for one in begun]

    tokens = asyncio.run(leave_early())
    assert len(tokens) == 4
    assert max(tokens) < 2048


def test_health_answers_during_generation_and_requests_queue(client):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, client, max_tokens=60, seed=i) for i in range(6)]
        healthy = [client.get("/health").status_code for _ in range(20)]
        replies = [one.result() for one in asked]
    assert set(healthy) == {200}
    assert [reply.status_code for reply in replies] == [200] * 6
    alone = [ask(client, max_tokens=60, seed=i).json()["choices"][0]["text"] for i in range(6)]
    assert [reply.json()["choices"][0]["text"] for reply in replies] == alone


def test_every_way_of_choosing_reaches_the_model(client):
    def text(**settings):
        return ask(client, max_tokens=40, seed=3, **settings).json()["choices"][0]["text"]

    plain = text(temperature=1.0)
    greedy = text(temperature=0)
    assert text(temperature=1.0, min_p=1.0) == greedy != plain
    assert text(temperature=0, repetition_penalty=50) != greedy
    assert text(temperature=0, frequency_penalty=2) != greedy
    assert text(beams=1) == greedy or len(text(beams=1)) < len(greedy)  # a search ends where it can


REFUSED = {
    "unknown model": ({"model": "gpt-x"}, 404, "model", "model_not_found"),
    "many logprobs": ({"logprobs": 21}, 400, "logprobs", None),
    "penalty": ({"presence_penalty": 2.5}, 400, "presence_penalty", None),
    "suffix": ({"suffix": "end"}, 400, "suffix", None),
    "unknown field": ({"max_token": 3}, 400, "max_token", None),
    "token ids of another model": ({"prompt": [1, 99_999]}, 400, "prompt", None),
    "no token ids": ({"prompt": [[]]}, 400, "prompt", None),
    "texts and ids": ({"prompt": ["a", 1]}, 400, "prompt", None),
    "longer than the context": ({"prompt": "The " * 70}, 400, "prompt", "context_length_exceeded"),
    "no prompt": ({"prompt": []}, 400, "prompt", None),
    "long prompt": ({"prompt": "x" * 70_000}, 400, "prompt", "context_length_exceeded"),
    "half a pair": ({"prompt": "\ud83d"}, 400, None, "invalid_json"),
    "too many tokens": ({"max_tokens": 100_000}, 400, "max_tokens", None),
    "fewer than no tokens": ({"max_tokens": -1}, 400, "max_tokens", None),
    "words for numbers": ({"max_tokens": "3"}, 400, "max_tokens", None),
    "temperature": ({"temperature": 3}, 400, "temperature", None),
    "top_p": ({"top_p": 0}, 400, "top_p", None),
    "top_k": ({"top_k": 0}, 400, "top_k", None),
    "many choices": ({"n": 17}, 400, "n", None),
    "empty stop": ({"stop": [""]}, 400, "stop", None),
    "a long stop": ({"stop": "x" * 2000}, 400, "stop", None),
    "many stops": ({"stop": list("abcde")}, 400, "stop", None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_field_in_openais_shape(client, name):
    fields, status, param, code = REFUSED[name]
    body = json.dumps({"model": NAME, "prompt": "a", **fields}).encode()
    reply = client.post(
        "/v1/completions", content=body, headers={"content-type": "application/json"}
    )
    assert reply.status_code == status
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert (error["param"], error["code"]) == (param, code)


def test_bodies_that_are_not_json_or_too_large(client):
    json_type = {"content-type": "application/json"}

    def post(content, headers=json_type):
        reply = client.post("/v1/completions", content=content, headers=headers)
        return reply.status_code, reply.json()["error"]["code"]

    assert post(b"{not json") == (400, "invalid_json")
    assert post(b"[]")[0] == 400
    assert post(b"\xff\xfe") == (400, "invalid_json")
    assert post(b'{"prompt":' + b"[" * 100_000) == (400, "invalid_json")
    assert post(b"x" * (1 << 20) + b"x") == (413, "request_too_large")
    pieces = (b"x" * 65536 for _ in range(20))  # chunked: no length is stated
    assert post(pieces) == (413, "request_too_large")
    assert post(b"{}", {"content-type": "text/plain"}) == (415, "unsupported_media_type")


def test_unknown_paths_and_methods_have_the_same_shape(client):
    for reply in (client.get("/v1/chat"), client.get("/v1/completions")):
        assert reply.status_code in (404, 405)
        assert reply.json()["error"]["message"]


def test_other_hosts_are_refused(client):
    """A name that an attacker points to 127.0.0.1 must not reach the model."""
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/health", headers={"host": "localhost:1234"}).status_code == 200
    assert client.get("/health", headers={"host": "[::1]:80"}).status_code == 200


def test_the_page_loads_nothing_from_elsewhere(client):
    reply = client.get("/")
    assert reply.status_code == 200
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(https?:)?//""", reply.text)
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert client.get("/docs").status_code == 404


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_in_order_when_asked_even_while_writing(tiny_model, number):
    process, address = start(str(tiny_model))
    asked = {"model": tiny_model.name, "prompt": "a", "max_tokens": 2048, "stream": True, "n": 16}
    with httpx.stream("POST", f"{address}/v1/completions", json=asked, trust_env=False) as reply:
        next(reply.iter_lines())
        process.send_signal(number)
        assert process.wait(timeout=START_SECONDS) == 0


def test_a_taken_port_is_explained(server, tiny_model):
    port = int(server.rsplit(":", 1)[1])
    with pytest.raises(ServiceError, match=f"port {port}.*--port 0"):
        serve([ModelSource(NAME, tiny_model)], ServeOptions(port=port))


def test_a_full_queue_turns_requests_away(tiny_model):
    async def full():
        generator = Generator(TorchEngine(tiny_model), ServeLimits(waiting_max=1))
        asked = CompletionRequest(model=NAME, prompt="a", max_tokens=2000)
        settings = [GenerationRequest([1, 9], sampling_of(asked, i, 0)) for i in range(2)]
        work = generator.start(settings)
        with pytest.raises(ApiError) as refused:
            generator.start(settings[:1])
        assert refused.value.status == 429
        await generator.close()
        with pytest.raises(ApiError, match="stopping"):
            await anext(work.generations[1].pieces())
        with pytest.raises(ApiError, match="stopping"):
            generator.start(settings[:1])

    asyncio.run(full())


def test_a_biased_token_is_all_there_is_or_is_refused_by_name(client):
    alone = ask(client, max_tokens=4, logit_bias={"9": 100}, logprobs=0).json()["choices"][0]
    assert len(set(alone["logprobs"]["tokens"])) == 1
    for bias in ({"999999": 1}, {"x": 1}, {"9": 101}):
        error = ask(client, logit_bias=bias).json()["error"]
        assert error["param"] == "logit_bias"


def test_null_means_the_default():
    body = {"model": NAME, "prompt": "a", "max_tokens": None, "temperature": None, "n": None,
            "stop": None, "stream": None, "top_p": None, "logit_bias": {}}  # fmt: skip
    asked = parse_request(json.dumps(body).encode(), CompletionRequest, ServeLimits())
    assert asked.stops == ()
