"""`textmill schedule`: list what starts runs by itself, pause it, resume it."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from flows.reports.terminal import stdout
from flows.server import required_server
from flows.settings import read_settings
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from flows.orchestration.schedules import Start


def schedule(options: Namespace) -> dict[str, Any] | None:
    """List every schedule and event, or pause or resume those of one deployment."""
    wants_name = options.action != "list"
    if wants_name and not options.name:
        raise ConfigError(
            f"schedule {options.action}: wanted a deployment's name; `textmill schedule list` "
            f"shows them"
        )
    required_server(read_settings(options.store, options.workers))
    from flows.orchestration.schedules import all_starts, set_active  # after the environment

    resumes = options.action == "resume"
    starts = set_active(options.name, resumes) if wants_name else all_starts()
    if options.json:
        return {"starts": [_plain(start) for start in starts]}
    _print(starts)
    return None


def _plain(start: "Start") -> dict[str, Any]:
    return {**asdict(start), "next_run": start.next_run and start.next_run.isoformat()}


def _print(starts: Sequence["Start"]) -> None:
    table = Table("deployment", "starts on", "state", "next run", header_style="dim", box=None)
    for start in starts:
        following = start.next_run.strftime("%Y-%m-%d %H:%M %Z") if start.next_run else ""
        table.add_row(start.deployment, start.when, "on" if start.active else "paused", following)
    stdout().print(table)
