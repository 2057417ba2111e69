"""Answers in JSON: an untrained model says what its schema allows, or the schema is refused."""

import asyncio
import json

import jsonschema
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.generation.sampling_config import SamplingConfig
from model.serve.app import create_app
from model.serve.engines.engine_options import TORCH, EngineOptions
from model.serve.engines.interface import STOP, GeneratedText, TextRequest
from model.serve.engines.opening import open_engine
from model.serve.json_schemas import COUNT_MAX, KEYWORDS, schema_of
from model.serve.options import ServeOptions
from model.serve.schema import ApiError
from model.serve.service import ModelSource

NAMES = st.text(st.sampled_from('ab_Z9 "\\机🙂'), min_size=1, max_size=6)
SCALARS = st.one_of(NAMES, st.integers(-99, 99), st.booleans(), st.none())
COUNTS = st.integers(0, 3)


def objects(inner):
    """Return schemas of objects, some properties required and some not."""

    def made(pairs):
        return st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.just(pairs),
                "required": st.lists(st.sampled_from(sorted(pairs)), unique=True),
            },
            optional={"additionalProperties": st.just(False), "title": st.just("T")},
        )

    return st.dictionaries(NAMES, inner, min_size=1, max_size=3).flatmap(made)


def counted(kind: str, least: str, most: str, **more):
    """Return schemas of what has a length."""
    return st.builds(
        lambda a, b, rest: {"type": kind, least: min(a, b), most: max(a, b), **rest},
        COUNTS, COUNTS, st.fixed_dictionaries(more),
    )  # fmt: skip


LEAVES = st.one_of(
    st.sampled_from(
        [{"type": kind} for kind in ("string", "number", "integer", "boolean", "null")]
    ),
    st.builds(lambda values: {"enum": values}, st.lists(SCALARS, min_size=1, max_size=3)),
    st.builds(lambda value: {"const": value}, SCALARS),
    counted("string", "minLength", "maxLength"),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        objects(inner),
        counted("array", "minItems", "maxItems", items=inner),
        st.builds(lambda several: {"anyOf": several}, st.lists(inner, min_size=1, max_size=2)),
    ),
    max_leaves=5,
)


def asked_for(schema) -> dict:
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}


@pytest.fixture(scope="module")
def write(tiny_model):
    """Return a function that has llama.cpp write under a schema, with many seeds at once."""
    loop = asyncio.new_event_loop()
    engine = open_engine(tiny_model, EngineOptions(slots=6))
    loop.run_until_complete(engine.start())

    async def texts(schema, count: int) -> list[GeneratedText]:
        made = [
            GeneratedText(
                TextRequest(
                    [1, 9],
                    SamplingConfig(max_new_tokens=300, temperature=1.2, seed=seed),
                    json_schema=schema,
                )
            )
            for seed in range(count)
        ]
        engine.begin(made)
        await asyncio.gather(*(text.over.wait() for text in made))
        return made

    yield lambda schema, count=6: loop.run_until_complete(texts(schema, count))
    loop.run_until_complete(engine.close())
    loop.close()


@settings(max_examples=40, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(schema=SCHEMAS)
def test_what_is_taken_of_a_schema_is_held_to(write, schema):
    assert schema_of(asked_for(schema)) == schema
    for text in write(schema):
        assert text.ended_well
        written = "".join(text.written)
        if text.finish_reason == STOP:
            jsonschema.validate(json.loads(written), schema)
        else:  # the length cut it off: what is there begins as JSON does
            assert written.lstrip()[:1] in {*'{["-0123456789tfn', ""}, written


def test_an_object_is_one(write):
    ended = [text for text in write({"type": "object"}, 24) if text.finish_reason == STOP]
    assert ended
    assert all(isinstance(json.loads("".join(text.written)), dict) for text in ended)


WRONG = [
    {"$ref": "#/$defs/a"},
    {"type": "string", "pattern": "^(a+)+$"},
    {"type": "object", "additionalProperties": True},
    {"type": "object", "properties": {"a": {"type": "foo"}}},
    {"type": "object", "properties": {"a": True}},
    {"type": "object", "required": ["a"]},
    {"type": ["string", "null"]},
    {"type": "array", "items": [{"type": "null"}]},
    {"type": "array", "maxItems": COUNT_MAX + 1},
    {"type": "array", "minItems": 3, "maxItems": 2},
    {"enum": []},
    {"enum": [{"a": 1}]},
    {"enum": [float("inf")]},
    {"const": 10**400},
    {"anyOf": []},
    {},
]


@pytest.mark.parametrize("schema", WRONG, ids=json.dumps)
def test_what_would_not_be_held_to_is_refused_by_its_name(schema):
    with pytest.raises(ApiError, match="response_format") as refused:
        schema_of(asked_for(schema))
    assert refused.value.body["error"]["param"] == "response_format"


def test_depth_and_size_have_bounds():
    deep = {"type": "null"}
    for _ in range(1000):
        deep = {"anyOf": [deep]}
    for schema in (deep, {"enum": ["x" * 20_000]}):
        with pytest.raises(ApiError, match=r"deeper|larger"):
            schema_of(asked_for(schema))
    assert {"pattern", "$ref", "format", "oneOf", "allOf"}.isdisjoint(KEYWORDS)


@pytest.mark.parametrize("engine", ["auto", TORCH])
def test_the_chat_api_takes_it_where_llama_cpp_writes(tiny_model, engine):
    options = ServeOptions(engine=EngineOptions(engine))
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 200,
             "response_format": asked_for({"enum": ["yes", "no"]})}  # fmt: skip
    with TestClient(
        create_app([ModelSource("tiny", tiny_model)], options), base_url="http://localhost"
    ) as client:
        reply = client.post("/v1/chat/completions", json=asked)
        beams = client.post("/v1/chat/completions", json={**asked, "beams": 2})
    assert beams.status_code == 400
    if engine == TORCH:
        assert reply.json()["error"]["param"] == "response_format"
    else:
        assert json.loads(reply.json()["choices"][0]["message"]["content"]) in ("yes", "no")
