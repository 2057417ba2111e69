"""`textmill what-if`: what a clean corpus would keep as each threshold moves, drawn and printed."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table

from flows import config
from flows.config import Recipe
from flows.reports.terminal import stdout
from flows.reports.what_if_page import COST_HEAD, cost_rows, rule_costs, what_if_page
from pipeline.cleaning import profiles
from pipeline.cleaning.threshold_sweep import sweep
from pipeline.store import storage
from pipeline.store.artifact import load_artifact


def what_if(options: Namespace) -> dict[str, Any] | None:
    """Print what each rule costs now and write a page with the whole sweep."""
    artifact = load_artifact(Path(options.artifact), contract="clean")
    recipe = config.override(Recipe(), options.overrides)
    clean_config = artifact.manifest["inputs"]["config"]
    profile = options.profile or clean_config["profile"]
    table = profiles.thresholds(profile, recipe.clean.thresholds, recipe.clean.switched_off)
    profiles.refuse_unmeasured(table, clean_config, str(artifact.path))
    if options.rule:
        table = {rule: groups for rule, groups in table.items() if rule in options.rule}
    swept = sweep(artifact, table)
    page = Path(options.out or f"{artifact.path}.what-if.html")
    storage.write_bytes(page, what_if_page(artifact, profile, swept).encode())
    costs = rule_costs(swept)
    if options.json:
        return {"profile": profile, "page": str(page), "rules": costs.to_dicts()}
    stdout().print(_terminal_table(costs, profile))
    stdout().print(f"\nEvery rule as its threshold moves: {page}", soft_wrap=True)
    return None


def _terminal_table(costs: pl.DataFrame, profile: str) -> Table:
    table = Table(
        *COST_HEAD,
        title=f"What each rule of {profile!r} costs, all others as they are",
        title_justify="left",
        header_style="dim",
        box=None,
    )
    for row in cost_rows(costs.filter(pl.col("cost") > 0)):
        table.add_row(*row)
    return table
