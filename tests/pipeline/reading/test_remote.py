"""Sources behind http, from a real server that cuts connections, lies and replaces files."""

import base64
import contextlib
import gzip
import http.server
import json
import re
import threading
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.engine.local import LocalEngine
from pipeline.errors import SourceError
from pipeline.ingest import STAGE, IngestConfig
from pipeline.reading import remote, web
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage

TEXT = "磨坊主人每天清晨打开水闸，让河水推动木轮。The miller opens the sluice at dawn, number "


class Site:
    """Files by path; `cut` ends every answer after so many bytes, `answers` counts requests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.version: dict[str, str] = Counter()
        self.cut: int | None = None
        self.ranges = True
        self.fail: list[int] = []  # status codes of the next answers
        self.head = True
        self.redirect: dict[str, str] = {}
        self.answers: Counter[str] = Counter()
        self.logins: list[str | None] = []
        self.url = ""


def handler(site: Site):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def log_message(self, *args) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            site.answers[self.command] += 1
            site.logins.append(self.headers.get("Authorization"))
            if self.path in site.redirect:
                self.send_response(302)
                self.send_header("Location", site.redirect[self.path])
                self.end_headers()
                return
            body = site.files.get(self.path.partition("?")[0])
            if site.fail or body is None or (self.command == "HEAD" and not site.head):
                code = site.fail.pop(0) if site.fail else 404 if body is None else 405
                self.send_error(code)
                return
            begin = 0
            asked = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
            if asked and site.ranges:
                begin = int(asked[1])
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body) - begin))
            self.send_header("ETag", f'"{site.version[self.path]}"')
            self.end_headers()
            if with_body:
                self.wfile.write(body[begin:][: site.cut])

    return Handler


@contextlib.contextmanager
def served():
    made = Site()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(remote, "FIRST_WAIT_SECONDS", 0.001)
    with served() as made:
        yield made


@pytest.fixture
def other():
    with served() as made:
        yield made


def wet(numbers: range) -> bytes:
    """Return a packed WET file, a gzip member per record."""
    members = []
    for number in numbers:
        block = f"{TEXT}{number}\n".encode()
        head = (
            f"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://a.example/{number}\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(block)}\r\n\r\n"
        )
        members.append(gzip.compress(head.encode() + block + b"\r\n\r\n", mtime=0))
    return b"".join(members)


def ingested(destination: Path, *sources: Source):
    found = SourceSet.open(sources, destination.parent)
    return run_stage(STAGE, IngestConfig(), [found], destination, engine=LocalEngine(1)).artifact


def texts(artifact) -> list[str]:
    return artifact.scan().collect()["text"].to_list()


def test_a_list_of_archives_is_read_like_the_files_themselves(site, tmp_path):
    for part in range(3):
        site.files[f"/crawl/{part:05}.warc.wet.gz"] = wet(range(part * 40, part * 40 + 40))
    names = "".join(f"crawl/{part:05}.warc.wet.gz\n" for part in range(3))
    site.files["/crawl/wet.paths.gz"] = gzip.compress(names.encode())
    read = ingested(tmp_path / "a", Source(f"{site.url}/crawl/wet.paths.gz", name="crawl", first=2))
    for name in ("00000", "00001"):
        local = tmp_path / "crawl" / "crawl" / f"{name}.warc.wet.gz"
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(site.files[f"/crawl/{name}.warc.wet.gz"])
    same = ingested(tmp_path / "b", Source("crawl", name="crawl"))
    assert texts(read) == texts(same)
    assert len(texts(read)) == 80
    paths = read.scan().collect()["path"].unique().sort().to_list()
    assert paths == ["crawl/00000.warc.wet.gz", "crawl/00001.warc.wet.gz"]


def test_a_connection_that_ends_early_goes_on_where_it_ended(site, tmp_path):
    site.files["/a.warc.wet.gz"] = wet(range(300))
    whole = texts(ingested(tmp_path / "whole", Source(f"{site.url}/a.warc.wet.gz")))
    size = len(site.files["/a.warc.wet.gz"])
    site.cut = size // 3
    before = site.answers["GET"]
    assert texts(ingested(tmp_path / "cut", Source(f"{site.url}/a.warc.wet.gz"))) == whole
    assert len(whole) == 300
    assert site.answers["GET"] - before >= 3


def test_a_server_without_ranges_is_read_past_what_is_known(site):
    site.files["/a.txt"] = bytes(range(256)) * 40
    file = remote.look_up(f"{site.url}/a.txt")
    site.ranges = False
    with file.open() as opened:
        opened.seek(5000)
        assert opened.read() == site.files["/a.txt"][5000:]


def test_tables_and_lines_are_read_from_afar(site, tmp_path):
    table = pa.table({"text": [f"{TEXT}{n}" for n in range(50)]})
    pq.write_table(table, tmp_path / "t.parquet")
    site.files["/t.parquet"] = (tmp_path / "t.parquet").read_bytes()
    lines = [json.dumps({"text": f"{TEXT}{n}"}) for n in range(50, 90)]
    site.files["/l.jsonl.gz"] = gzip.compress("\n".join(lines).encode())
    sources = [Source(f"{site.url}/t.parquet"), Source(f"{site.url}/l.jsonl.gz")]
    read = ingested(tmp_path / "out", *sources)
    assert sorted(texts(read)) == sorted(f"{TEXT}{n}" for n in range(90))


def test_a_busy_server_is_asked_again(site):
    site.files["/a.txt"] = TEXT.encode()
    site.fail = [503, 429]
    file = remote.look_up(f"{site.url}/a.txt")
    site.fail = [500]
    assert file.open().read() == TEXT.encode()


def test_a_server_that_refuses_head_is_asked_with_get(site):
    site.files["/a.txt"] = TEXT.encode()
    site.head = False
    assert remote.look_up(f"{site.url}/a.txt").size == len(TEXT.encode())


def test_the_identity_is_address_size_and_version(site, tmp_path):
    site.files["/a.txt"] = TEXT.encode()
    source = Source(f"{site.url}/a.txt")
    before = SourceSet.open([source], tmp_path)
    assert SourceSet.open([source], tmp_path) == before
    site.version["/a.txt"] = "2"
    assert SourceSet.open([source], tmp_path).fingerprint != before.fingerprint


def test_a_file_replaced_after_listing_stops_the_run(site, tmp_path):
    site.files["/a.txt"] = TEXT.encode()
    listed = SourceSet.open([Source(f"{site.url}/a.txt")], tmp_path)
    site.version["/a.txt"] = "2"
    with pytest.raises(SourceError, match="changed while it was read"):
        run_stage(STAGE, IngestConfig(), [listed], tmp_path / "out", engine=LocalEngine(1))


def test_an_unreachable_file_stops_the_run_and_says_where(site, tmp_path):
    site.files["/a.warc.wet.gz"] = wet(range(300))
    listed = SourceSet.open([Source(f"{site.url}/a.warc.wet.gz")], tmp_path)
    site.cut = 0
    with pytest.raises(SourceError, match=r"stopped at byte 0 of \d+: .*run the same command"):
        run_stage(STAGE, IngestConfig(), [listed], tmp_path / "out", engine=LocalEngine(1))


def test_what_cannot_be_a_source_is_refused(site, tmp_path):
    site.files["/a.paths"] = b"http://elsewhere.example/x.warc.gz\n"
    site.files["/b.paths"] = b"\n"
    site.files["/c.xyz"] = b"x"
    site.redirect["/d.txt"] = "file:///etc/hostname"
    for path, said in (
        ("/a.paths", "line 1 leads to 'http://elsewhere.example"),
        ("/b.paths", "names no file"),
        ("/c.xyz", "unknown_type|can be read"),
        ("/d.txt", "'file:///etc/hostname' is not allowed"),
        ("/gone.txt", "answers 404 Not Found; check the address"),
    ):
        with pytest.raises(SourceError, match=said):
            SourceSet.open([Source(f"{site.url}{path}")], tmp_path)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0",
        "[::ffff:127.0.0.1]", "user@127.0.0.1",
    ],
)  # fmt: skip
def test_a_redirect_to_another_server_of_this_network_is_refused(site, other, tmp_path, host):
    port = other.url.rpartition(":")[2]
    other.files["/secret.txt"] = b"nobody asked for this"
    site.redirect["/a.txt"] = f"http://{host}:{port}/secret.txt"
    site.files["/all.paths"] = b"a.txt\n"

    for path in ("/a.txt", "/all.paths"):
        with pytest.raises(SourceError, match=r"/a\.txt: redirected, and 'http.*is not allowed"):
            SourceSet.open([Source(f"{site.url}{path}")], tmp_path)
    assert not other.answers


@pytest.mark.parametrize(
    "to",
    ["http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://[fe80::1]/",
     "ftp://example.com/a.txt", "data:text/plain,x", "file:/etc/hostname"],
)  # fmt: skip
def test_a_redirect_to_what_nobody_named_is_refused(site, tmp_path, to):
    site.redirect["/a.txt"] = to
    with pytest.raises(SourceError, match="is not allowed"):
        SourceSet.open([Source(f"{site.url}/a.txt")], tmp_path)


def test_a_list_or_a_file_that_redirects_later_is_refused_too(site, other, tmp_path):
    site.files["/a.txt"] = b"a line of text\n"
    listed = SourceSet.open([Source(f"{site.url}/a.txt")], tmp_path)
    site.redirect["/a.txt"] = f"{other.url}/a.txt"
    with pytest.raises(SourceError, match="is not allowed"):
        run_stage(STAGE, IngestConfig(), [listed], tmp_path / "out", engine=LocalEngine(1))
    site.redirect["/b.paths"] = f"{other.url}/b.paths"
    with pytest.raises(SourceError, match="is not allowed"):
        SourceSet.open([Source(f"{site.url}/b.paths")], tmp_path)
    assert not other.answers


def test_the_other_end_of_a_connection_decides_whatever_its_name_said(site, other, tmp_path):
    """A name that is public when it is looked up and private when it is connected to."""
    made = web.request(f"{other.url}/a.txt")
    made.elsewhere = True
    with pytest.raises(SourceError, match="on a machine of this network"):
        web.open_url(made, 5)
    assert not other.answers


def test_a_redirect_within_the_server_that_was_named_is_followed(site, tmp_path):
    site.files["/b.txt"] = b"a line of text\n"
    site.redirect["/a.txt"] = "/b.txt"
    assert texts(ingested(tmp_path / "out", Source(f"{site.url}/a.txt"))) == ["a line of text\n"]


def test_a_login_is_sent_to_its_server_and_shown_nowhere(site, tmp_path, caplog):
    site.files["/a.txt"] = b"a line of text\n"
    secret = site.url.replace("//", "//jane:s3cr3t@") + "/a.txt?token=t0ps3cr3t"
    made = ingested(tmp_path / "out", Source(secret))

    assert texts(made) == ["a line of text\n"]
    assert {*site.logins} == {"Basic " + base64.b64encode(b"jane:s3cr3t").decode()}
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            assert b"s3cr3t" not in file.read_bytes(), file
    site.fail = [503] * 40
    with pytest.raises(SourceError, match="503") as refused:
        SourceSet.open([Source(secret)], tmp_path)
    site.fail = []
    for wrong in (secret.replace("/a.txt", "/gone.txt"), secret.replace("/a.txt", "/a b.txt")):
        with pytest.raises(SourceError) as again:
            SourceSet.open([Source(wrong)], tmp_path)
        assert "s3cr3t" not in f"{again.value}"
    assert (
        "s3cr3t" not in f"{refused.value}{caplog.text}{SourceSet.open([Source(secret)], tmp_path)}"
    )


def test_the_same_file_behind_a_new_signature_is_the_same_source(site, tmp_path):
    site.files["/a.txt"] = b"a line of text\n"
    one, two = (
        SourceSet.open([Source(f"{site.url}/a.txt?sig={sig}&part=1")], tmp_path).fingerprint
        for sig in ("abc", "def")
    )
    assert one == two
    assert SourceSet.open([Source(f"{site.url}/a.txt?part=2")], tmp_path).fingerprint != one


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/a.txt", "http://no-such-host.invalid/a.txt"]
)
def test_where_nobody_answers_two_tries_are_enough_and_are_told(
    monkeypatch, tmp_path, caplog, address
):
    waits = []
    monkeypatch.setattr(remote.time, "sleep", waits.append)
    with pytest.raises(SourceError, match=r"2 times|check the network"):
        SourceSet.open([Source(address)], tmp_path)
    assert sum(waits) <= 16
    assert address.startswith("http://no") or waits == [0.5]
    assert "try 2 of 6" in caplog.text


def test_every_try_is_told_and_the_last_waits_for_nothing(site, tmp_path, caplog):
    site.files["/a.txt"] = b"x"
    site.fail = [503] * 40
    with pytest.raises(SourceError, match=r"503 .*6 times"):
        SourceSet.open([Source(f"{site.url}/a.txt")], tmp_path)
    assert [f"try {n} of 6" in caplog.text for n in range(2, 8)] == [True] * 5 + [False]
