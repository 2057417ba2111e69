"""Serve a model over HTTP: `python -m model.serve MODEL`."""

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from model.serve.app import create_app
from model.serve.schema import ServeLimits
from pipeline.errors import ServiceError, TextmillError

STOP_SECONDS = 5  # how long replies under way may take after a stop was asked for


class _Server(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, name: str):
        super().__init__(config)
        self.name = name

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"serving {self.name} at http://{shown}:{port} (stop with Ctrl-C)", flush=True)


def serve(
    model_folder: Path,
    name: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    limits: ServeLimits | None = None,
    hosts: Sequence[str] = (),
) -> None:
    """Serve until SIGINT or SIGTERM, then let replies under way finish; port 0 takes a free one.

    Prints the address once requests are answered. Raises ServiceError if the address is taken.
    """
    listening = _listen(host, port)
    app = create_app(model_folder, name, limits, [*hosts, *_names_of(host)])
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=STOP_SECONDS, server_header=False
    )
    if threading.current_thread() is threading.main_thread():
        # uvicorn stops, then raises the signal again, which would end this process with its number.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
    with listening:
        _Server(config, name).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise ServiceError(
            f"cannot listen on {host} port {port}: {error}; choose another with --port, "
            f"or --port 0 for any free one"
        ) from error
    return listening


def _names_of(host: str) -> list[str]:
    """Return the Host headers a client of this address sends; none for 'every address'."""
    return [] if host in ("0.0.0.0", "::") else [f"[{host}]" if ":" in host else host]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and serve; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.serve", description=__doc__)
    parser.add_argument("model", help="model folder, or models:/NAME@ALIAS")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument(
        "--name", help="model name that clients use; default: the folder's or model's"
    )
    parser.add_argument("--allow-host", action="append", default=[], help="Host header to accept")
    parser.add_argument(
        "--mlflow-uri",
        default=os.environ.get("MLFLOW_TRACKING_URI", ""),
        help="where models:/ addresses are looked up; default: MLFLOW_TRACKING_URI",
    )
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    try:
        folder = _model_folder(given.model, given.mlflow_uri)
        name = given.name or _name_of(given.model)
        serve(folder, name, given.host, given.port, hosts=given.allow_host)
    except TextmillError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _model_folder(model: str, mlflow_uri: str) -> Path:
    if not model.startswith("models:"):
        return Path(model)
    from model import registry
    from model.tracking import TrackingSettings

    cache = Path.home() / ".cache" / "textmill" / "mlflow"
    return registry.resolve(model, TrackingSettings(mlflow_uri, cache))


def _name_of(model: str) -> str:
    if model.startswith("models:"):
        return model.removeprefix("models:").strip("/").partition("@")[0].partition("/")[0]
    return Path(model).resolve().name


if __name__ == "__main__":
    sys.exit(main())
