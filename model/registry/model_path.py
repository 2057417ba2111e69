"""A model that a command line names: a folder, or an address of the registry."""

import re
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.store import storage

REGISTERED = re.compile(r"models:/+([^/@:]+)(?:@([\w-]+)|/(\d+))")


def model_path(address: str) -> Path:
    """Return the folder of a path; raises ConfigError if there is none."""
    folder = storage.expanded(address)
    if not folder.is_dir():
        raise ConfigError(
            f"model {address!r}: no such folder; give a model folder or models:/NAME@champion"
        )
    return folder


def parts_of(address: str) -> tuple[str, str, str]:
    """Return name, alias and number of `models:/...`, one of the last two empty.

    Raises ConfigError for an address of another form.
    """
    match = REGISTERED.fullmatch(address)
    if match is None:
        raise ConfigError(f"model {address!r}: wanted models:/NAME@ALIAS or models:/NAME/VERSION")
    name, alias, number = match.groups()
    return name, alias or "", number or ""
