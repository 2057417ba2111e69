"""The file of keys: who may use a server, and how much. Keys themselves are never stored.

A key is 256 random bits, so one pass of SHA-256 hides it as well as a slow hash would: there is
nothing to guess. Whoever reads the file, or a log, learns names and limits.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import ConfigError
from pipeline.store import storage

PREFIX = "tm-"
KEY_BYTES = 32
PRIVATE = 0o600
NAME = re.compile(r"[A-Za-z0-9][\w.@-]{0,63}")
PerMinute = Annotated[int, Field(ge=1)] | None


class AccessKey(BaseModel):
    """A client by name; a limit that is None is none."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    requests_per_minute: PerMinute = None
    tokens_per_minute: PerMinute = None


class KeyTable(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    keys: list[AccessKey]


def read_keys(path: Path) -> list[AccessKey]:
    """Return the file's keys; raise ConfigError if it is missing, broken or empty of keys."""
    try:
        table = KeyTable.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path}: no file of keys ({error.strerror}); `textmill key NAME --keys {path}` "
            f"makes one"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(
            f"{path}: {place}: {first['msg']}; `textmill key` writes such files"
        ) from error
    names = [key.name for key in table.keys]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{path}: two keys are called {twice[0]!r}; take one out")
    return table.keys


def add_key(
    path: Path, name: str, requests_per_minute: int | None, tokens_per_minute: int | None
) -> str:
    """Add a key for `name` and return it: it is shown once, the file keeps its hash alone."""
    for flag, limit in (("requests", requests_per_minute), ("tokens", tokens_per_minute)):
        if limit is not None and limit < 1:
            raise ConfigError(f"--{flag}-per-minute: {limit}, wanted at least 1; leave it out")
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"key {name!r}: wanted up to 64 letters, digits and . _ - @; it stands in metrics"
        )
    with storage.locked(_lock_of(path)):
        known = read_keys(path) if path.exists() else []
        if name in {key.name for key in known}:
            raise ConfigError(f"{path}: {name!r} has a key; take it out first with --remove")
        secret = PREFIX + secrets.token_urlsafe(KEY_BYTES)
        key = AccessKey(
            name=name,
            sha256=hash_of(secret),
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
        _write(path, [*known, key])
    return secret


def remove_key(path: Path, name: str) -> None:
    """Take a key out; a running server refuses it from its next look at the file on."""
    with storage.locked(_lock_of(path)):
        known = read_keys(path)
        left = [key for key in known if key.name != name]
        if len(left) == len(known):
            names = ", ".join(key.name for key in known) or "none"
            raise ConfigError(f"{path}: no key is called {name!r}; there are: {names}")
        _write(path, left)


def hash_of(secret: str) -> str:
    """Return what is kept of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True)
class FileStamp:
    """By which a file that was replaced is known."""

    inode: int
    modified_ns: int
    size: int


class KeyRing:
    """The keys of a file as it is now: a key that was added or removed counts without a restart."""

    def __init__(self, path: Path):
        self.path = path
        self._stamp = _stamp_of(path)
        self._by_hash = _by_hash(read_keys(path))

    def find(self, secret: str) -> AccessKey | None:
        """Return whose key this is."""
        return self._by_hash.get(hash_of(secret))

    def refresh(self) -> None:
        """Read the file again if it was replaced; raise ConfigError, and keep the keys, if broken.

        A file that is gone holds no keys any more.
        """
        stamp = _stamp_of(self.path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._by_hash = _by_hash(read_keys(self.path)) if stamp is not None else {}


def _by_hash(keys: Sequence[AccessKey]) -> dict[str, AccessKey]:
    return {key.sha256: key for key in keys}


def _stamp_of(path: Path) -> FileStamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return FileStamp(status.st_ino, status.st_mtime_ns, status.st_size)


def _write(path: Path, keys: Sequence[AccessKey]) -> None:
    table = KeyTable(keys=list(keys)).model_dump()
    with storage.whole_file(path) as temporary:
        temporary.touch(PRIVATE)
        temporary.chmod(PRIVATE)
        temporary.write_text(storage.canonical_json(table, indent=1) + "\n", "utf-8")


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")
