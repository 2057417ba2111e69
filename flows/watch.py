"""Flows that look after a deployment's sources and say by an event when retraining is due.

What they look at is the deployment's own parameters, so a recipe is stated once.
"""

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events import emit_event
from prefect.states import Completed, State

from flows.drift_check import check_drift
from flows.orchestration.early_ends import at_work_state
from flows.orchestration.events import DRIFT_DETECTED, SOURCE_CHANGED, resource_of
from flows.orchestration.form import describe_settings
from flows.orchestration.retraining import RETRAIN, recipe_of
from flows.planning import open_sources
from flows.run_lock import holder
from flows.runs import last_run
from flows.settings import read_settings
from flows.source_changes import source_changes
from flows.tasks import TaskObserver
from model.evaluation.drift import DriftReport
from pipeline.errors import RunAtWork

describe_settings()


@flow(name="watch", flow_run_name="watch-{deployment}")
def watch(deployment: str = RETRAIN) -> State[str]:
    """Compare a deployment's source files with those of its last run; say so if they differ.

    Args:
        deployment: What to start when they do, as flow/name.
    """
    recipe, settings = recipe_of(deployment), read_settings()
    at_work = holder(settings.runs, recipe)
    if at_work:
        return _done("AtWork", f"a run of {recipe.name} is at work and reads them: {at_work}")
    if last_run(settings.runs, recipe.name, recipe.sources) is None:
        return _done("NoRunYet", f"{recipe.name} has never run here; its schedule or you begin")
    changes = source_changes(settings.runs, recipe, open_sources(recipe, settings))
    if changes is None:
        return _done("NothingNew", f"the files of {recipe.name} are those of its last run")
    payload = {"recipe": recipe.name, "deployment": deployment, "changes": changes.sentence()}
    emit_event(SOURCE_CHANGED, _resource(deployment), payload=payload)
    return _done("Changed", f"{recipe.name}: {changes.sentence()}; {SOURCE_CHANGED} starts a run")


@flow(name="drift", flow_run_name="drift-{deployment}")
def drift(deployment: str = RETRAIN) -> State[str]:
    """Compare what is new in a deployment's text with what its champion knows; say if it drifted.

    Args:
        deployment: What to start when it has, as flow/name; its recipe's [drift] has the bounds.
    """
    recipe = recipe_of(deployment)
    try:
        check = check_drift(recipe, read_settings(), TaskObserver())
    except RunAtWork as error:
        return at_work_state(error)
    if check.report is None:
        return _done("NotMeasured", check.message)
    create_table_artifact(key="drift", table=drift_rows(check.report), description=check.message)
    if not check.report.reasons:
        return _done("NoDrift", check.message)
    payload = {"recipe": recipe.name, "deployment": deployment, "reasons": check.report.reasons}
    emit_event(DRIFT_DETECTED, _resource(deployment), payload=payload)
    return _done("Drifted", f"{check.message}; {DRIFT_DETECTED} starts a run")


def _resource(deployment: str) -> dict[str, str]:
    return {"prefect.resource.id": resource_of(deployment.rpartition("/")[2])}


def drift_rows(report: DriftReport) -> list[dict[str, str]]:
    """Return a row for people per figure of a report."""
    return [
        {
            "figure": figure.name,
            "language": figure.lang,
            "old": "" if figure.old is None else f"{figure.old:.3f}",
            "new": "" if figure.new is None else f"{figure.new:.3f}",
            "change": f"{figure.change:+.1%}",
            "surely": f"{figure.sure_change:+.1%}",
            "bound": "" if figure.bound is None else f"{figure.bound:.1%}",
            "past": "yes" if figure.is_past else "no",
        }
        for figure in report.figures
    ]


def _done(name: str, message: str) -> State[str]:
    create_markdown_artifact(key="watch", markdown=message, description=name)
    return Completed(name=name, message=message)
