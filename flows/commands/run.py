"""The commands about whole runs: run, explain."""

import os
import shlex
import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from flows import config, naming, preflight
from flows.planning import open_sources, plan
from flows.reports.terminal import progress_bars, stdout
from flows.runs import explain as explain_plan
from flows.runs import last_run
from flows.settings import Settings, read_launch, read_settings
from model.registry.succession import CHAMPION

if TYPE_CHECKING:
    from flows.reports.samples import ShownContinuation
    from flows.steps import RunState


def run(options: Namespace) -> dict[str, Any] | None:
    """Run a recipe's whole chain and print what came of it."""
    settings = read_settings(options.store, options.workers)
    settings = replace(settings, launch=read_launch(options))
    recipe = naming.load(options.recipe, options.overrides, options.source, settings.runs)
    preflight.check(recipe, settings)
    if options.dry_run:
        print(config.dump(recipe), end="")
        return None
    from flows.local import run_chain
    from flows.reports.samples import kept_samples
    from flows.server import run_on_server, running_server

    server = running_server(settings)
    with progress_bars() as (progress, narrate):
        if server is not None:
            state = run_on_server(recipe, settings, server, progress, narrate)
        else:
            state = run_chain(recipe, settings, progress, narrate)
    artifacts = state.artifacts
    samples = kept_samples(
        settings.store, state.recipe.register, artifacts["train"], artifacts["shard"]
    )
    if options.data_docs:
        from expectations import gate

        index = gate.build_data_docs(list(state.verdicts.values()), Path(options.data_docs))
        print(f"Data Docs: {index}", file=sys.stderr)
    if options.json:
        return _result(state, samples)
    _print(state, samples)
    return None


def _print(state: "RunState", samples: "Sequence[ShownContinuation]") -> None:
    from flows.reports.run_report import print_summary

    console = stdout()
    if state.reused:
        console.print("Nothing to do: every stage, gate and the registration were reused.\n")
    print_summary(console, state, samples)
    model = shlex.quote(model_address(state.registration))
    textmill = shlex.quote(_command())
    console.print("\nLook further", style="bold")
    for command, what in (
        (f'{textmill} generate {model} "…"', "continue a prompt of yours"),
        (f"{textmill} serve {model}", "an OpenAI-compatible API"),
        (f"{textmill} up", "Prefect and MLflow in a browser"),
    ):
        console.print(f"  {command:<52} {what}", soft_wrap=True)
    console.print(f"\nThe whole run on one page: {state.page}", soft_wrap=True)


def model_address(registration: Any) -> str:
    """Return the address of a registered version: by its alias, if it is the champion now."""
    if CHAMPION in registration.aliases:
        return f"models:/{registration.name}@{CHAMPION}"
    return f"models:/{registration.name}/{registration.version}"


def _command() -> str:
    """Return what to type for this command: its name, or its path where it is not on PATH."""
    if shutil.which("textmill"):
        return "textmill"
    return os.path.relpath(Path(sys.executable).parent / "textmill")


def _result(state: "RunState", samples: "Sequence[ShownContinuation]") -> dict[str, Any]:
    from flows.reports.summary import figures, funnel

    registration = state.registration
    assert registration is not None
    return {
        "recipe": state.recipe.name,
        "reused": state.reused,
        "artifacts": {name: str(a.path) for name, a in state.artifacts.items()},
        "funnel": funnel(state.runs),
        "gates": {name: verdict.word for name, verdict in state.verdicts.items()},
        "figures": figures(state.artifacts),
        "model": {
            "name": registration.name,
            "version": str(registration.version),
            "aliases": list(registration.aliases),
        },
        "samples": [sample.to_json() for sample in samples],
        "page": str(state.page),
    }


def explain(options: Namespace) -> dict[str, Any] | None:
    """Say for every stage whether it would be reused or made again, and why."""
    recipe = config.load(options.recipe, options.overrides, options.source)
    settings: Settings = read_settings(options.store, options.workers)
    sources = open_sources(recipe, settings)
    planned = plan(recipe, sources, settings)
    rows = explain_plan(planned, last_run(settings.runs, recipe.name, recipe.sources))
    if options.json:
        return {"recipe": recipe.name, "stages": rows}
    table = Table("stage", "decision", "because", header_style="dim", box=None)
    for row in rows:
        table.add_row(row["stage"], row["decision"], row["because"])
    stdout().print(table)
    return None
