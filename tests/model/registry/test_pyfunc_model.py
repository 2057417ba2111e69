"""The registered model as any MLflow client loads it: by alias, with params, without pickle."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import httpx
import mlflow
import pandas as pd
import pytest
import yaml
from mlflow.exceptions import MlflowException

from model.generation.completion import complete, load_model
from model.generation.generate import SamplingConfig
from model.registry import versions
from model.registry.model_record import ModelRecord
from model.registry.pyfunc_model import prompts, sampling
from model.registry.tracking import TrackingSettings
from model.serve.__main__ import tracking_at
from model.serve.options import served_name
from pipeline.errors import ConfigError
from tests.model.serve.test_app import start


@pytest.fixture(scope="module")
def stored(made_chain, tiny_model, tmp_path_factory):
    """Register the tiny model and point MLflow at the store, as a user's notebook does."""
    folder = tmp_path_factory.mktemp("pyfunc")
    settings = TrackingSettings(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts", "lab")
    chain = made_chain(folder / "chain", tiny_model)
    versions.register(
        settings,
        "tiny",
        chain.training.path,
        ModelRecord(
            evaluation=chain.evaluation,
            training=chain.training,
            data=chain.data,
            verdict_files=chain.verdict_files,
            params={},
            card="# tiny",
        ),
        lambda folder: 0.0,
    )
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(settings.uri)
    yield settings
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def loaded(stored):
    return mlflow.pyfunc.load_model("models:/tiny@champion")


def test_predict_continues_prompts_like_the_model_itself(loaded, tiny_model):
    params = {"max_new_tokens": 6, "temperature": 0.7, "top_k": 9, "top_p": 0.9, "seed": 4}
    own = load_model(tiny_model)
    expected = [complete(own, text, SamplingConfig(**params)).text for text in ("机器", "The ")]
    assert loaded.predict(["机器", "The "], params=params) == expected
    frame = pd.DataFrame({"prompt": ["机器", "The "]})
    assert loaded.predict(frame, params=params) == expected


def test_params_that_are_left_out_have_defaults(loaded, tiny_model):
    expected = complete(load_model(tiny_model), "The ", SamplingConfig()).text
    assert loaded.predict(["The "]) == [expected]


def test_the_signature_names_every_param_and_refuses_wrong_types(loaded):
    names = [param.name for param in loaded.metadata.signature.params]
    assert names == [
        "max_new_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "beams",
        "seed",
    ]  # fmt: skip
    with pytest.raises(MlflowException, match="max_new_tokens"):
        loaded.predict(["a"], params={"max_new_tokens": "many"})


def test_pieces_stream_to_the_same_text(loaded):
    params = {"max_new_tokens": 8, "seed": 2}
    pieces = list(loaded.predict_stream(["The "], params=params))
    assert "".join(pieces) == loaded.predict(["The "], params=params)[0]


def test_what_it_needs_is_stated_exactly(stored):
    folder = versions.resolve("models:/tiny@champion", stored).parents[1]
    needed = (folder / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in needed)
    assert {"mlflow", "torch", "sentencepiece"} <= {line.partition("==")[0] for line in needed}
    described = yaml.safe_load((folder / "MLmodel").read_text())
    assert described["flavors"]["python_function"]["model_code_path"].endswith("pyfunc_model.py")
    assert "python_model" not in described["flavors"]["python_function"]  # no pickled object


def test_loading_reads_no_pickle(stored, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a pickle was read")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    model = mlflow.pyfunc.load_model("models:/tiny/1")
    assert model.predict(["a"], params={"max_new_tokens": 1})


def test_it_loads_in_another_folder_and_process(stored, tmp_path):
    script = (
        "import mlflow, sys; mlflow.set_tracking_uri(sys.argv[1]);"
        "m = mlflow.pyfunc.load_model('models:/tiny@challenger');"
        "print(len(m.predict(['机器'], params={'max_new_tokens': 3})))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, stored.uri],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "1"


def test_every_kind_of_input_becomes_a_list_of_prompts():
    assert prompts("a") == ["a"]
    assert prompts(["a", "b"]) == ["a", "b"]
    assert prompts(pd.Series(["a", "b"])) == ["a", "b"]
    assert prompts(pd.DataFrame([["a", 1], ["b", 2]])) == ["a", "b"]
    assert sampling({"seed": 3, "top_k": None}) == SamplingConfig(seed=3)
    assert sampling(None) == SamplingConfig()


def test_the_server_finds_a_registered_model_and_names_it(stored):
    folder = versions.resolve("models:/tiny@champion", tracking_at(stored.uri))
    assert folder == versions.resolve("models:/tiny/1", stored)
    assert served_name("models:/tiny@champion") == served_name("models:/tiny/1") == "tiny"
    assert served_name("some/folder/") == "folder"
    with pytest.raises(ConfigError, match="MLflow address"):
        versions.resolve("models:/tiny@champion", tracking_at(""))


@pytest.mark.slow
def test_mlflow_serves_the_version_that_textmill_serves(stored, tmp_path):
    """`mlflow models serve` and our server: one version, the same texts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uvicorn = tmp_path / "uvicorn"  # MLflow calls it by name: this environment's
    uvicorn.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m uvicorn "$@"\n')
    uvicorn.chmod(0o755)
    with (tmp_path / "mlflow.log").open("wb") as log:
        theirs = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/tiny@champion",
             "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)],
            env={**os.environ, "MLFLOW_TRACKING_URI": stored.uri, "NO_PROXY": "127.0.0.1",
                 "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    ours, address = start("models:/tiny@champion", "--mlflow-uri", stored.uri)
    try:
        with httpx.Client(timeout=120, trust_env=False) as client:
            for _ in range(240):
                try:
                    client.get(f"http://127.0.0.1:{port}/ping").raise_for_status()
                    break
                except httpx.HTTPError:
                    assert theirs.poll() is None, (tmp_path / "mlflow.log").read_text()
                    time.sleep(0.5)
            prompts = ["The ", "机器"]
            params = {"max_new_tokens": 8, "temperature": 0.0}
            told = client.post(
                f"http://127.0.0.1:{port}/invocations", json={"inputs": prompts, "params": params}
            ).json()["predictions"]
            body = {"model": "tiny", "prompt": prompts, "max_tokens": 8, "temperature": 0}
            choices = client.post(f"{address}/v1/completions", json=body).json()["choices"]
            assert [choice["text"] for choice in choices] == told
            described = client.get(f"{address}/v1/models/tiny").json()
            assert (described["version"], described["card"]) == ("1", "# tiny")
            assert described["address"] == "models:/tiny@champion"
    finally:
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(theirs.pid, signal.SIGTERM)
        ours.terminate()
        theirs.wait(60)
        ours.wait(60)
