"""What every request passes: its record, its key, its limits; then metrics and the log.

Plain ASGI, so that streams pass through piece by piece.
"""

import asyncio
import json
import logging
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from model.serve.access import records
from model.serve.access.keys import AccessKey, KeyRing
from model.serve.access.metrics import ServerMetrics
from model.serve.access.rates import KeyRates
from model.serve.access.records import RequestLogging, RequestRecord, keep_record
from model.serve.schema import ApiError
from pipeline import observing
from pipeline.errors import ConfigError

logger = logging.getLogger(__name__)
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
# without a key: probes, and a page that holds nothing itself
OPEN = frozenset({"/", "/health", "/ready"})
OTHER_PATH = "other"  # in metrics: addresses that lead nowhere are without number
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
REQUEST_ID = re.compile(r"[\w.:-]{1,64}")
KEY_SECONDS = 1.0  # between looks at the file of keys
CLIENT_LEFT = 499


@dataclass
class GateState:
    """What the gate keeps between requests."""

    metrics: ServerMetrics
    log: RequestLogging = RequestLogging.REQUESTS
    keys: KeyRing | None = None
    open_paths: frozenset[str] = OPEN
    rates: KeyRates = field(default_factory=KeyRates)
    looked: float = 0.0


class Gate:
    """The app behind its keys and limits; counts and logs what passes."""

    def __init__(self, app: App, state: GateState):
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record, key = _record_of_head(scope), None
        record.keeps_texts = self._state.log is RequestLogging.TEXTS
        keep_record(scope, record)

        async def noting_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                head = [*message.get("headers", []), (b"x-request-id", record.id.encode())]
                if record.version:
                    head.append((b"x-model-version", record.version.encode()))
                message = {**message, "headers": head}
            await send(message)

        try:
            try:
                key = await self._admit(scope)
            except ApiError as error:
                await _refuse(error, noting_status)
                return
            record.key = key.name if key else ""
            await self._app(scope, receive, noting_status)
        except Exception:
            record.status = record.status or 500
            raise
        finally:
            self._note(scope, record, key)

    async def _admit(self, scope: Scope) -> AccessKey | None:
        """Return whose key the request has; raise ApiError 401 or 429."""
        keys = self._state.keys
        if keys is None or scope["path"] in self._state.open_paths:
            return None
        await self._look_at_file(keys)
        key = keys.find(_bearer(scope))
        if key is None:
            raise ApiError(
                401,
                "A key of this server is required: send it as 'Authorization: Bearer KEY'",
                code="invalid_api_key",
                kind="authentication_error",
            )
        wait = self._state.rates.admit(key)
        if wait > 0:
            seconds = math.ceil(wait)
            raise ApiError(
                429,
                f"The limits of the key {key.name!r} are used up; try again in {seconds} s",
                code="rate_limit_exceeded",
                kind="rate_limit_error",
                retry_seconds=seconds,
            )
        return key

    async def _look_at_file(self, keys: KeyRing) -> None:
        now = time.monotonic()
        if now - self._state.looked < KEY_SECONDS:
            return
        self._state.looked = now
        try:
            await asyncio.to_thread(keys.refresh)
        except ConfigError as error:
            logger.warning("the keys stay as they were: %s", error)

    def _note(self, scope: Scope, record: RequestRecord, key: AccessKey | None) -> None:
        record.seconds = time.perf_counter() - record.began
        record.status = record.status or CLIENT_LEFT
        route = scope.get("route")
        record.path = route.path if route is not None else OTHER_PATH
        if record.path == OTHER_PATH and scope["path"] in OPEN:
            record.path = scope["path"]
        if key is not None:
            self._state.rates.spend_tokens(key, record.tokens)
        self._state.metrics.observe(record)
        _tell(record)
        if self._state.log is not RequestLogging.NONE:
            records.logger.info("%s", record.line(self._state.log))


def _tell(record: RequestRecord) -> None:
    now = observing.now_ns()
    facts = {"status": record.status, "model": record.model, "id": record.id}
    began = now - int(record.seconds * 1e9)
    observing.ended(observing.Timed("request", f"{record.method} {record.path}", began, now, facts))


def _record_of_head(scope: Scope) -> RequestRecord:
    stated = _header(scope, b"x-request-id")
    return RequestRecord(
        id=stated if REQUEST_ID.fullmatch(stated) else secrets.token_hex(8),
        method=scope["method"] if scope["method"] in METHODS else OTHER_PATH,
        path=OTHER_PATH,
        client=scope["client"][0] if scope.get("client") else "",
    )


def _bearer(scope: Scope) -> str:
    scheme, _, secret = _header(scope, b"authorization").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


async def _refuse(error: ApiError, send: Send) -> None:
    body = json.dumps(error.body).encode()
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if error.status == 401:
        head.append((b"www-authenticate", b"Bearer"))
    if error.retry_seconds is not None:
        head.append((b"retry-after", str(error.retry_seconds).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": head})
    await send({"type": "http.response.body", "body": body})
