"""Runs the app on an address until it is asked to stop; every request gets an answer."""

import asyncio
import gc
import logging
import signal
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import uvicorn

from model.serve import deadlines
from model.serve.app import create_app
from model.serve.limits import ServeLimits
from model.serve.options import ServeOptions, is_loopback
from model.serve.service import ModelSource, Service
from pipeline.errors import ServiceError

logger = logging.getLogger(__name__)
STOP_SECONDS = 5  # in which the last answers are sent after all texts have ended
DRAIN_POLL_SECONDS = 0.05
# Longer than clients keep an idle connection (5 s in httpx, 15 s in aiohttp): a server that closes
# first meets requests that are on their way, and they get no answer.
IDLE_SECONDS = 75
BACKLOG = 4096  # connections that the kernel holds while the loop is busy


def serve(
    sources: Sequence[ModelSource],
    options: ServeOptions | None = None,
    limits: ServeLimits | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then let replies under way finish; port 0 takes a free one.

    Prints the address once requests are answered. Raises ServiceError if the address is taken, and
    what `create_app` raises.
    """
    limits, options = limits or ServeLimits(), options or ServeOptions()
    options.check_certificate()
    if not is_loopback(options.host) and options.tls_cert is None:
        logger.warning(
            "keys and texts travel unencrypted to %s: give --tls-cert and --tls-key, or put a "
            "proxy that speaks TLS before this server",
            options.host,
        )
    listening = _listen(options.host, options.port)
    app = create_app(sources, replace(options, hosts=_hosts(options)), limits)
    config = uvicorn.Config(
        app,
        http=deadlines.protocol(limits),
        ws="none",
        backlog=BACKLOG,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )
    if threading.current_thread() is threading.main_thread():
        # uvicorn stops, then raises the signal again, which would end this process with its number.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
    with listening:
        _Server(config, app.state.service).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Says where it listens once it does; when it stops, what cannot finish is told so."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self.service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what stands now is not looked through again and again
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            scheme = "https" if self.config.is_ssl else "http"
            names = ", ".join(self.service.models)
            print(f"serving {names} at {scheme}://{shown}:{port} (stop with Ctrl-C)", flush=True)
            for model in self.service.models.values():
                print(f"{model.name}: {model.engine.capabilities.words}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let what is written end while new requests are told 503; then close the connections."""
        generators = [model.generator for model in self.service.models.values()]
        for generator in generators:
            generator.refuse_waiting()
        give_up = time.monotonic() + self.service.limits.drain_seconds_max
        while any(generator.running for generator in generators):
            if self.force_exit or time.monotonic() > give_up:
                for generator in generators:
                    generator.cancel_all()
                break
            await asyncio.sleep(DRAIN_POLL_SECONDS)
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


def _hosts(options: ServeOptions) -> tuple[str, ...]:
    """Return the Host headers that clients of this address send; with keys any may be sent."""
    if options.keys is not None:
        return options.hosts
    return (*options.hosts, f"[{options.host}]" if ":" in options.host else options.host)
