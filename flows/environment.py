"""The variables of the environment that settings come from, with their types and defaults."""

from typing import Literal

from pydantic import PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.config_checks import refused

PREFIX = "TEXTMILL_"
WANTED = {  # by pydantic's kind of error
    "greater_than": "a whole number from 1",
    "int_parsing": "a whole number from 1",
    "literal_error": "ddp or fsdp",
}


class Environment(BaseSettings):
    """TEXTMILL_STORE and its siblings; a variable that is empty counts as not set."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    store: str = "store"
    workers: PositiveInt | None = None  # None: the CPUs this process may use
    mlflow_uri: str | None = None  # None: a database in the store
    processes: PositiveInt = 1  # that train, on each host
    hosts: PositiveInt = 1
    rendezvous: str | None = None  # host:port where hosts meet
    parallel: Literal["ddp", "fsdp"] = "ddp"


def read_environment() -> Environment:
    """Read the variables; raise ConfigError for the first that cannot be used."""
    try:
        return Environment()
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        variable = f"{PREFIX}{str(fault['loc'][0]).upper()}"
        raise refused(variable, fault["input"], WANTED.get(fault["type"], fault["msg"])) from error
