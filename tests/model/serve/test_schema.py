"""The API's own description, and requests that anybody might send: no answer is a 500."""

import json

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from model.serve.app import create_app
from model.serve.service import ModelSource

NAME = "tiny"


@pytest.fixture(scope="module")
def client(chat_model):
    with TestClient(
        create_app([ModelSource(NAME, chat_model)]), base_url="http://localhost"
    ) as client:
        yield client


def test_the_description_is_whole_and_valid(client):
    document = client.get("/openapi.json").json()
    validate(document)  # also that every reference leads somewhere
    bodies = [
        document["paths"][f"/v1/{path}"]["post"]["requestBody"]["content"]["application/json"]
        for path in ("completions", "chat/completions")
    ]
    names = [body["schema"]["$ref"].rpartition("/")[2] for body in bodies]
    schemas = document["components"]["schemas"]
    assert "truncate_prompt_tokens" in schemas[names[0]]["properties"]
    assert "messages" in schemas[names[1]]["properties"]
    assert client.get("/openapi.json").json() == document


NUMBERS = st.sampled_from(
    [0, 1, -1, 2, 64, 5e-324, 1e-310, 2.2e-308, -5e-324, 1e308, -1e308, 0.5, 1.0, 2**31, 2**63,
     -(2**63), 2**64, 10**30, float("nan"), float("inf"), -float("inf"), None, True, "1", [], {}]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "\0", "<|eos|>", "机器学习", "😀", "x" * 300, "The " * 40, None, 3, []]),
)
PROMPTS = st.one_of(
    TEXTS,
    st.lists(TEXTS, max_size=3),
    st.lists(st.integers(-2, 400), max_size=4),
    st.lists(st.lists(st.integers(0, 379), max_size=4), max_size=3),
)
PARTS = st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url"]), "text": TEXTS}),
    max_size=2,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "user", "assistant", "developer", "tool", ""]),
            "content": st.one_of(TEXTS, PARTS),
        },
        optional={"name": TEXTS, "refusal": st.none(), "tool_calls": st.sampled_from([None, [1]])},
    ),
    max_size=5,
)
SETTINGS = {
    "temperature": NUMBERS, "top_p": NUMBERS, "top_k": NUMBERS, "min_p": NUMBERS,
    "repetition_penalty": NUMBERS, "presence_penalty": NUMBERS, "frequency_penalty": NUMBERS,
    "seed": NUMBERS, "n": NUMBERS, "beams": NUMBERS, "logprobs": NUMBERS, "echo": st.booleans(),
    "stream": st.booleans(), "stop": st.one_of(TEXTS, st.lists(TEXTS, max_size=5)),
    "logit_bias": st.sampled_from([None, {}, {"1": float("nan")}, {"1": 5}, {"x": "y"}, 3,
                                   {"379": -100, "0": 100}, {"5": 101}, {"380": 1}, {"01": 1}]),
    "stream_options": st.sampled_from([None, {}, {"include_usage": True}, {"a": 1}]),
    "truncate_prompt_tokens": NUMBERS, "metadata": st.sampled_from([None, {"a": "b"}, 3]),
}  # fmt: skip
TOKENS = st.sampled_from([0, 1, 3, 5, None, -1, 10**30, 2.5])
ANYTHING = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])


def asked(client, path: str, fields: dict) -> None:
    content = json.dumps({"model": NAME, **fields}).encode()  # NaN as JSON has it not
    reply = client.post(path, content=content, headers={"content-type": "application/json"})
    assert reply.status_code in (200, 400), (reply.status_code, reply.text, fields)
    if reply.status_code == 400:
        assert reply.json()["error"]["message"]
    elif fields.get("stream"):
        assert reply.text.endswith("data: [DONE]\n\n"), (reply.text[-300:], fields)
    else:
        assert json.loads(reply.text, parse_constant=pytest.fail)["choices"]


@ANYTHING
@given(fields=st.fixed_dictionaries({"prompt": PROMPTS, "max_tokens": TOKENS}, optional=SETTINGS))
def test_no_completion_request_breaks_the_server(client, fields):
    asked(client, "/v1/completions", fields)


CHAT = {name: values for name, values in SETTINGS.items() if name != "echo"}


@ANYTHING
@given(fields=st.fixed_dictionaries({"messages": MESSAGES, "max_tokens": TOKENS}, optional=CHAT))
def test_no_chat_request_breaks_the_server(client, fields):
    asked(client, "/v1/chat/completions", fields)


@pytest.mark.parametrize("value", [5e-324, 1e-310, 1e-30])
def test_the_smallest_temperatures_take_the_likeliest_token(client, value):
    def text(**fields) -> str:
        body = {"model": NAME, "prompt": "The ", "max_tokens": 8, **fields}
        return client.post("/v1/completions", json=body).json()["choices"][0]["text"]

    assert text(temperature=value) == text(temperature=0)
    assert text(temperature=2, top_p=5e-324) == text(temperature=0)
