"""Our events: what starts retraining, and who waits. Imports nothing heavy.

Anybody may emit them: `prefect event emit textmill.source.changed --resource-id textmill.retrain`.
"""

SOURCE_CHANGED = "textmill.source.changed"
DRIFT_DETECTED = "textmill.drift.detected"
RUN_WAITS = "textmill.flow-run.waits"  # for a person's answer; about a run as Prefect's own are
SETTLE_SECONDS = 5  # the server works on events side by side: RUN_WAITS comes after the others


def resource_of(deployment: str) -> str:
    """Return the resource of events about a deployment, by the deployment's own name."""
    return f"textmill.{deployment}"


def resource_of_run(run: str) -> str:
    """Return the resource of Prefect's events about a flow run."""
    return f"prefect.flow-run.{run}"
