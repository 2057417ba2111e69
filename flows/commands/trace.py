"""`textmill trace`: where a document went, or what a version was made of."""

import sys
from argparse import Namespace
from typing import Any

from flows.provenance.document_trace import Tracer
from flows.provenance.version_trace import trace_version
from flows.reports.trace_words import document_lines, version_lines
from flows.settings import read_settings
from pipeline.errors import ConfigError

STDIN = "-"
VERSION = "models:"


def trace(options: Namespace) -> dict[str, Any] | None:
    """Trace what was asked for, each by itself."""
    settings = read_settings(options.store, options.workers)
    if options.limit < 1:
        raise ConfigError(f"--limit {options.limit}: wanted a whole number from 1")
    tracer = Tracer(settings)
    answers = []
    for what in options.what:
        if what.startswith(VERSION) and not options.text:
            answers.append(trace_version(settings, what))
            continue
        if options.text or what == STDIN:
            answer = tracer.ask_text(_text(what), options.limit)
        else:
            answer = tracer.ask(what)
        answers.append(tracer.trace(answer, options.limit))
    if options.json:
        return {"answers": answers}
    for answered in answers:
        lines = version_lines if answered["by"] == "version" else document_lines
        print("\n".join(lines(answered)))
    return None


def _text(what: str) -> str:
    if what == STDIN:
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    return what
