"""Who is answered by a server that belongs to one person."""

import asyncio
import stat
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flows.orchestration.access import OwnerOnly, basic, new_login, shell_lines, write_private
from flows.server import PrefectServer, running_server
from flows.settings import read_settings
from pipeline.store import storage

LOGIN = "textmill:k"


async def inside(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"})


def ask(
    path: str = "/",
    kind: str = "http",
    login: str | None = LOGIN,
    names: tuple[str, ...] = (),
    **headers: str,
) -> dict:
    """Return the first message that the guarded app sends."""
    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    given = {"host": "127.0.0.1:4200", **headers}
    scope = {
        "type": kind,
        "path": path,
        "headers": [(name.encode(), text.encode()) for name, text in given.items()],
    }
    asyncio.run(OwnerOnly(inside, login, "/health", names)(scope, None, send))
    return sent[0]


def test_the_owner_is_answered_and_others_are_asked_for_the_login():
    assert ask(authorization=basic(LOGIN))["status"] == 200
    assert ask()["status"] == 401
    assert dict(ask()["headers"])[b"www-authenticate"].startswith(b"Basic")
    for wrong in ("Basic !", "Bearer k", basic("textmill:"), basic("x:k"), "Basic", "Basic /w=="):
        assert ask(authorization=wrong)["status"] == 401


def test_the_health_check_needs_no_login_but_a_local_name():
    assert ask("/health")["status"] == 200
    assert ask("/health/x")["status"] == 401
    assert ask("/health", host="evil.example")["status"] == 400


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:7", "LOCALHOST"])
def test_names_of_this_machine_with_any_port_are_accepted(host):
    assert ask(authorization=basic(LOGIN), host=host)["status"] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", "", "0.0.0.0"]
)
def test_other_names_are_refused_even_with_the_login(host):
    assert ask(authorization=basic(LOGIN), host=host)["status"] == 400


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:4201", "http://localhost:4200", ""]
)
def test_pages_of_other_origins_are_refused_even_with_the_login(origin):
    assert ask(authorization=basic(LOGIN), origin=origin)["status"] == 403
    assert ask(kind="websocket", origin=origin)["type"] == "websocket.close"


def test_a_server_in_a_container_answers_to_the_name_that_it_is_given():
    given = {"host": "mlflow:5000", "authorization": basic(LOGIN)}
    assert ask(**given)["status"] == 400
    assert ask(names=("mlflow",), **given)["status"] == 200
    assert ask(names=("mlflow",), host="mlflow.evil.example")["status"] == 400
    assert ask(names=("mlflow",), origin="http://evil.example", **given)["status"] == 403


def test_pages_of_the_server_itself_are_answered():
    assert ask(authorization=basic(LOGIN), origin="http://127.0.0.1:4200")["status"] == 200
    assert ask(login=None, origin="http://127.0.0.1:4200")["status"] == 200


def test_a_websocket_without_login_is_closed():
    assert ask(kind="websocket") == {
        "type": "websocket.close",
        "code": 1008,
        "reason": "this server asks for the name and key that `textmill up` made",
    }


def test_each_login_is_another_and_long():
    logins = {new_login() for _ in range(100)}
    assert len(logins) == 100
    assert min(map(len, logins)) > 40


def test_a_private_file_is_its_owners_alone_from_the_first_instant(tmp_path):
    path = tmp_path / "up.env"
    for text in ("first", shell_lines({"KEY": "two words", "PLAIN": "x"})):
        write_private(path, text)
        assert path.read_text() == text
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "export KEY='two words'\nexport PLAIN=x\n"


def test_the_leftovers_of_a_killed_up_are_no_server(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    settings = read_settings(str(tmp_path))
    address = "http://127.0.0.1:9/api"
    storage.write_json(settings.services, {"prefect": address, "mlflow": "", "login": LOGIN})
    assert running_server(settings) is None


class _Busy(BaseHTTPRequestHandler):
    """A server that says that it is there, and to all else nothing before the test is over."""

    def do_GET(self):
        if self.path != "/api/health":
            self.server.over.wait(60)
            return
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_busy_server_does_not_refuse_the_login(tmp_path, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Busy) as server:
        server.over = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/api"
        monkeypatch.setenv("PREFECT_API_URL", address)
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", LOGIN)
        assert running_server(read_settings(str(tmp_path))) == PrefectServer(address, LOGIN)
        server.over.set()
        server.shutdown()
