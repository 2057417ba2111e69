"""What programs read of a run: lines of JSON, spans, figures; and nothing unless they ask."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pipeline.observing import FIGURES
from pipeline.otlp import ENDPOINT

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = 40
RUN = """
import sys
from pathlib import Path
from flows import cli, driver
from flows.chain import CHAIN
from flows.config import load
from flows.local import TerminalObserver
from flows.settings import read_settings
from flows.steps import RunState
from pipeline.json_log import write_json_log
from pipeline.stage import silent
write_json_log(20)
recipe = load("smoke", ["clean.profile=none"], [sys.argv[1]])
state = RunState(recipe, read_settings(sys.argv[2], 2))
with driver.recorded(state):
    driver.run_stages(CHAIN[:2], state, TerminalObserver(silent, print))
"""


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Files that fill several parts, of which one cannot be read."""
    folder = tmp_path_factory.mktemp("texts")
    for number in range(DOCUMENTS):
        lines = [f"Line {line} of document {number} is like no other one." for line in range(40)]
        (folder / f"{number}.txt").write_text("\n".join(lines))
    (folder / "broken.jsonl").write_text('{"text": "whole"}\n{"text": "torn\n')
    return folder


def ran(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments and variables."""
    given = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**given, **environment}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def collector():
    """A collector on loopback; yields its address and (path, body) of what it is sent."""
    heard: list[tuple[str, bytes]] = []

    class Hears(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hears)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def observed(texts, tmp_path_factory, collector):
    """A run of two stages in two workers that writes JSON and is heard by the collector."""
    address, _ = collector
    store = tmp_path_factory.mktemp("store")
    done = ran(
        "-c", RUN, str(texts), str(store), **{ENDPOINT: address, "OTEL_SERVICE_NAME": "night"}
    )
    assert done.returncode == 0, done.stderr
    return done


def spans(heard) -> list:
    """Return every span that was heard."""
    bodies = [ExportTraceServiceRequest.FromString(b) for path, b in heard if path == "/v1/traces"]
    return [s for b in bodies for r in b.resource_spans for sc in r.scope_spans for s in sc.spans]


def test_spans_go_from_the_run_to_its_stages_to_their_parts(observed, collector):
    found = spans(collector[1])
    by_id = {span.span_id: span for span in found}
    (root,) = (span for span in found if not span.parent_span_id)
    assert root.name == "run smoke"
    assert len({span.trace_id for span in found}) == 1

    def above(span) -> list[str]:
        parent = by_id.get(span.parent_span_id)
        return [span.name] if parent is None else [span.name, *above(parent)]

    chains = {tuple(above(span)[1:]) for span in found if span.name.startswith("part ")}
    assert ("phase clean", "stage clean", "run smoke") in chains
    assert {"gate ingest", "gate clean"} <= {span.name for span in found}
    for span in found:
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano


def test_figures_say_what_became_of_the_rows(observed, collector):
    sent = [
        ExportMetricsServiceRequest.FromString(b) for p, b in collector[1] if p == "/v1/metrics"
    ]
    resource = sent[-1].resource_metrics[0]
    service = {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"]
    assert service == "night"
    metrics = {m.name: m for scope in resource.scope_metrics for m in scope.metrics}
    assert set(metrics) <= set(FIGURES)
    rows = {
        tuple(a.value.string_value for a in sorted(point.attributes, key=lambda a: a.key)):
        point.as_int or point.as_double
        for point in metrics["textmill.rows"].sum.data_points
    }  # fmt: skip
    assert rows["kept", "ingest"] == DOCUMENTS + 1
    assert rows["quarantined", "ingest"] == 1


def test_every_line_of_stderr_is_an_event_with_what_was_at_work(observed):
    events = [json.loads(line) for line in observed.stderr.splitlines()]
    assert {"time", "level", "logger", "event", "run"} <= set(events[0])
    assert {event["run"] for event in events} == {"smoke"}


def test_a_command_writes_json_and_nothing_else(texts, tmp_path):
    out, wrong = str(tmp_path / "raw"), str(texts / "nowhere.txt")
    done = ran("-m", "flows.cli", "ingest", str(texts), "--out", out, "--log-format", "json")
    assert done.returncode == 0, done.stderr
    failed = ran("-m", "flows.cli", "ingest", wrong, "--out", out, TEXTMILL_LOG_FORMAT="json")
    assert failed.returncode != 0
    events = [json.loads(line) for line in (done.stderr + failed.stderr).splitlines()]
    assert any("nowhere.txt" in event["event"] for event in events)


WARN = """
import logging, warnings
from pipeline import observing
from pipeline.engine.local import LocalEngine
from pipeline.json_log import write_json_log

def work(task):
    with observing.at_work("part", str(task)):
        logging.getLogger("pipeline.any").warning("seen at https://ann:secret@host/x?token=abc")
        print("printed", flush=True, file=__import__("sys").stderr)

if __name__ == "__main__":
    write_json_log(20)
    with observing.at_work("run", "r"), observing.at_work("stage", "clean"), LocalEngine(2) as e:
        list(e.imap(work, [7, 8]))
    warnings.warn("old", DeprecationWarning)
    raise ValueError("the end")
"""


def test_workers_warnings_and_the_end_of_a_process_are_events_too(tmp_path):
    (tmp_path / "warn.py").write_text(WARN)
    done = ran("-W", "always", str(tmp_path / "warn.py"), PYTHONPATH=str(ROOT))
    events = [json.loads(line) for line in done.stderr.splitlines()]
    at_work = {
        (e.get("run"), e.get("stage"), e.get("part")) for e in events if "seen" in e["event"]
    }
    assert at_work == {("r", "clean", "7"), ("r", "clean", "8")}
    assert "secret" not in done.stderr
    assert [e["logger"] for e in events if e["event"] == "printed"] == ["stderr", "stderr"]
    assert any("DeprecationWarning" in e["event"] for e in events)
    assert "Traceback" in events[-1]["error"]


def test_nothing_is_imported_or_sent_unless_an_address_is_given(texts, tmp_path, collector):
    loads = "import sys\nfrom flows import cli\ncli.main(sys.argv[1:])\n"
    loads += "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    before = len(collector[1])
    command = ("-c", loads, "ingest", str(texts), "--out", str(tmp_path / "raw"), "--json")
    done = ran(*command)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    off = ran(*command, **{ENDPOINT: collector[0], "OTEL_SDK_DISABLED": "true"})
    assert off.stdout.splitlines()[-1] == "[]", off.stderr
    assert len(collector[1]) == before


def test_a_missing_package_is_named(texts):
    hides = "import sys\nsys.modules['opentelemetry.sdk.trace'] = None\nfrom flows import cli\n"
    done = ran("-c", hides + "sys.exit(cli.main(['rules']))", **{ENDPOINT: "http://127.0.0.1:9"})
    assert done.returncode == 2
    assert "pip install 'textmill[otel]'" in done.stderr
