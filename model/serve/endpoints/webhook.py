"""POST /webhooks/mlflow: MLflow says that an alias moved, and it is looked at at once.

MLflow signs what it sends as Standard Webhooks do (HMAC-SHA256 of id, time and body). Nothing in a
message is believed but that it is time to look: the registry is asked as at any other time.
"""

import base64
import hashlib
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response

from model.registry.model_path import parts_of
from model.serve.limits import ServeLimits
from model.serve.schema import ApiError
from model.serve.service import read_body
from model.serve.swap import AliasWatch
from pipeline.errors import ConfigError

PATH = "/webhooks/mlflow"
BODY_BYTES_MAX = 16 << 10
CLOCK_SECONDS = 300.0  # by which a message may be old, or clocks differ
REMEMBERED = 4096  # messages, at most
SECRET_BYTES_MIN = 16
ALIAS = "model_version_alias"
DONE = 204


@dataclass
class WebhookCheck:
    """Tells what MLflow sent from what others did, and what is new from what was seen."""

    secret: bytes
    _seen: OrderedDict[str, float] = field(default_factory=OrderedDict)  # id -> when

    def is_new(self, headers: dict[str, str], body: bytes) -> bool:
        """Tell whether a message comes for the first time; raise ApiError 401 for no true one."""
        delivery, sent = headers.get("x-mlflow-delivery-id", ""), headers.get("x-mlflow-timestamp")
        signed = f"{delivery}.{sent}.".encode() + body
        digest = base64.b64encode(hmac.new(self.secret, signed, hashlib.sha256).digest())
        given = headers.get("x-mlflow-signature", "").encode()
        if not hmac.compare_digest(b"v1," + digest, given):
            raise _refused("The signature is not of this server's webhook secret")
        now = time.time()
        if abs(now - int(sent or "0")) > CLOCK_SECONDS:  # a number: it was signed
            raise _refused(f"The message is not of the last {CLOCK_SECONDS:g} seconds")
        while self._seen and (
            len(self._seen) >= REMEMBERED
            or now - next(iter(self._seen.values())) > 2 * CLOCK_SECONDS
        ):
            self._seen.popitem(last=False)
        if delivery in self._seen:
            return False
        self._seen[delivery] = now
        return True


def read_secret(path: Path) -> bytes:
    """Return the secret in a file, without the space around it; raises ConfigError."""
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"--webhook-secret {path}: {error.strerror}") from error
    if len(secret) < SECRET_BYTES_MIN:
        raise ConfigError(
            f"--webhook-secret {path}: {len(secret)} bytes, wanted at least {SECRET_BYTES_MIN}, "
            f"the ones that MLflow's webhook was made with"
        )
    return secret


def add(app: FastAPI, watches: Sequence[AliasWatch], limits: ServeLimits, secret: bytes) -> None:
    """Add the endpoint."""
    check, small = WebhookCheck(secret), replace(limits, request_bytes_max=BODY_BYTES_MAX)

    @app.post(PATH, include_in_schema=False)
    async def alias_moved(http_request: Request) -> Response:
        body = await read_body(http_request, small)
        if check.is_new(dict(http_request.headers), body):
            wanted = _alias_of(body)
            for watch in watches:
                if parts_of(watch.current.source.address)[:2] == wanted:
                    watch.look.set()
        return Response(status_code=DONE)


def _alias_of(body: bytes) -> tuple[str, str] | None:
    """Return name and alias of a message about one; None for other events."""
    try:
        event = json.loads(body)
        if event["entity"] == ALIAS:
            return str(event["data"]["name"]), str(event["data"]["alias"])
    except (ValueError, KeyError, TypeError) as error:
        raise ApiError(400, f"The message is none of MLflow's: {error!r}") from error
    return None


def _refused(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_signature", kind="authentication_error")
