"""One PostgreSQL server for Prefect and MLflow: `up --database`, TEXTMILL_DATABASE.

`postgresql://user:${NAME}@host:5432/textmill` stands for two databases, `textmill_prefect` and
`textmill_mlflow`: each of the two numbers its tables' versions in a table of the same name. The
address that is kept and passed on holds no password; programs take that from PGPASSWORD or the file
of PGPASSFILE, which both drivers read.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from flows.secret_values import REFERENCE, secret_value
from pipeline.errors import ConfigError
from pipeline.reading.addresses import without_secrets

SCHEMES = ("postgresql", "postgres")
NAME = re.compile(r"[a-z_][a-z0-9_]{0,50}")
TLS_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
WANTED = "wanted postgresql://USER:${NAME}@HOST:5432/DATABASE, with ?sslmode=require for TLS"


@dataclass(frozen=True)
class DatabaseAddress:
    """A server, a user, the stem of the databases' names; the password by its name, if at all."""

    login: str  # user, or user:${NAME}
    host: str  # with its port
    name: str
    tls: str | None = None

    @property
    def shown(self) -> str:
        """The address as it is kept and passed on."""
        tls = f"?sslmode={self.tls}" if self.tls else ""
        return f"postgresql://{self.login}@{self.host}/{self.name}{tls}"

    @property
    def mlflow(self) -> str:
        """MLflow's database, for psycopg2."""
        tls = f"?sslmode={self.tls}" if self.tls else ""
        return f"postgresql://{self._user}@{self.host}/{self.name}_mlflow{tls}"

    @property
    def prefect(self) -> str:
        """Prefect's database, for asyncpg."""
        tls = f"?ssl={self.tls}" if self.tls else ""
        return f"postgresql+asyncpg://{self._user}@{self.host}/{self.name}_prefect{tls}"

    @property
    def prefect_for_libpq(self) -> str:
        """Prefect's database, for psycopg2."""
        return self.mlflow.replace(f"{self.name}_mlflow", f"{self.name}_prefect")

    @property
    def _user(self) -> str:
        return self.login.partition(":")[0]


def read_database(address: str, secrets: Path | None) -> DatabaseAddress:
    """Read an address and put the password that it names where both drivers look for it.

    Raises ConfigError for what is no such address, and for a password that is written out: it would
    stand in command lines and records.
    """
    where = f"database {without_secrets(address)!r}"
    parts = urlsplit(address)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    host, name = parts.netloc.rpartition("@")[2], parts.path.lstrip("/")
    if parts.scheme not in SCHEMES or not (user and host and NAME.fullmatch(name)):
        raise ConfigError(f"{where}: {WANTED}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls = options.pop("sslmode", None)
    if options or tls not in (None, *TLS_MODES):
        raise ConfigError(f"{where}: of options only sslmode is taken, {', '.join(TLS_MODES)}")
    if password:
        reference = REFERENCE.fullmatch(password)
        if reference is None:
            raise ConfigError(
                f"{where}: it holds a password, which would be shown in process lists; write "
                f"${{NAME}} in its place and set NAME, or use PGPASSFILE"
            )
        os.environ["PGPASSWORD"] = secret_value(reference[1], where, secrets)
    return DatabaseAddress(f"{user}:{password}" if password else user, host, name, tls)
