"""Log-probabilities of prompts and continuations, as evaluation harnesses ask for them."""

import numpy as np
import pytest
from fastapi.testclient import TestClient

from model.evaluation.tasks.choices import continuation_nats
from model.generation.completion import load_model, prompt_ids
from model.serve.app import create_app
from model.serve.service import ModelSource

NAME = "tiny"
PROMPT = "The model 数据 naïve 🙂"


@pytest.fixture(scope="module")
def client(tiny_model):
    with TestClient(
        create_app([ModelSource(NAME, tiny_model)]), base_url="http://localhost"
    ) as client:
        yield client


@pytest.fixture(scope="module")
def loaded(tiny_model):
    return load_model(tiny_model)


def ask(client, **fields):
    reply = client.post("/v1/completions", json={"model": NAME, **fields})
    assert reply.status_code == 200, reply.text
    return reply.json()["choices"]


def test_a_prompt_alone_is_scored_as_the_model_sees_it(client, loaded):
    [choice] = ask(client, prompt=PROMPT, max_tokens=0, echo=True, logprobs=1)
    found = choice["logprobs"]
    assert choice["text"] == PROMPT
    sizes = {len(values) for values in found.values()}
    assert sizes == {len(prompt_ids(loaded, PROMPT)) - 1}  # all but the one that begins a text
    [nats] = continuation_nats(loaded, [("", PROMPT)], 1)
    assert sum(found["token_logprobs"]) == pytest.approx(-nats, rel=1e-4)
    for token, own, top in zip(
        found["tokens"], found["token_logprobs"], found["top_logprobs"], strict=True
    ):
        assert top[token] == own <= max(top.values())
        assert 1 <= len(top) <= 2
    pieces = zip(found["tokens"], found["text_offset"], strict=True)
    assert all(PROMPT[at:].startswith(t) for t, at in pieces if not t.startswith("bytes:"))


def test_token_ids_are_echoed_one_by_one(client, loaded):
    ids = prompt_ids(loaded, "The model")
    [choice] = ask(client, prompt=ids, max_tokens=1, echo=True, logprobs=3, temperature=0)
    found = choice["logprobs"]
    assert len(found["tokens"]) == len(ids) + 1
    assert found["token_logprobs"][0] is None
    assert found["top_logprobs"][0] is None
    assert found["token_logprobs"][-1] == max(found["top_logprobs"][-1].values())
    [text] = ask(client, prompt="The model", max_tokens=0, echo=True, logprobs=3)
    assert found["token_logprobs"][1:-1] == pytest.approx(text["logprobs"]["token_logprobs"])


def test_several_prompts_of_ids_are_scored_each_as_alone(client):
    prompts = [[1, 70, 80, 90], [1, 100], [5, 6, 7]]
    together = ask(client, prompt=prompts, max_tokens=0, echo=True, logprobs=0)
    alone = [ask(client, prompt=one, max_tokens=0, echo=True, logprobs=0)[0] for one in prompts]
    assert [one["index"] for one in together] == [0, 1, 2]
    for one, other in zip(together, alone, strict=True):
        assert one["logprobs"]["tokens"] == other["logprobs"]["tokens"]
        assert one["logprobs"]["token_logprobs"][1:] == pytest.approx(
            other["logprobs"]["token_logprobs"][1:]
        )


def test_what_is_written_is_scored_without_the_prompt(client):
    fields = {"prompt": "The ", "max_tokens": 6, "logprobs": 2, "seed": 3}
    [choice] = ask(client, **fields)
    [whole] = ask(client, **fields, echo=True)
    assert len(choice["logprobs"]["tokens"]) == 6
    assert whole["logprobs"]["tokens"][-6:] == choice["logprobs"]["tokens"]
    assert np.allclose(
        whole["logprobs"]["token_logprobs"][-6:], choice["logprobs"]["token_logprobs"]
    )
    assert choice["logprobs"]["text_offset"][0] == 0


def test_the_end_of_a_long_prompt_is_read_only_where_that_is_asked_for(client, loaded):
    long = "The model " * 40
    refused = client.post("/v1/completions", json={"model": NAME, "prompt": long, "max_tokens": 1})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (400, "context_length_exceeded")
    size = len(prompt_ids(loaded, long))
    assert f"64 tokens. The prompt has {size}" in error["message"]
    reply = client.post(
        "/v1/completions",
        json={"model": NAME, "prompt": long, "max_tokens": 0, "truncate_prompt_tokens": 20,
              "echo": True},
    ).json()  # fmt: skip
    assert reply["usage"]["prompt_tokens"] == 20
    assert long.endswith(reply["choices"][0]["text"])


def test_what_is_scored_has_to_fit_the_context_whole(client):
    body = {"model": NAME, "prompt": "The ", "max_tokens": 100, "logprobs": 1}
    assert client.post("/v1/completions", json=body).status_code == 400
    assert client.post("/v1/completions", json={**body, "logprobs": None}).status_code == 200


def test_the_model_s_own_end_counts_as_the_token_that_a_harness_drops(client, loaded):
    """lm-eval asks for one token and takes the last off, whatever it is."""
    ids = [1, 70, 80, loaded.tokenizer.eos_id]  # an untrained network says its last token again
    [choice] = ask(client, prompt=ids, max_tokens=1, echo=True, logprobs=1, temperature=0)
    assert choice["finish_reason"] == "stop"
    found = choice["logprobs"]
    assert len(found["tokens"]) == len(ids) + 1
    assert found["tokens"][-1] == "<|eos|>"
    assert found["token_logprobs"][-1] == max(found["top_logprobs"][-1].values())
    [prompt] = ask(client, prompt=ids, max_tokens=0, echo=True, logprobs=1)
    assert found["token_logprobs"][1:-1] == pytest.approx(prompt["logprobs"]["token_logprobs"][1:])
