"""`textmill report`: the page of a run or version, made again from its records; or of two."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from flows import interrupted, run_reports
from flows.reports.run_page import comparison
from flows.reports.terminal import stdout
from flows.settings import read_settings
from pipeline.store import storage


def report(options: Namespace) -> dict[str, Any] | None:
    """Write the report of a run, or what differs between two."""
    settings = read_settings(options.store, options.workers)
    interrupted.report_dead(settings)
    first = run_reports.named(settings, options.run)
    language = options.language or first["settings"].get("report.language", "en")
    if options.other is None:
        text, name = run_reports.draw(first, settings, language), _label(first)
    else:
        second = run_reports.named(settings, options.other)
        paired = run_reports.paired(settings, first, second)
        text = comparison.render(first, second, paired, language)
        name = f"{_label(first)}-{_label(second)}"
    page = Path(options.out or f"report-{name}.html")
    storage.write_bytes(page, text.encode())
    if options.json:
        return {
            "page": str(page),
            "name": first["name"],
            "number": first["number"],
            "ending": first["ending"],
        }
    stdout().print(f"{page}", soft_wrap=True, highlight=False, markup=False)
    return None


def _label(snapshot: dict[str, Any]) -> str:
    return f"{snapshot['name']}-{snapshot['number']}"
