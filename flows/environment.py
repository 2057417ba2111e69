"""The variables of the environment that settings come from, with their types and defaults."""

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from pipeline.config_checks import refused

PREFIX = "TEXTMILL_"
WANTED = {  # by pydantic's kind of error
    "greater_than": "a whole number from 1",
    "int_parsing": "a whole number from 1",
}


class Environment(BaseModel):
    """TEXTMILL_STORE and its siblings; a variable that is empty counts as not set."""

    model_config = ConfigDict(frozen=True)

    store: str = "store"
    workers: PositiveInt | None = None  # None: the CPUs this process may use
    tombstones: str | None = None  # None: a file beside the store
    database: str | None = None  # one PostgreSQL server for Prefect and MLflow
    mlflow_uri: str | None = None  # None: a database in the store
    processes: PositiveInt = 1  # that train, on each host
    hosts: PositiveInt = 1
    rendezvous: str | None = None  # host:port where hosts meet
    parallel: Literal["ddp", "fsdp"] = "ddp"
    log_format: Literal["text", "json"] = "text"
    secrets: str | None = None  # a file of NAME=value lines for ${NAME} in addresses of sources


def read_environment() -> Environment:
    """Read the variables; raise ConfigError for the first that cannot be used."""
    variables = {
        name: os.environ.get(f"{PREFIX}{name.upper()}") for name in Environment.model_fields
    }
    try:
        return Environment.model_validate({name: v for name, v in variables.items() if v})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        variable = f"{PREFIX}{str(fault['loc'][0]).upper()}"
        of_kind = WANTED.get(fault["type"], fault["msg"])
        wanted = fault.get("ctx", {}).get("expected", of_kind).replace("'", "")
        raise refused(variable, fault["input"], wanted) from error
