"""Lineage of stages, read back by the classes of OpenLineage's own client."""

import http.server
import json
import re
import threading

import pytest

from flows import cli
from flows.reports.cards.card_facts import UNKNOWN
from pipeline.store.artifact import load_artifact

facet_v2 = pytest.importorskip("openlineage.client.facet_v2")
event_v2 = pytest.importorskip("openlineage.client.event_v2")

SECRET = "s3cr3ts3cr3t"
FACETS = {
    name: kind
    for module in map(vars(facet_v2).get, facet_v2.__all__)
    if hasattr(module, "__file__")
    for name, kind in vars(module).items()
    if name.endswith("Facet")
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with text of three documents, one of them twice, and no variable set."""
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in (1, 2, 3, 3.5):
        line = f"What document {int(number)} says is said by no other one, it is sure of that."
        (texts / f"{number}.txt").write_text(line)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def told(place, monkeypatch):
    """Switch events on, into a file, and return what reads them."""
    path = place / "events.jsonl"
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "file")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", str(path))
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__APPEND", "true")
    return lambda: [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def opened(facets: dict) -> dict:
    """Return facets as the client's classes, which refuse names and values that are not theirs."""
    return {name: facet(value) for name, value in facets.items()}


def facet(value: dict):
    name = re.search(r"/defs?/(\w+)$|\$defs/(\w+)$", value["_schemaURL"])
    fields = {k: v for k, v in value.items() if not k.startswith("_")}
    return FACETS[name[1] or name[2]](**fields)


def event_of(row: dict):
    """Return an event as the client's classes."""
    run, job = row["run"], row["job"]
    return event_v2.RunEvent(
        eventTime=row["eventTime"],
        producer=row["producer"],
        eventType=event_v2.RunState[row["eventType"]],
        run=event_v2.Run(run["runId"], opened(run["facets"])),
        job=event_v2.Job(job["namespace"], job["name"], opened(job["facets"])),
        inputs=[
            event_v2.InputDataset(
                d["namespace"], d["name"], opened(d["inputFacets"]), facets=opened(d["facets"])
            )
            for d in row["inputs"]
        ],
        outputs=[
            event_v2.OutputDataset(
                d["namespace"], d["name"], opened(d["outputFacets"]), facets=opened(d["facets"])
            )
            for d in row["outputs"]
        ],
    )


def tags(dataset) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in dataset.facets["tags"].tags}


def test_stages_tell_what_they_read_and_made_with_the_manifests_digests(place, told, monkeypatch):
    run_id = "0199c2b0-0000-7000-8000-000000000001"
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", f"nightly/corpus/{run_id}")
    assert cli.main(["ingest", "texts", "--out", "raw"]) == 0
    assert cli.main(["clean", "raw", "--out", "clean", "--profile", "none"]) == 0
    assert cli.main(["clean", "raw", "--out", "clean", "--profile", "none"]) == 0
    events = [event_of(row) for row in told()]
    assert [(e.job.name, e.eventType.value) for e in events] == [
        ("ingest", "START"), ("ingest", "COMPLETE"), ("clean", "START"), ("clean", "COMPLETE"),
        ("clean", "START"), ("clean", "COMPLETE"),
    ]  # fmt: skip
    assert len({e.run.runId for e in events}) == 3
    _, ingested, _, cleaned, _, again = events
    raw, clean = load_artifact(place / "raw"), load_artifact(place / "clean")
    (read,) = ingested.inputs
    assert (read.namespace, read.name) == ("file", str(place / "texts"))
    assert read.inputFacets["inputStatistics"].fileCount == 4
    (made,), (taken,) = ingested.outputs, cleaned.inputs
    assert (made.namespace, made.name) == (taken.namespace, taken.name) == ("file", str(raw.path))
    assert made.facets["version"].datasetVersion == raw.fingerprint
    assert tags(made)["manifest_sha256"] == tags(taken)["manifest_sha256"]
    assert tags(made)["manifest_sha256"] == raw.manifest["sha256"]
    assert tags(made)["ledger.kept"] == "4"
    assert made.outputFacets["outputStatistics"].rowCount == raw.rows
    columns = {f["name"]: f["description"] for f in made.facets["schema"].fields}
    assert columns["text"] == "the document"
    assert cleaned.outputs[0].facets["version"].datasetVersion == clean.fingerprint
    said = {tag["key"]: tag["value"] for tag in again.run.facets["tags"].tags}
    assert said["reused"] == "true"
    assert all(line in again.job.facets["documentation"].description for line in UNKNOWN)
    assert again.run.facets["parent"].run["runId"] == run_id


def test_a_stage_that_fails_tells_why_without_secrets(place, told, capsys):
    (place / "texts" / "list.txt").write_text("x")
    address = f"http://u:{SECRET}@127.0.0.1:9/a.txt?token={SECRET}"
    assert cli.main(["ingest", "texts", "--out", "raw"]) == 0
    assert cli.main(["clean", "raw", "--out", "raw"]) == 2  # holds an artifact of other inputs
    failed = event_of(told()[-1])
    assert failed.eventType.value == "FAIL"
    assert "raw" in failed.run.facets["errorMessage"].message
    assert cli.main(["ingest", address, "--out", "other"]) != 0
    assert SECRET not in json.dumps(told()) + capsys.readouterr().err


def test_a_recipe_names_its_datasets_and_an_address_gets_the_events(place, monkeypatch):
    from flows import config, steps
    from flows.chain import STAGES
    from flows.settings import read_settings
    from pipeline.stage import silent

    got: list[tuple[str, str, dict]] = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OPENLINEAGE_API_KEY", SECRET)
        recipe = config.load("smoke", ["sources=[{path='texts'}]"])
        settings = read_settings(str(place / "store"), 1)
        sources = [steps.open_sources(recipe, settings)]
        made = steps.make(STAGES["ingest"], recipe, sources, settings, silent)
        server.shutdown()
    assert [path for path, _, _ in got] == ["/api/v1/lineage"] * 2
    assert {login for _, login, _ in got} == {f"Bearer {SECRET}"}
    start, complete = (event_of(row) for _, _, row in got)
    assert SECRET not in json.dumps([row for _, _, row in got])
    for event in (start, complete):
        (output,) = event.outputs
        assert (output.namespace, output.name) == ("textmill", "smoke.ingest")
        assert output.facets["version"].datasetVersion == made.artifact.fingerprint


def test_a_server_that_is_not_there_stops_nothing(place, monkeypatch, caplog):
    monkeypatch.setenv("OPENLINEAGE_URL", f"http://u:{SECRET}@127.0.0.1:9")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__RETRY", '{"total": 0}')
    assert cli.main(["ingest", "texts", "--out", "raw"]) == 0
    assert "COMPLETE of ingest was not told" in caplog.text
    assert SECRET not in caplog.text


def test_nothing_is_told_unless_asked_and_what_cannot_be_told_is_refused(
    place, told, monkeypatch, capsys
):
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert cli.main(["ingest", "texts", "--out", "raw"]) == 0
    assert not (place / "events.jsonl").exists()
    monkeypatch.delenv("OPENLINEAGE_DISABLED")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "nonsense")
    assert cli.main(["ingest", "texts", "--out", "other"]) == cli.EXIT_MISUSED
    assert "OPENLINEAGE_DISABLED=true" in capsys.readouterr().err
    assert not (place / "other").exists()
