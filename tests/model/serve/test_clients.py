"""The API as programs of others use it: OpenAI's own clients, and lm-eval over HTTP."""

import json
import os
import shutil
import subprocess
import sys
import typing
from typing import Literal

import pytest
from pydantic import BaseModel

from model.generation.completion import load_model
from model.serve.completion import CompletionRequest
from model.serve.conversation import ChatRequest
from model.serve.endpoints.embeddings import EmbeddingRequest
from tests.model.serve.test_app import START_SECONDS, start

openai = pytest.importorskip("openai", reason="needs OpenAI's client")
WITHOUT_PROXY = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
HELLO = {"role": "user", "content": "你好"}


@pytest.fixture(scope="module")
def address(tiny_model, chat_model):
    process, address = start(f"base={tiny_model}", f"talker={chat_model}", "--alias", "gpt=talker")
    yield address
    process.terminate()
    process.wait(timeout=START_SECONDS)


@pytest.fixture(scope="module")
def client(address):
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_openais_client_lists_completes_and_streams(client):
    assert [model.id for model in client.models.list()] == ["base", "talker"]
    assert client.models.retrieve("gpt").id == "talker"
    asked = {"model": "base", "prompt": ["The", "机器"], "max_tokens": 9, "seed": 4, "n": 2}
    whole = client.completions.create(**asked, logprobs=2, echo=True, stop=["zzz"])
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert all(len(choice.logprobs.tokens) > 1 for choice in whole.choices)
    texts = [""] * 4
    for event in client.completions.create(
        **asked, echo=True, stream=True, stream_options={"include_usage": True}
    ):
        for choice in event.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]
    assert event.usage == whole.usage


def test_openais_client_talks_and_sends_back_what_it_got(client):
    asked = {"model": "gpt", "max_tokens": 9, "seed": 4}
    said = client.chat.completions.create(
        **asked, messages=[HELLO], logprobs=True, top_logprobs=3
    ).choices[0]
    assert len(said.logprobs.content[0].top_logprobs) == 3
    for message in (said.message, said.message.model_dump()):  # as its users send it back
        again = client.chat.completions.create(**asked, messages=[HELLO, message, HELLO])
        assert again.choices[0].message.content is not None
    text = ""
    with client.chat.completions.stream(**asked, messages=[HELLO]) as stream:
        for event in stream:
            if event.type == "content.delta":
                text += event.delta
        final = stream.current_completion_snapshot  # cut off: the final one would raise
    assert text == said.message.content == final.choices[0].message.content


def test_openais_client_gets_vectors_and_errors_of_its_own_kinds(client):
    got = client.embeddings.create(model="base", input=["a", "数据"])  # it asks for base64
    assert sum(value * value for value in got.data[1].embedding) == pytest.approx(1, abs=1e-5)
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.completions.create(model="other", prompt="a")
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="gpt", messages=[HELLO], tools=[{
            "type": "function", "function": {"name": "a"}}])  # fmt: skip
    assert refused.value.param == "tools"
    harmless = {"store": False, "metadata": {"a": "b"}, "user": "me", "service_tier": "auto",
                "reasoning_effort": "low", "verbosity": "low", "parallel_tool_calls": True,
                "prompt_cache_key": "k"}  # fmt: skip
    client.chat.completions.create(model="gpt", messages=[HELLO], max_tokens=1, **harmless)


class Opinion(BaseModel):
    """What an answer is to hold."""

    label: Literal["good", "bad"]
    sure: bool


def test_openais_client_parses_answers_into_a_class(client):
    asked = {"model": "gpt", "messages": [HELLO], "max_tokens": 300}
    said = client.chat.completions.parse(**asked, response_format=Opinion, logit_bias={"9": -100})
    assert isinstance(said.choices[0].message.parsed, Opinion)


@pytest.mark.parametrize(("kind", "request_kind"), [
    (openai.types.chat.completion_create_params.CompletionCreateParamsBase, ChatRequest),
    (openai.types.completion_create_params.CompletionCreateParamsBase, CompletionRequest),
    (openai.types.embedding_create_params.EmbeddingCreateParams, EmbeddingRequest),
])  # fmt: skip
def test_no_field_of_openais_client_is_unknown(kind, request_kind):
    """Each is honoured, taken where it changes nothing, or refused by its name."""
    named = set(typing.get_type_hints(kind))
    assert "model" in named
    assert named - request_kind.model_fields.keys() == set()


SCRIPT = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "none", maxRetries: 0 });
const hello = { role: "user", content: "你好" };
const asked = { model: "gpt", max_tokens: 9, seed: 4 };
const whole = await client.chat.completions.create({ ...asked, messages: [hello],
  logprobs: true, top_logprobs: 2 });
const said = whole.choices[0].message;
await client.chat.completions.create({ ...asked, messages: [hello, said, hello] });
let text = "", usage = null;
for await (const part of await client.chat.completions.create({ ...asked, messages: [hello],
    stream: true, stream_options: { include_usage: true } })) {
  text += part.choices[0]?.delta?.content ?? ""; usage = part.usage ?? usage;
}
const vectors = await client.embeddings.create({ model: "base", input: "数据" });
const listed = []; for await (const model of client.models.list()) listed.push(model.id);
const done = await client.completions.create({ model: "base", prompt: [1, 70], max_tokens: 3,
  echo: true, logprobs: 1 });
const refused = await client.completions.create({ model: "base", prompt: "a", suffix: "b" })
  .then(() => null, error => [error.constructor.name, error.param]);
console.log(JSON.stringify({ said: said.content, text, usage, counted: whole.usage, listed, refused,
  width: vectors.data[0].embedding.length, tokens: done.choices[0].logprobs.tokens.length }));
"""


@pytest.mark.slow
def test_openais_client_in_javascript(address, tmp_path):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs node and npm")
    (tmp_path / "package.json").write_text('{"type": "module", "private": true}')
    installed = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "openai"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip(f"npm could not install openai: {installed.stderr[-300:]}")
    (tmp_path / "ask.js").write_text(SCRIPT, "utf-8")
    ran = subprocess.run(
        ["node", "ask.js", address], cwd=tmp_path, env=WITHOUT_PROXY, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    got = json.loads(ran.stdout)
    assert got["said"] == got["text"] != ""
    assert got["usage"] == got["counted"]
    assert got["listed"] == ["base", "talker"]
    assert got["refused"] == ["BadRequestError", "suffix"]
    assert got["width"] == 32
    assert got["tokens"] >= 3


ASK = """
import json, sys
import lm_eval
from lm_eval.tasks import TaskManager
address, folder, tasks = sys.argv[1:]
def ask(model, arguments, **more):
    found = lm_eval.simple_evaluate(
        model=model, model_args=arguments, tasks=["textmill_sentiment"], bootstrap_iters=0,
        task_manager=TaskManager(include_path=tasks, include_defaults=False), **more)
    rows = found["samples"]["textmill_sentiment"]
    return sorted((row["doc_id"], row["filtered_resps"]) for row in rows)
print(json.dumps([
    ask("local-completions", f"model=base,base_url={address}/v1/completions,tokenizer={folder},"
        "tokenizer_backend=huggingface,max_length=64,add_bos_token=True", batch_size=4),
    ask("hf", f"pretrained={folder},dtype=float32,add_bos_token=True", batch_size=4, device="cpu"),
]))
"""


@pytest.mark.slow
def test_lm_eval_scores_a_served_model_as_the_model_itself(address, tiny_model, tmp_path):
    pytest.importorskip("lm_eval", reason="needs lm-eval")
    from model.evaluation.tasks.lm_eval import write
    from model.evaluation.tasks.questions import TaskConfig, build_questions

    asked = build_questions(load_model(tiny_model), TaskConfig("sentiment", examples=12), 0)
    write(tmp_path, "sentiment", asked)
    offline = {**WITHOUT_PROXY, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
               "HF_HOME": str(tmp_path / "hf")}  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-c", ASK, address, str(tiny_model), str(tmp_path)],
        env=offline, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    served, own = json.loads(ran.stdout.splitlines()[-1])
    assert len(served) == len(own) == 12
    for (_, by_server), (_, by_model) in zip(served, own, strict=True):
        for (logprob, greedy), (wanted, is_greedy) in zip(by_server, by_model, strict=True):
            assert float(logprob) == pytest.approx(float(wanted), rel=1e-4)
            assert str(greedy) == str(is_greedy)
