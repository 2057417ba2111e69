"""Secrets of source addresses: a recipe names them as ${NAME}, and only reading files has them.

`https://reader:${CORPUS_KEY}@host/texts.jsonl` stands in the recipe, in Prefect's parameters and in
records; the value is taken from the environment, or from the file of TEXTMILL_SECRETS, when the
files are listed and read.
"""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from flows.config import Recipe, as_shown
from flows.secret_values import REFERENCE, secret_value
from flows.settings import Settings
from pipeline.errors import ConfigError
from pipeline.reading.addresses import without_secrets
from pipeline.reading.remote import is_remote
from pipeline.sources.source_set import Source


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
    what = f"source {path!r}"
    return REFERENCE.sub(lambda match: secret_value(match[1], what, settings.secrets), path)


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
