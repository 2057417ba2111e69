"""A PostgreSQL server of a test's own, where the programs are installed (Debian: `postgresql`)."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

USER = "textmill"


def programs() -> Path:
    """Return the folder of the newest server's programs; skip the test where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip("needs PostgreSQL's programs (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg2", reason="needs the extra postgresql")
    return found[-1].parent if found else Path(on_path).parent


class PostgresServer:
    """A server on loopback with a password; `restart` stops it as an operator does."""

    def __init__(self, folder: Path, bin_: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.password = secrets.token_hex(8)
        self._bin, self._data = bin_, folder / "data"
        self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._as = self._as if os.getuid() == 0 else []
        password = folder / "password"
        password.write_text(self.password)
        if self._as:  # it refuses to run as root
            owner = pwd.getpwnam("postgres")
            for path in (folder, password):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        given = (f"--pwfile={password}", f"--username={USER}", "--auth=scram-sha-256")
        self._run("initdb", "-D", str(self._data), "--no-sync", "--encoding=UTF8", *given)
        self.start()

    def address(self, name: str, password: str = "") -> str:
        """Return the address of a database."""
        return f"postgresql://{USER}{password and f':{password}'}@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off"
        options += f" -c unix_socket_directories={self._data}"
        log = str(self._data / "log")
        self._run(
            "pg_ctl", "-D", str(self._data), "-w", "-t", "120", "-l", log, "-o", options, "start"
        )

    def stop(self) -> None:
        """Stop at once: what clients have begun is rolled back and their connections end."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "fast", "stop")

    def query(self, name: str, question: str) -> list[str]:
        """Return the lines that psql answers."""
        told = subprocess.run(
            [self._bin / "psql", "-XAt", self.address(name), "-c", question],
            env={**os.environ, "PGPASSWORD": self.password}, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        return told.stdout.splitlines()

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, self._bin / program, *arguments]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def postgres_server():
    """Run a server for a block, in a folder that its user may enter."""
    bin_ = programs()
    folder = Path(tempfile.mkdtemp(prefix="textmill-postgres-"))
    server = PostgresServer(folder, bin_)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
