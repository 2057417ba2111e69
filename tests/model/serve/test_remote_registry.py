"""Serving from a real MLflow server: what it keeps and says, what it sends when aliases move."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import httpx
import pytest
import uvicorn
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent

from model.registry import tracking
from model.registry.alias_version import alias_version
from model.registry.tracking import TrackingSettings
from model.serve.app import create_app
from model.serve.endpoints.webhook import CLOCK_SECONDS, PATH, WebhookCheck, read_secret
from model.serve.engines.engine_options import EngineOptions
from model.serve.engines.opening import open_engine
from model.serve.options import ServeOptions
from model.serve.schema import ApiError
from model.serve.sources import source_of
from pipeline.errors import ConfigError, ServiceError
from pipeline.store.artifact import check_hashes, write_hashes
from tests.model.serve.test_swap import signed

NAME = "tiny"
ADDRESS = f"models:/{NAME}@champion"
SECRET = "a secret of both servers"
START_SECONDS = 90
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="  # of the server's own encryption


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory):
    """Start `mlflow server` as an operator does who lets it send webhooks to this machine."""
    folder, port = tmp_path_factory.mktemp("mlflow-server"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
               "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
               "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip
    told = {
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "1",  # seconds in which it does not see a new webhook
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": KEY,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **told})
    address = f"http://127.0.0.1:{port}"
    for _ in range(START_SECONDS * 5):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            break
        except OSError:
            time.sleep(0.2)
    else:
        pytest.fail((folder / "log").read_text()[-2000:])
    yield address
    process.terminate()
    process.wait(timeout=START_SECONDS)


@pytest.fixture(scope="module")
def settings(mlflow_server, tiny_model, tmp_path_factory):
    """Store two versions with the server, as registering leaves them; the first is champion."""
    folder = tmp_path_factory.mktemp("here")
    settings = TrackingSettings(mlflow_server, folder / "downloads", "lab")
    client = tracking.connect(settings)
    experiment = tracking.experiment_id(client, settings)
    client.create_registered_model(NAME)
    whole = folder / "whole"
    shutil.copytree(tiny_model, whole / "artifacts" / "model")
    write_hashes(whole / "artifacts" / "model", [path.name for path in tiny_model.iterdir()])
    for _ in range(2):
        stored = client.create_logged_model(experiment, name=NAME)
        client.log_model_artifacts(stored.model_id, str(whole))
        client.create_model_version(NAME, stored.artifact_location, model_id=stored.model_id)
    client.set_registered_model_alias(NAME, "champion", "1")
    return settings


@pytest.mark.slow
def test_what_an_alias_means_is_asked_without_mlflow(settings):
    assert alias_version(ADDRESS, settings) == "1"
    with pytest.raises(ConfigError, match="no alias 'nobody'"):
        alias_version(f"models:/{NAME}@nobody", settings)
    gone = TrackingSettings(f"http://127.0.0.1:{free_port()}", settings.artifact_root)
    with pytest.raises(ServiceError, match="does not say"):
        alias_version(ADDRESS, gone)


@pytest.mark.slow
def test_what_an_engine_reads_is_made_once_and_kept_by_the_server(settings, tmp_path):
    """A second machine finds it there; the version's own files stay as they were registered."""
    first = source_of(NAME, f"models:/{NAME}/1", settings)
    made = open_engine(first.folder, EngineOptions(slots=1), first.shelf).settings.model
    assert made.is_relative_to(first.shelf.folder)
    elsewhere = TrackingSettings(settings.uri, tmp_path / "downloads", "lab")
    second = source_of(NAME, f"models:/{NAME}/1", elsewhere)
    brought = second.shelf.folder / made.relative_to(first.shelf.folder)
    assert brought.is_file()  # it came with the version's files
    check_hashes(second.folder)
    shutil.rmtree(second.shelf.folder)
    again = open_engine(second.folder, EngineOptions(slots=1), second.shelf).settings.model
    assert again == brought
    assert again.read_bytes() == made.read_bytes()
    assert again.stat().st_ino != made.stat().st_ino


@pytest.mark.slow
def test_a_webhook_of_mlflow_moves_the_alias_at_once(settings, tmp_path):
    """Polled every hour, so that nothing but the message can be what it follows."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    port = free_port()
    client = tracking.connect(settings)
    event = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)
    client.create_webhook("serve", f"http://127.0.0.1:{port}{PATH}", [event], secret=SECRET)
    options = ServeOptions(poll_seconds=3600, webhook_secret=tmp_path / "secret")

    async def main() -> tuple[int, int]:
        app = create_app([source_of(NAME, ADDRESS, settings)], options)
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as http:
            while not server.started:
                await asyncio.sleep(0.05)
            await asyncio.to_thread(client.set_registered_model_alias, NAME, "champion", "2")
            while True:
                reply = await http.get(f"http://127.0.0.1:{port}/v1/models/{NAME}")
                if reply.json()["version"] == "2":
                    break
                await asyncio.sleep(0.1)
            forged = await http.post(f"http://127.0.0.1:{port}{PATH}", json={"entity": "x"})
            large = await http.post(f"http://127.0.0.1:{port}{PATH}", json={"a": "x" * 20_000})
        server.should_exit = True
        await serving
        return forged.status_code, large.status_code

    assert asyncio.run(main()) == (401, 413)


def test_a_message_counts_once_and_only_with_the_secret_and_in_its_time():
    check, now = WebhookCheck(SECRET.encode()), time.time()
    assert check.is_new(signed(SECRET, now, "{}", "a"), b"{}")
    assert not check.is_new(signed(SECRET, now, "{}", "a"), b"{}")
    assert check.is_new(signed(SECRET, now, "{}", "b"), b"{}")
    wrong = [
        (signed("another", now, "{}", "c"), b"{}"),
        (signed(SECRET, now, "{}", "c"), b"{ }"),
        ({**signed(SECRET, now, "{}", "c"), "x-mlflow-timestamp": str(int(now) + 1)}, b"{}"),
        ({**signed(SECRET, now, "{}", "c"), "x-mlflow-delivery-id": "d"}, b"{}"),
        (signed(SECRET, now - 2 * CLOCK_SECONDS, "{}", "c"), b"{}"),
        (signed(SECRET, now + 2 * CLOCK_SECONDS, "{}", "c"), b"{}"),
        ({}, b"{}"),
    ]
    for headers, body in wrong:
        with pytest.raises(ApiError) as refused:
            check.is_new(headers, body)
        assert refused.value.status == 401


def test_a_secret_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_secret(tmp_path / "absent")
    Path(tmp_path / "short").write_text("short\n")
    with pytest.raises(ConfigError, match="5 bytes, wanted at least 16"):
        read_secret(tmp_path / "short")
