"""What the server counts, for Prometheus: requests, tokens, times, the queue, model versions.

Every label has few values: names of keys and models, paths of routes. Texts and keys are never in
here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from model.serve.access.records import RequestRecord

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


@dataclass(frozen=True)
class ModelState:
    """A served model at the moment it is asked about."""

    name: str
    version: str
    engine: str
    waiting: int  # texts in its queue
    running: int  # texts that are written


class _ModelStates(Collector):
    """Asks for the state of the models when the metrics are read."""

    def __init__(self, states: Callable[[], Sequence[ModelState]]):
        self._states = states

    def collect(self) -> list[Metric]:
        info = GaugeMetricFamily(
            "textmill_model_info",
            "What is served; always 1",
            labels=["model", "version", "engine"],
        )
        texts = GaugeMetricFamily(
            "textmill_texts", "Texts that wait or are written now", labels=["model", "state"]
        )
        for state in self._states():
            info.add_metric([state.name, state.version, state.engine], 1)
            texts.add_metric([state.name, "waiting"], state.waiting)
            texts.add_metric([state.name, "running"], state.running)
        return [info, texts]


class ServerMetrics:
    """The counters of one server."""

    def __init__(self, states: Callable[[], Sequence[ModelState]]):
        self._registry = CollectorRegistry()
        self._registry.register(_ModelStates(states))
        self._requests = Counter(
            "textmill_requests",
            "Requests answered, by status",
            ["method", "path", "status", "model", "key"],
            registry=self._registry,
        )
        self._tokens = Counter(
            "textmill_tokens",
            "Tokens read and written",
            ["model", "kind", "key"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "textmill_request_seconds",
            "From a request's head to the last byte of its answer",
            ["path", "model"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._first_token = Histogram(
            "textmill_first_token_seconds",
            "From a request's head to its first token",
            ["model"],
            buckets=SECONDS,
            registry=self._registry,
        )

    def observe(self, record: RequestRecord) -> None:
        """Count a request that has ended."""
        self._requests.labels(
            record.method, record.path, record.status, record.model, record.key
        ).inc()
        self._seconds.labels(record.path, record.model).observe(record.seconds)
        if record.first_token_seconds is not None:
            self._first_token.labels(record.model).observe(record.first_token_seconds)
        kinds = {"prompt": record.prompt_tokens, "completion": record.completion_tokens}
        for kind, count in kinds.items():
            if count:
                self._tokens.labels(record.model, kind, record.key).inc(count)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)
