"""Traces and metrics by OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT says whereto.

OpenTelemetry is imported then and only then, and its process-wide providers are left alone: what
Prefect or others have of their own stays theirs.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline import observing
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Meter
    from opentelemetry.trace import Tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
DISABLED = "OTEL_SDK_DISABLED"
NAME = "textmill"
_started: list[str] = []  # the endpoint; once a process


def export_if_asked(environment: Mapping[str, str]) -> None:
    """Send spans and figures to the endpoint that a variable names; do nothing without one.

    Raises ConfigError where the extra is not installed.
    """
    endpoint = environment.get(ENDPOINT)
    if not endpoint or environment.get(DISABLED, "").lower() == "true" or _started:
        return
    _started.append(endpoint)
    try:
        observing.listen(_exporter())
    except ImportError as error:
        raise ConfigError(
            f"{ENDPOINT}: {endpoint}, but {error.name} is not installed; "
            "pip install 'textmill[otel]', or unset the variable"
        ) from error


def _exporter() -> "Exporter":
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over our name
    resource = Resource({SERVICE_NAME: NAME}).merge(OTELResourceDetector().detect())
    tracers = TracerProvider(resource=resource)  # both send what is left when the process ends
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    meters = MeterProvider([reader], resource=resource)
    return Exporter(tracers.get_tracer(NAME), meters.get_meter(NAME))


class Exporter:
    """Hears what is at work as spans and counters."""

    def __init__(self, tracer: "Tracer", meter: "Meter"):
        self._tracer = tracer
        self._counters: dict[str, Counter] = {
            name: meter.create_counter(name, unit, says)
            for name, (unit, says) in observing.FIGURES.items()
        }

    @contextlib.contextmanager
    def span(self, kind: str, name: str, facts: Mapping[str, Any]) -> Iterator[None]:
        """Open a span below the one at work; an error that leaves the block is noted in it."""
        with self._tracer.start_as_current_span(
            f"{kind} {name}", attributes=_attributes(kind, name, facts)
        ):
            yield

    def ended(self, timed: observing.Timed) -> None:
        """Add a span of something that is over."""
        self._tracer.start_span(
            f"{timed.kind} {timed.name}",
            attributes=_attributes(timed.kind, timed.name, timed.facts),
            start_time=timed.began_ns,
        ).end(timed.ended_ns)

    def figure(self, name: str, amount: float, labels: Mapping[str, str]) -> None:
        """Add to a counter."""
        self._counters[name].add(amount, dict(labels))


def _attributes(kind: str, name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    named = {"kind": kind, kind: name, **facts}
    return {f"{NAME}.{key}": value for key, value in named.items()}
