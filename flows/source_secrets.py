"""Secrets of source addresses: a recipe names them as ${NAME}, and only reading files has them.

`https://reader:${CORPUS_KEY}@host/texts.jsonl` stands in the recipe, in Prefect's parameters and in
records; the value is taken from the environment, or from the file of TEXTMILL_SECRETS, when the
files are listed and read.
"""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from flows.config import Recipe, as_shown
from flows.settings import Settings
from pipeline.errors import ConfigError
from pipeline.reading.addresses import without_secrets
from pipeline.reading.remote import is_remote
from pipeline.sources.source_set import Source

REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def with_secrets(sources: Sequence[Source], settings: Settings) -> tuple[Source, ...]:
    """Return sources whose addresses hold the values that they name; for reading, never to record.

    Raises ConfigError for a name without a value, a file that others can read, and a name where an
    address is not hidden: a value in its host or path would be shown.
    """
    return tuple(replace(source, path=_filled(source.path, settings)) for source in sources)


def _filled(path: str, settings: Settings) -> str:
    if not is_remote(path) or not REFERENCE.search(path):
        return path
    parts = urlsplit(path)
    shown = f"{parts.netloc.rpartition('@')[2]}{parts.path}"
    if match := REFERENCE.search(shown):
        raise ConfigError(
            f"source {path!r}: {match[0]} stands in the host or path of an address, which messages "
            f"show; put it into the login (https://user:{match[0]}@...) or the query (?token=...)"
        )
    return REFERENCE.sub(lambda match: _value(match[1], path, settings.secrets), path)


def _value(name: str, path: str, file: Path | None) -> str:
    value = os.environ.get(name) or (_read(file).get(name) if file is not None else None)
    if value:
        return value
    where = "TEXTMILL_SECRETS names no file" if file is None else f"it is not in {file}"
    raise ConfigError(
        f"source {path!r}: {name} is not set in the environment, and {where}; set it where the run "
        f"works, or put a line {name}=... into a file (chmod 600) and its path into "
        f"TEXTMILL_SECRETS"
    )


def _read(file: Path) -> dict[str, str]:
    """Return the NAME=value lines of a file that is its owner's alone."""
    try:
        if file.stat().st_mode & OTHERS:
            raise ConfigError(
                f"TEXTMILL_SECRETS: others than its owner can read {file}; chmod 600 {file}"
            )
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"TEXTMILL_SECRETS: {file} cannot be read ({error})") from error
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def refuse_written_secrets(recipe: Recipe, where: str) -> None:
    """Raise ConfigError if an address holds a secret itself, where others would keep it."""
    for source, shown in zip(recipe.sources, as_shown(recipe).sources, strict=True):
        if shown.path != source.path and not _is_named(source.path):
            raise ConfigError(
                f"source {shown.path!r}: its address holds a secret, which {where} would keep and "
                f"show; write ${{NAME}} in its place and set NAME where the run works, in the "
                f"environment or in the file of TEXTMILL_SECRETS"
            )


def _is_named(path: str) -> bool:
    """Tell whether nothing of an address is hidden but names of secrets and a user's name."""
    if not is_remote(path):
        return True
    parts = urlsplit(path)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    login = password or user  # a user alone may be a token
    if login and not REFERENCE.fullmatch(login):
        return False
    query = REFERENCE.sub("", parts.query)
    return without_secrets(f"?{query}") == f"?{query}"
