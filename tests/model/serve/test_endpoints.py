"""Endpoints beside completion and chat: models and aliases, tasks, vectors, streamed scores."""

import base64
import json
import math
import struct
from itertools import chain

import pytest
from fastapi.testclient import TestClient

from model.data.chat import encode_prompt
from model.formats import model_folder
from model.generation.completion import complete, load_model, prompt_ids
from model.generation.sampling_config import SamplingConfig
from model.network.architecture import ENCODER, ENCODER_DECODER, ModelConfig
from model.network.families import build
from model.serve.app import create_app
from model.serve.endpoints.tasks import ENDPOINTS
from model.serve.options import ServeOptions, named_models
from model.serve.service import ModelSource
from model.transferring.frozen_features import last_vector_means
from pipeline.errors import ConfigError
from pipeline.prompts.task_templates import TASKS, asked_turn

TEXTS = ["The model learns.", "机器学习"]


@pytest.fixture(scope="module")
def client(tiny_model, chat_model):
    sources = [
        ModelSource("base", tiny_model, "models:/base@champion", "12", "# A card\n卡片"),
        ModelSource("talker", chat_model),
    ]
    app = create_app(sources, ServeOptions(aliases={"gpt": "talker"}))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="module")
def loaded(tiny_model):
    return load_model(tiny_model)


def post(client, path, status=200, **fields):
    reply = client.post(path, json={"model": "base", **fields})
    assert reply.status_code == status, reply.text
    return reply.json()


def test_several_models_and_aliases_answer_under_their_names(client):
    listed = client.get("/v1/models").json()["data"]
    assert [model["id"] for model in listed] == ["base", "talker"]
    assert listed[1]["aliases"] == ["gpt"]
    assert [model["chats"] for model in listed] == [False, True]
    card = client.get("/v1/models/base").json()
    assert (card["version"], card["card"]) == ("12", "# A card\n卡片")
    assert client.get("/v1/models/gpt").json()["id"] == "talker"
    asked = {"prompt": "The ", "max_tokens": 12, "seed": 4}
    texts = {}
    for name in ("base", "talker", "gpt"):
        body = post(client, "/v1/completions", **{**asked, "model": name})
        texts[name] = body["choices"][0]["text"]
        assert body["model"] == ("talker" if name == "gpt" else name)
    reply = client.post("/v1/completions", json={"model": "base", "prompt": "a", "max_tokens": 1})
    assert reply.headers["x-model-version"] == reply.json()["system_fingerprint"] == "12"
    assert texts["gpt"] == texts["talker"] != texts["base"]
    error = post(client, "/v1/completions", 404, **{**asked, "model": "other"})["error"]
    assert "'base', 'talker', 'gpt'" in error["message"]


def test_names_of_models_follow_from_what_was_given(tmp_path):
    champion, challenger = "models:/qa@champion", "models:/qa@challenger"
    assert named_models([champion, challenger], None) == {
        "qa": champion, "qa@challenger": challenger}  # fmt: skip
    assert named_models(["a=out/model", "b=models:/qa/3"], None) == {
        "a": "out/model", "b": "models:/qa/3"}  # fmt: skip
    assert named_models(["out/model"], "mine") == {"mine": "out/model"}
    for given, name in (
        (["x/model", "y/model"], None),
        (["a", "b"], "one"),
        (["a=x", "a=y"], None),
    ):
        with pytest.raises(ConfigError, match="NAME=MODEL"):
            named_models(given, name)


def test_an_alias_of_nothing_is_refused(tiny_model):
    with pytest.raises(ConfigError, match="--alias gpt=other"):
        create_app([ModelSource("base", tiny_model)], ServeOptions(aliases={"gpt": "other"}))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_a_task_is_asked_in_the_words_of_fine_tuning(client, loaded, endpoint):
    question = "Who learns?" if endpoint.task == "qa" else None
    more = {"question": question} if question else {}
    body = post(client, endpoint.path, text=TEXTS[1], max_tokens=6, **more)
    turn = asked_turn(endpoint.task, TEXTS[1], question)
    ids = encode_prompt([turn], loaded.tokenizer)
    wanted = complete(loaded, ids, SamplingConfig(max_new_tokens=6, temperature=0.0))
    assert [row["text"] for row in body["data"]] == [wanted.text.strip()]
    assert body["usage"]["prompt_tokens"] == len(ids)


def test_every_task_of_a_path_is_in_the_table():
    assert {endpoint.task for endpoint in ENDPOINTS} | {"classification", "sentiment"} <= {*TASKS}


def test_a_label_is_chosen_by_how_likely_the_model_finds_it(client, loaded):
    labels = ["good", "bad", "中"]
    body = post(client, "/classify", text=TEXTS, task="sentiment", labels=labels)
    for row in body["data"]:
        assert {score["label"] for score in row["scores"]} == {*labels}
        assert sum(score["probability"] for score in row["scores"]) == pytest.approx(1)
        assert row["label"] == row["scores"][0]["label"]
    ids = encode_prompt([asked_turn("sentiment", TEXTS[0])], loaded.tokenizer)
    totals = []
    for label in labels:
        ending = [*loaded.tokenizer.encode(label), loaded.tokenizer.eos_id]
        scored = post(client, "/v1/completions", prompt=[*ids, *ending], max_tokens=0, echo=True,
                      logprobs=0)  # fmt: skip
        totals.append(sum(scored["choices"][0]["logprobs"]["token_logprobs"][len(ids) :]))
    best = labels[max(range(3), key=totals.__getitem__)]
    assert body["data"][0]["label"] == best
    odds = math.exp(totals[labels.index(best)]) / sum(map(math.exp, totals))
    assert body["data"][0]["scores"][0]["probability"] == pytest.approx(odds, rel=1e-3)
    free = post(client, "/classify", text=TEXTS[0], max_tokens=4)["data"][0]
    assert free["scores"] is None


REFUSED = {
    "no texts": ("/translate", {"text": []}, "text"),
    "a long text": ("/summarize", {"text": "The " * 200}, "text"),
    "one label": ("/classify", {"text": "a", "labels": ["x"]}, "labels"),
    "equal labels": ("/classify", {"text": "a", "labels": ["x", "x"]}, "labels"),
    "a stream": ("/translate", {"text": "a", "stream": True}, "stream"),
    "no question": ("/answer", {"text": "a"}, "question"),
    "a dimension": ("/v1/embeddings", {"input": "a", "dimensions": 8}, "dimensions"),
    "no input": ("/v1/embeddings", {"input": []}, "input"),
    "ids of another model": ("/v1/embeddings", {"input": [1, 99_999]}, "input"),
    "a long input": ("/v1/embeddings", {"input": "The " * 200}, "input"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_field(client, name):
    path, fields, param = REFUSED[name]
    assert post(client, path, 400, **fields)["error"]["param"] == param


def test_vectors_are_the_means_of_the_last_hidden_states(client, loaded):
    body = post(client, "/v1/embeddings", input=TEXTS)
    ids = [prompt_ids(loaded, text) for text in TEXTS]
    for row, mean in zip(body["data"], last_vector_means(loaded.network, ids), strict=True):
        wanted = mean / sum(value * value for value in mean.tolist()) ** 0.5
        assert row["embedding"] == pytest.approx(wanted.tolist(), abs=1e-5)
    assert body["usage"]["prompt_tokens"] == sum(map(len, ids))
    packed = post(client, "/v1/embeddings", input=ids[1], encoding_format="base64")["data"][0]
    raw = base64.b64decode(packed["embedding"])
    values = struct.unpack(f"<{len(raw) // 4}f", raw)
    assert values == pytest.approx(body["data"][1]["embedding"], abs=1e-6)


def streamed(client, path, **fields):
    reply = client.post(path, json={"model": "talker", "stream": True, **fields})
    events = [event.removeprefix("data: ") for event in reply.text.split("\n\n")[:-1]]
    assert events[-1] == "[DONE]"
    return [choice for event in map(json.loads, events[:-1]) for choice in event["choices"]]


@pytest.mark.parametrize("echo", [False, True])
def test_streamed_scores_are_those_of_the_whole_reply(client, echo):
    asked = {"prompt": "机器 naïve", "max_tokens": 24, "seed": 6, "logprobs": 3, "echo": echo}
    whole = post(client, "/v1/completions", **{**asked, "model": "talker"})["choices"][0]
    for stop in (None, whole["text"][-4:-2]):
        fields = {**asked, "stop": stop}
        whole = post(client, "/v1/completions", **{**fields, "model": "talker"})["choices"][0]
        parts = streamed(client, "/v1/completions", **fields)
        assert "".join(part["text"] for part in parts) == whole["text"]
        for name, values in whole["logprobs"].items():
            shown = [part["logprobs"][name] for part in parts if part["logprobs"]]
            assert [*chain.from_iterable(shown)] == values


def test_an_answer_is_scored_in_the_chat_form(client):
    asked = {"messages": [{"role": "user", "content": "你好"}], "max_tokens": 12, "seed": 2,
             "logprobs": True, "top_logprobs": 2}  # fmt: skip
    whole = post(client, "/v1/chat/completions", **{**asked, "model": "gpt"})["choices"][0]
    content = whole["logprobs"]["content"]
    text = b"".join(bytes(token["bytes"] or []) for token in content).decode("utf-8", "replace")
    assert text.rstrip("\ufffd") in whole["message"]["content"]
    for token in content:
        assert token["logprob"] <= 0
        assert len(token["top_logprobs"]) == 2
        assert token["top_logprobs"][0]["logprob"] >= token["top_logprobs"][1]["logprob"]
    parts = streamed(client, "/v1/chat/completions", **asked)
    shown = [part["logprobs"]["content"] for part in parts if part["logprobs"]]
    assert [*chain.from_iterable(shown)] == content


def test_metrics_count_what_was_asked(client):
    before = client.get("/metrics").text
    post(client, "/v1/embeddings", input="a")
    after = client.get("/metrics").text
    assert 'textmill_model_info{engine="' in after
    name = 'textmill_tokens_total{key="",kind="prompt",model="base"}'
    values = [
        float(line.rsplit(" ", 1)[1]) for text in (before, after)
        for line in text.splitlines() if line.startswith(name)
    ]  # fmt: skip
    assert values[1] - values[0] == 2  # <|bos|> and a


@pytest.fixture(scope="module")
def other_families(tmp_path_factory, tiny_model):
    """A client of an encoder and an encoder-decoder, untrained, with the tiny model's tokenizer."""
    sources = []
    for family in (ENCODER, ENCODER_DECODER):
        folder = tmp_path_factory.mktemp(family)
        config = ModelConfig(
            family=family, layers=1, width=32, heads=2, kv_heads=2, hidden=48, context=64
        )
        network = build(config, load_model(tiny_model).tokenizer.vocab_size)
        tokenizer = tiny_model / model_folder.TOKENIZER
        model_folder.write(network, tokenizer, lambda name, folder=folder: folder / name)
        sources.append(ModelSource(family, folder))
    with TestClient(create_app(sources), base_url="http://localhost") as client:
        yield client


def test_models_of_every_family_do_what_they_can_and_refuse_the_rest_by_name(other_families):
    for family in (ENCODER, ENCODER_DECODER):
        body = post(other_families, "/v1/embeddings", model=family, input=TEXTS)
        for row in body["data"]:
            assert sum(value * value for value in row["embedding"]) == pytest.approx(1, abs=1e-5)
        refused = post(other_families, "/classify", 400, model=family, text="a", labels=["b", "c"])
        assert refused["error"]["param"] == "labels"
    translated = post(other_families, "/translate", model=ENCODER_DECODER, text=TEXTS, max_tokens=3)
    assert len(translated["data"]) == 2
    asked = {"model": ENCODER, "prompt": "a", "max_tokens": 2}
    error = post(other_families, "/v1/completions", 400, **asked)["error"]
    assert ENCODER in error["message"]
    assert post(other_families, "/translate", 400, model=ENCODER, text="a")["error"]["message"]
    can = {model["id"]: model for model in other_families.get("/v1/models").json()["data"]}
    assert (can[ENCODER]["generates"], can[ENCODER_DECODER]["generates"]) == (False, True)
