"""A request's time limit: what is written by then is the answer, whoever writes."""

import json

import pytest
from fastapi.testclient import TestClient

from model.serve.app import create_app
from model.serve.engines.engine_options import LLAMA, TORCH, EngineOptions
from model.serve.limits import ServeLimits
from model.serve.options import ServeOptions
from model.serve.service import ModelSource
from pipeline.errors import ConfigError

NAME = "tiny"
LONG = {"model": NAME, "prompt": "The ", "max_tokens": 100_000, "temperature": 0}
PATIENT = 100_001  # the server's own bound on tokens is out of the way


@pytest.fixture(params=[LLAMA, TORCH])
def client_with(request, tiny_model):
    """Return a function that serves with a time limit."""

    def serving(seconds: float) -> TestClient:
        limits = ServeLimits(request_seconds_max=seconds, max_new_tokens_max=PATIENT)
        options = ServeOptions(engine=EngineOptions(engine=request.param))
        app = create_app([ModelSource(NAME, tiny_model)], options, limits)
        return TestClient(app, base_url="http://localhost")

    return serving


def test_what_is_written_by_then_is_the_answer(client_with):
    with client_with(1.0) as client:
        body = client.post("/v1/completions", json=LONG).json()
        again = client.post("/v1/completions", json={**LONG, "max_tokens": 3}).json()
        reply = client.post("/v1/completions", json={**LONG, "stream": True, "stream_options": {
            "include_usage": True}}).text  # fmt: skip
    [whole] = body["choices"]
    assert whole["finish_reason"] == "length"
    assert 0 < body["usage"]["completion_tokens"] < LONG["max_tokens"]
    assert body["usage"]["prompt_tokens"] > 1
    assert whole["text"].startswith(again["choices"][0]["text"].rstrip("\ufffd"))
    assert reply.endswith("data: [DONE]\n\n")
    events = [json.loads(line[6:]) for line in reply.split("\n\n")[:-2]]
    assert events[-2]["choices"][0]["finish_reason"] == "length"
    streamed = "".join(event["choices"][0]["text"] for event in events[:-1])
    shorter, longer = sorted((streamed, whole["text"].rstrip("\ufffd")), key=len)
    assert longer.startswith(shorter)


def test_nothing_by_then_is_an_error_that_is_not_worth_asking_again(client_with):
    with client_with(1e-6) as client:
        asked = {
            "/v1/completions": LONG,
            "/v1/embeddings": {"model": NAME, "input": ["The model"] * 16},
            "/classify": {"model": NAME, "text": "a", "labels": ["b", "c"]},
        }
        for path, fields in asked.items():
            reply = client.post(path, json=fields)
            assert reply.status_code in (429, 504), reply.text  # the first: its turn did not come
            assert "error" in reply.json()
            if reply.status_code == 504:
                assert reply.json()["error"]["code"] == "request_timeout"
                assert reply.headers["x-should-retry"] == "false"  # which OpenAI's clients obey
        assert reply.status_code == 504


def test_a_limit_of_no_time_is_refused():
    with pytest.raises(ConfigError, match="--time-limit"):
        ServeLimits(request_seconds_max=0)
