"""The Grafana dashboard asks for what is really exported, and for all of it."""

import json
import re

from prometheus_client.parser import text_string_to_metric_families

from model.serve.access.metrics import ModelState, ServerMetrics
from model.serve.access.records import RequestRecord
from pipeline.observing import FIGURES
from tests.test_layers import ROOT

BOARD = json.loads((ROOT / "flows/deploy/grafana/textmill.json").read_text("utf-8"))
METRIC = re.compile(r"\btextmill_\w+")
LABELS = {
    "textmill_rows_total": {"stage", "outcome"},
    "textmill_stage_seconds_total": {"stage"},
    "textmill_stages_total": {"stage", "how"},
    "textmill_gates_total": {"stage", "verdict"},
}  # as pipeline/observing.py and flows/driver.py tell them


def served() -> dict[str, set[str]]:
    """Return the labels of each sample that a server exports once it has answered a request."""
    metrics = ServerMetrics(lambda: [ModelState("m", "1", "torch", waiting=1, running=2)])
    record = RequestRecord("1", "POST", "/v1/completions", model="m", key="ann", status=200,
                           prompt_tokens=3, completion_tokens=4)  # fmt: skip
    record.saw_token()
    metrics.observe(record)
    families = text_string_to_metric_families(metrics.text().decode())
    labels: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def chain() -> set[str]:
    """Return the names that Prometheus gives the figures of the chain when it takes OTLP."""
    return {f"{name.replace('.', '_')}_total" for name in FIGURES}


def stem(name: str) -> str:
    """Return the histogram's name of one of its samples, else the name itself."""
    return re.sub(r"_(bucket|count|sum)$", "", name)


def queries() -> list[str]:
    return [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", ())]


def test_every_metric_of_the_dashboard_is_exported():
    known = {**served(), **LABELS}
    assert set(LABELS) == chain()
    assert queries()
    for query in (*queries(), BOARD["templating"]["list"][1]["query"]):
        names = METRIC.findall(query)
        assert names, query
        assert set(names) <= set(known), query
        used = {label for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(", ")}
        used |= set(re.findall(r"[{,](\w+)[!=]", query))
        assert used <= set.union(*(known[name] for name in names)), query


def test_everything_that_is_exported_is_on_the_dashboard():
    shown = {stem(name) for name in METRIC.findall(" ".join(queries()))}
    exported = {name for name in served() if not name.endswith("_created")}
    assert shown == {stem(name) for name in exported} | chain()


def test_panels_do_not_lie_upon_each_other():
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"])
                 for y in range(place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(numbers) == len(set(numbers))
