"""`textmill retrain`: say whether a recipe's files are new, or retrain on them now."""

from argparse import Namespace
from typing import Any

from flows import naming, preflight
from flows.config import Recipe, override
from flows.local import run_chain
from flows.planning import made_before, open_sources
from flows.reports.terminal import progress_bars
from flows.run_lock import holder
from flows.server import running_server, talk_to
from flows.settings import Settings, read_settings
from flows.source_changes import source_changes

DEPLOYMENT = "textmill/retrain"
HERE = "quickstart"  # without a recipe and without a server that has one


def retrain(options: Namespace) -> dict[str, Any] | None:
    """Compare files with those of the last run; with --now, retrain: on the server, or here."""
    settings = read_settings(options.store, options.workers)
    server = running_server(settings)
    if server is not None:
        talk_to(server, settings)
    recipe = _recipe(options, settings, on_server=server is not None)
    if not options.now:
        return _answer(options, {"recipe": recipe.name, "message": _standing(recipe, settings)})
    if server is None:
        return _answer(options, _run_here(recipe, settings))
    from flows.orchestration.retraining import request_run  # after the environment

    changed = options.recipe or options.overrides or options.source
    run = request_run(DEPLOYMENT, recipe if changed else None)
    message = f"{run.name}: a run of {DEPLOYMENT} was asked for; {server.address} shows it"
    return _answer(options, {"recipe": recipe.name, "flow_run": run.id, "message": message})


def _recipe(options: Namespace, settings: Settings, *, on_server: bool) -> Recipe:
    if options.recipe is None and on_server and not options.source:
        from flows.orchestration.retraining import recipe_of  # after the environment

        return override(recipe_of(DEPLOYMENT), options.overrides)
    named = options.recipe or HERE
    recipe = naming.load(named, options.overrides, options.source, settings.runs)
    preflight.check(recipe, settings)
    return recipe


def _standing(recipe: Recipe, settings: Settings) -> str:
    """Say what a run would find now."""
    at_work = holder(settings.runs, recipe)
    if at_work:
        return f"a run is at work: {at_work}"
    sources = open_sources(recipe, settings)
    changes = source_changes(settings.runs, recipe, sources)
    if changes is not None:
        return f"{changes.sentence()}; --now retrains on them"
    return made_before(recipe, sources, settings) or (
        "the files are those of the last run, its code or its recipe are not, or it did not end "
        "well; --now runs it again, `textmill explain` says what would be made"
    )


def _run_here(recipe: Recipe, settings: Settings) -> dict[str, Any]:
    message = made_before(recipe, open_sources(recipe, settings), settings)
    if message is not None:
        return {"recipe": recipe.name, "message": message}
    with progress_bars() as (progress, narrate):
        registration = run_chain(recipe, settings, progress, narrate).registration
    assert registration is not None
    model = {"name": registration.name, "version": str(registration.version)}
    message = f"{registration.name} version {registration.version}: {registration.reason}"
    return {"recipe": recipe.name, "model": model, "message": message}


def _answer(options: Namespace, result: dict[str, Any]) -> dict[str, Any] | None:
    if options.json:
        return result
    print(f"{result['recipe']}: {result['message']}")
    return None
