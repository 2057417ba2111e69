"""Runs in a real SQLite store: what is logged, how it reads back, what is refused."""

import dataclasses
import subprocess
import sys
import time

import pytest

from model.registry import model_record, tracking
from model.registry.metric_names import metric_name
from model.registry.relocation import local_path
from model.registry.tracking import TrackingSettings
from model.training.curve import SPEED_FILE
from pipeline.errors import ConfigError
from pipeline.store import storage


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> TrackingSettings:
    folder = tmp_path_factory.mktemp("tracking")
    return TrackingSettings(f"sqlite:///{folder / 'db' / 'mlflow.db'}", folder / "artifacts", "t")


@pytest.fixture(scope="module")
def client(settings):
    return tracking.connect(settings)


@pytest.fixture(scope="module")
def chain(made_chain, tmp_path_factory):
    chain = made_chain(tmp_path_factory.mktemp("chain"), points=900)
    speed = "[[4096, 810.5, 0.001], [8192, 905.0, 0.002]]"
    (chain.training.path / SPEED_FILE).write_text(speed)
    return chain


@pytest.fixture(scope="module")
def logged(settings, client, chain):
    """The whole record of a chain in one run, and how many requests it took."""
    everything = model_record.ModelRecord(
        chain.training, chain.evaluation, chain.data, chain.verdict_files,
        {f"train.key{i}": i for i in range(130)} | {"sources": "x" * 9000, "odd key!": "中"},
        "# card\n通过",
    )  # fmt: skip
    sizes = []
    with tracking.run_for(settings, "f" * 64, "demo", everything.tags()) as run:
        send = run.client.log_batch

        def counted(run_id, metrics=(), params=(), **more):
            sizes.append((len(metrics), len(params)))
            return send(run_id, metrics=metrics, params=params, **more)

        run.client.log_batch = counted
        everything.log(run)
    del client
    return run, sizes


def files_of(client, run_id, folder=""):
    found = []
    for entry in client.list_artifacts(run_id, folder):
        found += files_of(client, run_id, entry.path) if entry.is_dir else [entry.path]
    return sorted(found)


def test_the_run_is_finished_and_tagged(client, logged):
    run = client.get_run(logged[0].run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags[tracking.FINGERPRINT] == "f" * 64
    assert run.data.tags[model_record.GATES] == "2 passed"


def test_curves_read_back_in_order_under_stable_names(client, logged, chain):
    run_id = logged[0].run_id
    expected = chain.training.scan().collect()
    loss = client.get_metric_history(run_id, "train/loss")
    assert [(point.step, point.value) for point in loss] == list(
        zip(expected["step"], expected["loss"], strict=True)
    )
    held_out = client.get_metric_history(run_id, "validation/loss")
    assert [point.step for point in held_out] == list(range(10, 901, 10))
    speed = client.get_metric_history(run_id, "train/tokens_per_second")
    assert [(point.step, point.value) for point in speed] == [(1, 810.5), (2, 905.0)]
    waits = client.get_metric_history(run_id, "train/data_wait_share")
    assert [(point.step, point.value) for point in waits] == [(1, 0.001), (2, 0.002)]


def test_requests_are_few_and_within_the_limits(logged):
    sizes = logged[1]
    assert max(metrics for metrics, _ in sizes) <= tracking.METRICS_PER_CALL
    assert max(params for _, params in sizes) <= tracking.PARAMS_PER_CALL
    assert sum(metrics for metrics, _ in sizes) > 3600
    assert len(sizes) < 15


def test_final_figures_per_language_and_source(client, logged):
    metrics = client.get_run(logged[0].run_id).data.metrics
    assert metrics["evaluate/all/bits_per_byte"] == 2.0
    assert metrics["evaluate/lang/zh/bits_per_byte"] == 2.3
    assert metrics["evaluate/source/维基百科/unigram_bits_per_byte"] == pytest.approx(3.4)
    assert metrics["data/clean/rows_in"] == 118
    assert metrics["data/clean/rows_kept"] == 100


def test_params_are_flat_long_ones_cut(client, logged):
    params = client.get_run(logged[0].run_id).data.params
    assert params["train.key129"] == "129"
    assert len(params["sources"]) == tracking.PARAM_CHARACTERS
    assert params["odd key_"] == "中"


def test_plots_verdicts_page_and_card_are_attached(client, logged):
    files = files_of(client, logged[0].run_id)
    assert {"card.md", "gates/clean.json", "gates/evaluate.json"} <= set(files)
    assert {"plots/loss.png", "plots/funnel.png", "plots/throughput.png"} <= set(files)


def test_each_data_artifact_is_a_dataset_with_path_and_digest(client, logged, chain):
    inputs = client.get_run(logged[0].run_id).inputs.dataset_inputs
    by_name = {entry.dataset.name: entry for entry in inputs}
    assert set(by_name) == {"ingest", "clean", "dedup", "tokenizer", "shard"}
    clean = next(made for made in chain.data if made.stage == "clean")
    assert str(clean.path) in by_name["clean"].dataset.source
    assert len(by_name["clean"].dataset.digest) <= tracking.DIGEST_CHARACTERS
    assert '"num_rows":100' in by_name["clean"].dataset.profile


def test_an_unfinished_run_of_the_same_fingerprint_is_replaced(settings, client):
    experiment = tracking.experiment_id(client, settings)
    left = client.create_run(experiment, tags={tracking.FINGERPRINT: "a" * 64})
    client.log_text(left.info.run_id, "half", "card.md")
    other = client.create_run(experiment, tags={tracking.FINGERPRINT: "b" * 64})
    with tracking.run_for(settings, "a" * 64, "again", {}):
        pass
    query = f"tags.`{tracking.FINGERPRINT}` = '{'a' * 64}'"
    assert [run.info.status for run in client.search_runs([experiment], query)] == ["FINISHED"]
    assert not local_path(left.info.artifact_uri).exists()
    assert client.get_run(other.info.run_id).info.lifecycle_stage == "active"


def test_the_gates_tag_tells_warnings_from_failures(chain, tmp_path):
    def tag(*verdicts):
        files = []
        for stage, passed, critical in verdicts:
            files.append(tmp_path / f"{stage}.json")
            verdict = {"stage": stage, "passed": passed, "critical_failures": critical}
            storage.write_json(files[-1], verdict)
        given = (chain.training, chain.evaluation, chain.data, files, {}, "", [])
        return model_record.ModelRecord(*given).tags()[model_record.GATES]

    assert tag(("clean", True, 0), ("dedup", False, 0)) == "2 passed; warnings: dedup"
    assert tag(("clean", False, 2), ("dedup", True, 0)) == "failed: clean"


def test_a_run_whose_work_fails_is_marked_failed(settings, client):
    with pytest.raises(ZeroDivisionError), tracking.run_for(settings, "c" * 64, "x", {}) as run:
        run.metrics([("m", 1 / 0, 0)])
    assert client.get_run(run.run_id).info.status == "FAILED"


def test_a_run_that_is_interrupted_is_marked_killed(settings, client):
    def interrupted():
        with tracking.run_for(settings, "d" * 64, "x", {}) as run:
            started.append(run.run_id)
            raise KeyboardInterrupt

    started: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert client.get_run(started[0]).info.status == "KILLED"


def test_a_deleted_experiment_comes_back(settings, client):
    gone = dataclasses.replace(settings, experiment="gone")
    first = tracking.experiment_id(client, gone)
    client.delete_experiment(first)
    assert tracking.experiment_id(client, gone) == first
    assert client.get_experiment(first).artifact_location == settings.artifact_root.as_uri()


def test_names_that_mlflow_refuses_are_replaced():
    assert metric_name("evaluate/source/a:b?c/loss") == "evaluate/source/a_b_c/loss"
    assert metric_name("a/../b") == "a/__/b"
    assert metric_name("/etc") == "_/etc"
    assert metric_name("evaluate/lang/维基/loss") == "evaluate/lang/维基/loss"


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "file:///tmp/mlruns", "mlruns", ""])
def test_addresses_that_depend_on_the_folder_or_lose_runs_are_refused(uri, tmp_path):
    with pytest.raises(ConfigError, match="sqlite"):
        TrackingSettings(uri, tmp_path)


def test_a_store_whose_making_was_killed_is_made_again(tmp_path):
    """SIGKILL among the transactions that make MLflow's tables."""
    database = tmp_path / "mlflow.db"
    program = (
        "import sys; from pathlib import Path; from model.registry import tracking as t; "
        "t.connect(t.TrackingSettings('sqlite:///' + sys.argv[1], Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", program, str(database), str(tmp_path / "artifacts")]
    making = subprocess.Popen(command)

    def unfinished():
        found = tmp_path.glob(".mlflow.db.unfinished*[0-9]")  # not SQLite's own beside it
        return [path for path in found if path.stat().st_size]

    while making.poll() is None and not unfinished():
        time.sleep(0.01)
    making.kill()
    making.wait()
    assert unfinished()
    assert not database.exists()
    settings = TrackingSettings(f"sqlite:///{database}", tmp_path / "artifacts")
    assert tracking.connect(settings).search_registered_models() == []


def test_a_database_is_made_whatever_the_working_folder_is_called(tmp_path, monkeypatch):
    folder = tmp_path / "quotes ' and \" \n %41#?&;"
    folder.mkdir()
    monkeypatch.chdir(folder)
    database = tmp_path / "mlflow.db"
    client = tracking.connect(TrackingSettings(f"sqlite:///{database}", tmp_path / "artifacts"))
    assert client.get_experiment("0").artifact_location.endswith("/mlruns/0")


def test_shares_of_languages_and_licences_are_figures_and_are_searched(settings, client, logged):
    run = client.get_run(logged[0].run_id)
    shares = {name: value for name, value in run.data.metrics.items()
              if name.startswith(("data/language_share/", "data/license_share/"))}  # fmt: skip
    for kind in ("language", "license"):
        own = [value for name, value in shares.items() if f"/{kind}_share/" in name]
        assert sum(own) == pytest.approx(1)
    tag = run.data.tags["textmill.languages"]
    assert "zh" in tag
    assert "%" in tag
    experiment = run.info.experiment_id
    found = client.search_runs([experiment], "tags.`textmill.languages` LIKE '%zh %'")
    assert run.info.run_id in {other.info.run_id for other in found}
    assert client.search_runs([experiment], "metrics.`data/language_share/zh` > 0.01")
