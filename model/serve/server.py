"""Runs the app on an address until it is asked to stop; every request gets an answer."""

import asyncio
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from model.serve import deadlines
from model.serve.app import create_app
from model.serve.generation import Generator
from model.serve.schema import ServeLimits
from pipeline.errors import ServiceError

STOP_SECONDS = 5  # how long replies under way may take after a stop was asked for
# Longer than clients keep an idle connection (5 s in httpx, 15 s in aiohttp): a server that closes
# first meets requests that are on their way, and they get no answer.
IDLE_SECONDS = 75
BACKLOG = 4096  # connections that the kernel holds while the loop is busy


def serve(
    folder: Path,
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
    limits = limits or ServeLimits()
    listening = _listen(host, port)
    app = create_app(folder, name, limits, [*hosts, *_names_of(host)])
    config = uvicorn.Config(
        app,
        http=deadlines.protocol(limits),
        ws="none",
        backlog=BACKLOG,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    if threading.current_thread() is threading.main_thread():
        # uvicorn stops, then raises the signal again, which would end this process with its number.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
    with listening:
        _Server(config, name, app.state.generator).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Says where it listens once it does; when it stops, what cannot finish is told so."""

    def __init__(self, config: uvicorn.Config, name: str, generator: Generator):
        super().__init__(config)
        self.name, self.generator = name, generator

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"serving {self.name} at http://{shown}:{port} (stop with Ctrl-C)", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.generator.refuse_waiting()
        # a second is left in which the last answers are written
        asyncio.get_running_loop().call_later(STOP_SECONDS - 1, self.generator.cancel_all)
        await super().shutdown(sockets)


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
