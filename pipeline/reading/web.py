"""Requests for sources: no redirect leads where the user's address did not.

A redirect may lead to the same server or to the public internet. One to a machine of this network
(loopback, private, link-local and with it the metadata of clouds, in any spelling, or a name that
resolves to one) is refused, by the name before and by the connection's other end after connecting.
An address that the user names is read wherever it is.
"""

import base64
import functools
import http.client
import socket
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pipeline.errors import SourceError
from pipeline.reading.addresses import is_private, scheme_of, without_secrets

AGENT = "textmill (reads archives in order, one connection per worker)"


class _Request(urllib.request.Request):
    """A request that knows which server the user named, and whether it has left it."""

    named: tuple[str, str, int | None] = ("", "", None)
    elsewhere = False


def request(url: str, method: str = "GET", headers: dict[str, str] | None = None) -> _Request:
    """Return a request; a login in the address becomes a header for that server alone."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    bare = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
    # Unpacking is ours: a transfer encoding would change sizes and offsets.
    fixed = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    web_request = _Request(bare, method=method, headers=fixed | (headers or {}))
    web_request.named = _server(bare)
    if login:
        packed = base64.b64encode(unquote(login).encode()).decode()
        web_request.add_unredirected_header("Authorization", f"Basic {packed}")
    return web_request


def open_url(web_request: _Request, timeout_seconds: float) -> http.client.HTTPResponse:
    """Send a request and follow its redirects. Raises SourceError for one that is refused."""
    answer: http.client.HTTPResponse = _opener.open(web_request, timeout=timeout_seconds)
    return answer


def _server(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if scheme_of(newurl) not in ("http", "https"):
            raise _refused(req, newurl, "it is no http or https address")
        plain = super().redirect_request(req, fp, code, msg, headers, newurl)
        if plain is None:
            return None
        moved = _Request(plain.full_url, headers=plain.headers, unverifiable=True)
        moved.named = req.named
        moved.elsewhere = _server(moved.full_url) != req.named
        if moved.elsewhere and _leads_inside(moved.full_url):
            raise _refused(req, newurl, "it is on a machine of this network")
        if not moved.elsewhere and req.has_header("Authorization"):
            moved.add_unredirected_header("Authorization", req.get_header("Authorization"))
        return moved


def _refused(req: urllib.request.Request, to: str, why: str) -> SourceError:
    return SourceError(
        f"{without_secrets(req.full_url)}: redirected, and {without_secrets(to)!r} is not allowed: "
        f"{why}; name the file's own address if you mean it"
    )


def _leads_inside(url: str) -> bool:
    """Tell whether a server's name stands for a private address, as far as it can be resolved."""
    _, host, port = _server(url)
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return False  # connecting will fail, or a proxy knows the name
    return any(is_private(str(entry[4][0])) for entry in infos)


def _connection(kind: Any, web_request: _Request, host: str, **options: Any) -> Any:
    """Make a connection that looks at its other end, unless that is a proxy."""
    connection = kind(host, **options)
    if (
        not web_request.elsewhere
        or web_request.has_proxy()
        or getattr(web_request, "_tunnel_host", None)
    ):
        return connection
    connect = connection.connect

    def checked() -> None:
        connect()
        if is_private(connection.sock.getpeername()[0]):
            connection.close()
            raise _refused(web_request, web_request.full_url, "it is on a machine of this network")

    connection.connect = checked
    return connection


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req):
        return self.do_open(functools.partial(_connection, http.client.HTTPConnection, req), req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req):
        kind = functools.partial(_connection, http.client.HTTPSConnection, req)
        return self.do_open(kind, req, context=self._context)


# Without handlers of other schemes no redirect can lead to a local file.
_opener = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.ProxyHandler(),
    _Http(),
    _Https(),
    urllib.request.HTTPDefaultErrorHandler(),
    urllib.request.HTTPErrorProcessor(),
    _Redirects(),
):
    _opener.add_handler(_handler)
