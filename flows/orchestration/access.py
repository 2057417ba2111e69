"""Who may use the servers of `textmill up`: the person who started it, with a key made each time.

Loopback is no border. Any page open in a browser can send requests to 127.0.0.1, a name that an
attacker owns can be pointed at it (DNS rebinding), and every program and user of the machine
reaches it; Prefect's API runs code for whoever it answers. So each request must carry the key, be
addressed to this machine by name, and come from a page of the same server or from no page.
"""

import base64
import binascii
import hmac
import os
import secrets
import shlex
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from pipeline.store import storage

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[
    [Scope, Callable[[], Awaitable[MutableMapping[str, Any]]], Send], Awaitable[None]
]

USER = "textmill"
KEY_BYTES = 32
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")  # with any port: one may be forwarded
LOGIN_VARIABLE = "TEXTMILL_SERVER_LOGIN"  # how a server process is given what it must ask for
FRAMES = (b"content-security-policy", b"frame-ancestors 'self'")  # no page around our buttons


def new_login() -> str:
    """Return a login 'user:key' with a key nobody can guess."""
    return f"{USER}:{secrets.token_urlsafe(KEY_BYTES)}"


def basic(login: str) -> str:
    """Return the value of the Authorization header for a login."""
    return "Basic " + base64.b64encode(login.encode()).decode()


def write_private(path: Path, text: str) -> None:
    """Write a small file atomically that no other user can read at any instant."""
    with storage.whole_file(path) as temporary:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


def client_environment(prefect_api: str, mlflow: str, login: str) -> dict[str, str]:
    """Return what Prefect's and MLflow's own clients read to reach the servers."""
    user, _, key = login.partition(":")
    return {
        "PREFECT_API_URL": prefect_api,
        "PREFECT_API_AUTH_STRING": login,
        "MLFLOW_TRACKING_URI": mlflow,
        "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": key,
    }


def shell_lines(environment: dict[str, str]) -> str:
    """Return `export` lines for a shell to source."""
    return "".join(f"export {name}={shlex.quote(text)}\n" for name, text in environment.items())


class OwnerOnly:
    """An ASGI app that answers its owner alone and passes the owner's requests on.

    `login` is asked for as HTTP Basic; None leaves that to the app inside. `open_path` needs no
    login: a path that says nothing but that the server is up. `names` are the host names it is
    addressed by beside this machine's own.
    """

    def __init__(
        self, app: AsgiApp, login: str | None, open_path: str, names: tuple[str, ...] = ()
    ):
        self._app, self._login, self._open_path = app, login, open_path
        self._names = (*LOCAL_NAMES, *names)

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Answer or pass on one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = _foreign(headers, self._names) or self._without_login(scope, headers)
        if refusal is not None:
            await _refuse(scope, send, *refusal)
        else:
            await self._app(scope, receive, _with_header(send, FRAMES))

    def _without_login(self, scope: Scope, headers: dict[bytes, str]) -> tuple[int, str] | None:
        if self._login is None or scope["path"] == self._open_path:
            return None
        if hmac.compare_digest(_login_of(headers).encode(), self._login.encode()):
            return None
        return 401, "this server asks for the name and key that `textmill up` made"


def _foreign(headers: dict[bytes, str], names: tuple[str, ...]) -> tuple[int, str] | None:
    host = headers.get(b"host", "").lower()
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name not in names:
        return 400, f"Host {host!r} is no name of this machine; use {names[0]}"
    origin = headers.get(b"origin")
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        return 403, f"requests from pages of {origin!r} are refused"
    return None


def _login_of(headers: dict[bytes, str]) -> str:
    scheme, _, credentials = headers.get(b"authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _with_header(send: Send, header: tuple[bytes, bytes]) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), header]}
        await send(message)

    return sending


async def _refuse(scope: Scope, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="textmill"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})
