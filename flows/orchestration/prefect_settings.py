"""What Prefect reads from the environment, for servers, workers and runs of a store."""

from flows.settings import Settings

LEASES = "prefect.server.concurrency.lease_storage.filesystem"
HEARTBEAT_SECONDS = 30  # of a run; the least that Prefect takes


def prefect_environment(settings: Settings) -> dict[str, str]:
    """Return the Prefect settings of this store; import Prefect after it is set."""
    own = settings.database
    database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": own.prefect} if own else {}
    return database | {
        "PREFECT_HOME": str(settings.prefect_home),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_UI_API_URL": "/api",  # the page asks the server it came from
        "PREFECT_WORKER_QUERY_SECONDS": "2",  # pick runs up in seconds, not in fifteen
        "PREFECT_LOGGING_EXTRA_LOGGERS": "pipeline,model,expectations,flows",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        # slots of deployments survive the server; the files lie below PREFECT_HOME
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES,
        # what Prefect says of each run and task drowns a line per stage; its warnings stay
        "PREFECT_LOGGING_LOGGERS_PREFECT_FLOW_RUNS_LEVEL": "WARNING",
        "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "WARNING",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
