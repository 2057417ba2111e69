"""`textmill card`: the cards that others ask for, of a run or version, from its records."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from flows import run_reports
from flows.reports.cards.table import CARDS
from flows.reports.terminal import stdout
from flows.settings import read_settings
from pipeline.store import storage


def card(options: Namespace) -> dict[str, Any] | None:
    """Write one kind of card."""
    settings = read_settings(options.store, options.workers)
    snapshot = run_reports.named(settings, options.run)
    make, usual = CARDS[options.kind]
    path = Path(options.out or usual)
    storage.write_bytes(path, make(snapshot).encode())
    if options.json:
        return {
            "card": str(path),
            "kind": options.kind,
            "name": snapshot["name"],
            "number": snapshot["number"],
        }
    stdout().print(str(path), soft_wrap=True, highlight=False, markup=False)
    return None
