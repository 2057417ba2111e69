"""Who may use a server: a real one with keys, TLS and CORS, and what it counts and logs."""

import json
import logging
import ssl
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi.testclient import TestClient

from flows import cli
from model.serve.access.keys import add_key, remove_key
from model.serve.access.records import RequestLogging, logger
from model.serve.app import create_app
from model.serve.options import ServeOptions
from model.serve.service import ModelSource
from pipeline.errors import ConfigError
from tests.model.serve.test_app import START_SECONDS, start

PAGE = "https://pages.example"
SECRET_WORDS = "a text that no log may hold 机密"


def write_certificate(folder):
    """Write a certificate of 127.0.0.1 and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "textmill test")])
    now = datetime.now(UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(here, False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


class Guarded:
    """A server that other machines may use, and the keys of its two users."""

    def __init__(self, folder):
        self.folder, self.keys, self.log = folder, folder / "keys.json", folder / "server.log"
        self.certificate, self.private = write_certificate(folder)
        self.ann = add_key(self.keys, "ann", None, None)
        self.ben = add_key(self.keys, "ben", 3, None)
        self.few = {stream: add_key(self.keys, f"few-{stream}", None, 9) for stream in (0, 1)}
        self.address = ""

    def client(self, secret=None, **headers):
        if secret:
            headers["authorization"] = f"Bearer {secret}"
        trusted = ssl.create_default_context(cafile=self.certificate)
        return httpx.Client(
            base_url=self.address, verify=trusted, headers=headers, timeout=60, trust_env=False
        )


@pytest.fixture(scope="module")
def guarded(tiny_model, tmp_path_factory):
    server = Guarded(tmp_path_factory.mktemp("guarded"))
    with server.log.open("wb") as log:
        process, server.address = start(
            f"tiny={tiny_model}", "--host", "0.0.0.0", "--keys", str(server.keys), "--tls-cert",
            str(server.certificate), "--tls-key", str(server.private), "--allow-origin", PAGE,
            stderr=log,
        )  # fmt: skip
        server.address = server.address.replace("0.0.0.0", "127.0.0.1")
        yield server
        process.terminate()
        process.wait(timeout=START_SECONDS)


BODY = {"model": "tiny", "prompt": SECRET_WORDS, "max_tokens": 3}


def test_a_server_for_others_speaks_tls_and_wants_a_key(guarded):
    assert guarded.address.startswith("https://")
    with guarded.client() as stranger:
        for path in ("/health", "/ready", "/"):
            assert stranger.get(path).status_code == 200
            assert "tiny" not in stranger.get(path).text
        refused = stranger.post("/v1/completions", json=BODY)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["error"]["code"] == "invalid_api_key"
        for path in ("/v1/models", "/metrics", "/openapi.json", "/nowhere"):
            assert stranger.get(path).status_code == 401
    with guarded.client("tm-wrong") as wrong:
        assert wrong.get("/v1/models").status_code == 401
    with guarded.client(guarded.ann) as ann:
        assert ann.post("/v1/completions", json=BODY).status_code == 200
        assert ann.get("/v1/models", headers={"host": "any.example"}).status_code == 200


def test_a_key_that_used_up_its_limit_is_told_when_to_come_back(guarded):
    with guarded.client(guarded.ben) as ben:
        replies = [ben.get("/v1/models") for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    assert replies[3].json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(replies[3].headers["retry-after"]) <= 20
    with guarded.client(guarded.ann) as ann:
        assert ann.get("/v1/models").status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_that_were_read_and_written_count_against_a_key(guarded, stream):
    with guarded.client(guarded.few[stream]) as few:
        replies = [few.post("/v1/completions", json={**BODY, "stream": stream}) for _ in range(2)]
    # the text alone has more tokens than a minute may
    assert [reply.status_code for reply in replies] == [200, 429]
    assert int(replies[1].headers["retry-after"]) > 20


def test_metrics_and_log_name_keys_and_models_but_hold_no_text(guarded):
    with guarded.client(guarded.ann, **{"x-request-id": "job-17"}) as ann:
        reply = ann.post("/v1/completions", json={**BODY, "seed": 1, "temperature": 0})
        assert reply.headers["x-request-id"] == "job-17"
        body = reply.json()
        ann.get("/nowhere/at/all")
        metrics = ann.get("/metrics").text
    series = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    asked = 'method="POST",model="tiny",path="/v1/completions",status="200"'
    assert float(series[f'textmill_requests_total{{key="ann",{asked}}}']) >= 1
    wrote = series['textmill_tokens_total{key="ann",kind="completion",model="tiny"}']
    assert float(wrote) >= body["usage"]["completion_tokens"]
    assert any('path="other"' in line for line in series)
    assert any(line.startswith("textmill_first_token_seconds_count") for line in series)
    assert 'textmill_texts{model="tiny",state="waiting"}' in series
    log = guarded.log.read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["id"] == "job-17" and "completions" in line["path"]]
    assert (line["key"], line["model"], line["status"]) == ("ann", "tiny", 200)
    assert line["completion_tokens"] == body["usage"]["completion_tokens"]
    for secret in (guarded.ann, guarded.ben, SECRET_WORDS, "机密", "nowhere/at"):
        assert secret not in log + metrics


def test_only_the_named_origin_may_ask_from_its_pages(guarded):
    asks = {"access-control-request-method": "POST", "access-control-request-headers":
            "authorization,content-type"}  # fmt: skip
    with guarded.client() as browser:
        allowed = browser.options("/v1/completions", headers={"origin": PAGE, **asks})
        assert allowed.headers["access-control-allow-origin"] == PAGE
        other = browser.options(
            "/v1/completions", headers={"origin": "https://evil.example", **asks}
        )
        assert "access-control-allow-origin" not in other.headers
        refused = browser.get("/v1/models", headers={"origin": PAGE})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == PAGE  # so the page sees why


def test_a_key_that_is_taken_out_is_refused_without_a_restart(guarded):
    eve = add_key(guarded.keys, "eve", None, None)
    with guarded.client(eve) as client:
        wait_for(lambda: client.get("/v1/models").status_code == 200)
        remove_key(guarded.keys, "eve")
        wait_for(lambda: client.get("/v1/models").status_code == 401)


def wait_for(is_so, tries=100):
    for _ in range(tries):
        if is_so():
            return
        time.sleep(0.1)
    pytest.fail("it never came true")


def test_texts_are_logged_only_where_that_is_asked_for(tiny_model):
    for level in (RequestLogging.REQUESTS, RequestLogging.TEXTS):
        with kept_lines() as lines:
            app = create_app([ModelSource("tiny", tiny_model)], ServeOptions(log=level))
            with TestClient(app, base_url="http://localhost") as client:
                for stream in (False, True):
                    reply = client.post("/v1/completions", json={**BODY, "stream": stream})
                    assert reply.status_code == 200
        assert len(lines) == 2
        for line in map(json.loads, lines):
            assert ("asked" in line) is ("answered" in line) is (level is RequestLogging.TEXTS)
            assert (SECRET_WORDS in line.get("asked", "")) is (level is RequestLogging.TEXTS)


@contextmanager
def kept_lines():
    class Keeper(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    lines, handler = [], Keeper()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_what_would_open_the_server_by_mistake_is_refused(tiny_model, tmp_path, capsys):
    with pytest.raises(ConfigError, match="--keys FILE"):
        ServeOptions(host="0.0.0.0")
    with pytest.raises(ConfigError, match="--tls-key is missing"):
        ServeOptions(tls_cert=tmp_path / "cert.pem")
    with pytest.raises(ConfigError, match="without a path"):
        ServeOptions(origins=("https://a.example/x",))
    broken = ServeOptions(tls_cert=tmp_path / "no.pem", tls_key=tmp_path / "no.pem")
    with pytest.raises(ConfigError, match=r"no\.pem"):
        broken.check_certificate()
    keys = str(tmp_path / "none.json")
    assert cli.main(["serve", str(tiny_model), "--host", "0.0.0.0", "--keys", keys]) == 2
    assert "textmill key NAME" in capsys.readouterr().err


def test_the_command_makes_a_key_that_is_shown_once(tmp_path, capsys):
    keys = tmp_path / "keys.json"
    assert cli.main(["key", "ann", "--keys", str(keys), "--tokens-per-minute", "9"]) == 0
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("tm-")
    assert secret not in keys.read_text()
    assert cli.main(["key", "ann", "--keys", str(keys)]) == 2
    assert cli.main(["key", "ann", "--keys", str(keys), "--remove"]) == 0
