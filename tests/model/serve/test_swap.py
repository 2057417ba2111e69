"""A served alias that moves, in a real MLflow store: no request is lost, broken ones stay out."""

import asyncio
import json
import shutil
import time

import httpx
import pytest
import torch
from mlflow.entities.webhook import WebhookEvent
from mlflow.webhooks.delivery import _generate_hmac_signature
from mlflow.webhooks.types import get_example_payload_for_event

from model.formats import model_folder
from model.registry import tracking, versions
from model.registry.model_record import ModelRecord
from model.registry.tracking import TrackingSettings
from model.serve.app import create_app
from model.serve.options import ServeOptions
from model.serve.sources import source_of
from pipeline.errors import TextmillError
from pipeline.tokenizer import MODEL_FILE
from tests.model.scores import costs

NAME = "tiny"
ADDRESS = f"models:/{NAME}@champion"
FIELDS = {"model": NAME, "prompt": "The ", "max_tokens": 60, "temperature": 0}


def changed(source, folder, spoil: bool):
    """Write the model again with other weights, or with some that are no numbers."""
    network = model_folder.read(source)
    torch.manual_seed(9)
    with torch.no_grad():
        for weight in network.parameters():
            weight += torch.randn_like(weight)
        if spoil:
            network.norm.weight.fill_(float("nan"))
    tokenizer = folder.parent / f"{folder.name}.model"
    folder.parent.mkdir(exist_ok=True)
    shutil.copy(source / MODEL_FILE, tokenizer)
    model_folder.write(network, tokenizer, lambda name: folder / name)
    return folder


@pytest.fixture(scope="module")
def store(made_chain, tiny_model, tmp_path_factory):
    """Register three versions: the tiny model, another one, one that is broken."""
    folder = tmp_path_factory.mktemp("swap")
    settings = TrackingSettings(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts", "lab")
    models = [
        tiny_model,
        changed(tiny_model, folder / "models" / "other", spoil=False),
        changed(tiny_model, folder / "models" / "broken", spoil=True),
    ]
    for seed, model in enumerate(models):
        chain = made_chain(folder / f"chain-{seed}", model, seed=seed)
        record = ModelRecord(
            evaluation=chain.evaluation,
            training=chain.training,
            data=chain.data,
            verdict_files=chain.verdict_files,
            params={},
            card=f"# {seed}",
        )
        versions.register(settings, NAME, chain.training.path, record, lambda _: costs(2.0))
    return settings


@pytest.fixture
def move(store):
    """Return a function that points the alias at a version."""
    client = tracking.connect(store)

    def call(version: int) -> None:
        client.set_registered_model_alias(NAME, "champion", str(version))

    call(1)
    return call


def serving(store, work, **options):
    """Run `work(client, app)` beside the served alias."""

    async def main():
        app = create_app(
            [source_of(NAME, ADDRESS, store)], ServeOptions(**{"poll_seconds": 0.2, **options})
        )
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
            asyncio.timeout(100),
        ):
            return await work(client, app)

    return asyncio.run(main())


async def ask(client) -> tuple[str, str, str]:
    """Return an answer, the version in its header and that in its body."""
    reply = await client.post("/v1/completions", json=FIELDS)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    return body["choices"][0]["text"], reply.headers["x-model-version"], body["system_fingerprint"]


async def ask_until(client, version: str) -> list[tuple[str, str, str]]:
    """Ask until a version answers; return all answers."""
    answers = [await ask(client)]
    while answers[-1][1] != version:
        answers.append(await ask(client))
    return answers


def test_a_moved_alias_is_followed_under_load_and_back_at_once(store, move):
    async def work(client, app):
        first = await ask(client)
        move(2)
        lines = await asyncio.gather(*(ask_until(client, "2") for _ in range(12)))
        second = await ask(client)
        [watch] = app.state.watches
        kept = watch.previous
        move(1)
        back = (await ask_until(client, "1"))[-1]
        return (
            first,
            second,
            [answer for line in lines for answer in line],
            back,
            kept is watch.current,
        )

    first, second, answers, back, was_kept = serving(store, work)
    assert first[1:] == ("1", "1")
    assert second[1:] == ("2", "2")
    assert first[0] != second[0]
    assert {*answers} == {first, second}  # each is whole, and named by what wrote it
    assert back == first
    assert was_kept


def signed(secret: str, sent: float, body: str, delivery: str) -> dict[str, str]:
    """Return the headers that MLflow's own code makes for a message of its webhooks."""
    stamp = str(int(sent))
    return {
        "x-mlflow-delivery-id": delivery,
        "x-mlflow-timestamp": stamp,
        "x-mlflow-signature": _generate_hmac_signature(secret, delivery, stamp, body),
    }


def test_a_signed_message_of_mlflow_is_followed_at_once(store, move, tmp_path):
    """Polled every hour; a message about another alias and one that is not signed do nothing."""
    secret = "s" * 32
    (tmp_path / "secret").write_text(secret)
    example = get_example_payload_for_event(WebhookEvent("model_version_alias", "created"))

    async def work(client, app):
        [watch] = app.state.watches

        async def tell(alias: str, delivery: str, **changed) -> tuple[int, bool]:
            data = {**example, "name": NAME, "alias": alias, "version": "2"}
            body = json.dumps({"entity": "model_version_alias", "action": "created", "data": data})
            headers = signed(secret, time.time(), body, delivery) | changed
            kind = {"content-type": "application/json"}
            reply = await client.post("/webhooks/mlflow", content=body, headers=headers | kind)
            return reply.status_code, watch.look.is_set()

        move(2)
        assert await tell("challenger", "a") == (204, False)
        assert await tell("champion", "b", **{"x-mlflow-signature": "v1,eA=="}) == (401, False)
        assert await tell("champion", "c") == (204, True)
        return (await ask_until(client, "2"))[-1]

    assert serving(store, work, poll_seconds=3600, webhook_secret=tmp_path / "secret")[1] == "2"


def test_a_version_that_writes_no_numbers_is_not_taken_and_said(store, move, caplog):
    async def work(client, app):
        [watch] = app.state.watches
        first = await ask(client)
        move(3)
        while watch.refused != "3":
            await asyncio.sleep(0.05)
        return first, await ask(client)

    first, after = serving(store, work)
    assert first == after
    [said] = [record.getMessage() for record in caplog.records if "not taken" in record.message]
    assert "version 3" in said
    assert "version 1 goes on" in said


def test_a_registry_that_does_not_answer_changes_nothing(store, move, monkeypatch):
    async def work(client, app):
        [watch] = app.state.watches
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()

        def lost():
            loop.call_soon_threadsafe(asked.set)
            raise TextmillError("no answer")

        monkeypatch.setattr(watch, "find", lost)
        await asked.wait()
        return await ask(client)

    assert serving(store, work)[1] == "1"


def test_a_shadow_is_compared_and_the_champion_answers(store, move, caplog):
    """Twice beside another version, once beside itself; texts are in no log."""
    caplog.set_level("INFO", logger="model.serve.shadow")

    async def compared(challenger: str, requests: int) -> tuple[list[str], str]:
        named = {NAME: f"models:/{NAME}/1", "beside": challenger}
        app = create_app(
            [source_of(name, address, store) for name, address in named.items()],
            ServeOptions(shadow="beside", shadow_share=1.0),
        )
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
            asyncio.timeout(100),
        ):
            answers = [await ask(client) for _ in range(requests)]
            alone = await client.post("/v1/completions", json={**FIELDS, "model": "beside"})
            while caplog.text.count('"common_characters"') < requests:
                await asyncio.sleep(0.05)
            assert {answer[1:] for answer in answers} == {("1", "1")}
            return [answer[0] for answer in answers], alone.json()["choices"][0]["text"]

    answers, other = asyncio.run(compared(f"models:/{NAME}/2", 2))
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert [line["same"] for line in lines[:2]] == [False, False]
    assert lines[0]["versions"] == ["1", "2"]
    assert lines[0]["common_characters"] < len(answers[0])
    assert lines[0]["characters"] == [len(answers[0]), len(other)]
    assert lines[2] == {"shadow": "beside", "compared": 2, "same": 0, "skipped": 0}
    assert answers[0] not in caplog.text
    caplog.clear()
    asyncio.run(compared(f"models:/{NAME}/1", 1))
    assert json.loads(caplog.records[-1].getMessage())["same"] == 1


def test_a_shadow_behind_an_alias_follows_it_too(store, move, caplog):
    """The challenger's alias moves while the champion's name stays at a version."""
    caplog.set_level("INFO", logger="model.serve.shadow")
    client_of_store = tracking.connect(store)
    client_of_store.set_registered_model_alias(NAME, "challenger", "1")

    def lines() -> list[dict]:
        told = (json.loads(r.getMessage()) for r in caplog.records if r.name.endswith("shadow"))
        return [line for line in told if "versions" in line]

    async def compared(client, version: str) -> dict:
        while True:
            asked = len(lines())
            assert (await ask(client))[1] == "1"  # the champion answers
            while len(lines()) == asked:
                await asyncio.sleep(0.05)
            if lines()[-1]["versions"][1] == version:
                return lines()[-1]

    async def main():
        named = {NAME: f"models:/{NAME}/1", "beside": f"models:/{NAME}@challenger"}
        sources = [source_of(name, address, store) for name, address in named.items()]
        options = ServeOptions(poll_seconds=0.2, shadow="beside", shadow_share=1.0)
        app = create_app(sources, options)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
            asyncio.timeout(100),
        ):
            assert (await compared(client, "1"))["same"]
            client_of_store.set_registered_model_alias(NAME, "challenger", "2")
            assert not (await compared(client, "2"))["same"]

    asyncio.run(main())
