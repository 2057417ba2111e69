"""`textmill prune`: remove what no kept run or version needs, and say what became free."""

from argparse import Namespace
from typing import Any

from rich.table import Table

from flows import config
from flows.reports.terminal import stdout
from flows.settings import Settings, read_settings
from flows.upkeep.prune import PrunedItem, PruneRule, Pruning
from flows.upkeep.prune import prune as prune_store
from model.reports.markdown import size
from pipeline.errors import ConfigError


def prune(options: Namespace) -> dict[str, Any] | None:
    """Prune the store, or with --dry-run list what would be removed."""
    settings = read_settings(options.store, options.workers)
    rule = PruneRule(options.keep, options.unfinished_days, _recipe(options, settings))
    if rule.keep < 1:
        raise ConfigError(f"--keep {rule.keep}: wanted a whole number from 1: the last run stays")
    pruning = prune_store(settings, rule, dry_run=options.dry_run)
    if options.json:
        return _result(pruning, settings, dry_run=options.dry_run)
    _print(pruning, settings, dry_run=options.dry_run)
    return None


def _recipe(options: Namespace, settings: Settings) -> str | None:
    """Return the name of the recipe asked for, None for the whole store."""
    if options.all == bool(options.recipe):
        raise ConfigError(
            "prune: wanted a recipe, as in `textmill prune quickstart`, or --all for the whole "
            "store; --dry-run only shows what would go"
        )
    if options.all or (settings.runs / options.recipe).is_dir():
        return options.recipe
    return config.load(options.recipe).name


def _result(pruning: Pruning, settings: Settings, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "freed_bytes": pruning.freed,
        "items": [_row(item) for item in pruning.items],
        "kept": {str(p.relative_to(settings.store)): why for p, why in pruning.needed.items()},
    }


def _row(item: PrunedItem) -> dict[str, Any]:
    return {
        "what": item.leftover.kind,
        "name": item.leftover.label,
        "bytes": item.use.bytes,
        "freed_bytes": 0 if item.kept_by else item.use.freed,
        "because": item.leftover.because,
        "kept_by": item.kept_by,
    }


def _print(pruning: Pruning, settings: Settings, *, dry_run: bool) -> None:
    console = stdout()
    if pruning.items:
        table = Table("what", "name", "size", "frees" if dry_run else "freed", "why", box=None)
        for item in pruning.items:
            row = _row(item)
            why = f"stays: {item.kept_by}" if item.kept_by else item.leftover.because
            sizes = size(row["bytes"]), size(row["freed_bytes"])
            table.add_row(row["what"], row["name"], *sizes, why)
        console.print(table)
    verb = "would be free" if dry_run else "are free now"
    removed = sum(not item.kept_by for item in pruning.items)
    console.print(
        f"{removed} of {len(pruning.items)} leftovers: {size(pruning.freed)} {verb}; "
        f"{len(pruning.needed)} artifacts are needed and stay in {settings.store}",
        soft_wrap=True,
    )
