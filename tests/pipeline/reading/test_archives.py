"""Web archives: pages out, other records counted, damage reported and passed by."""

import base64
import gzip
import hashlib
import json
import random
import tarfile
from collections import Counter
from pathlib import Path

import brotli
import pytest

from pipeline.reading.archive_reader import read_archive
from pipeline.reading.archives import archive_records
from pipeline.reading.gzip_members import gzip_members
from pipeline.reading.records import ReaderInput, Record, UnreadableRecord

PROSE = "磨坊主人每天清晨打开水闸，让河水推动木轮。The miller opens the sluice at dawn. "
PAGE = f"<html><head><title>磨坊</title></head><body><p>{PROSE * 3}</p></body></html>"


def http(body: bytes, status: int = 200, kind: str = "text/html; charset=utf-8", *more: str):
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def warc(kind: str, block: bytes, *more: str, length: int | None = None) -> bytes:
    head = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        "WARC-Target-URI: https://mill.example/a",
        "WARC-Date: 2024-05-01T00:00:00Z",
        *more,
        f"Content-Length: {len(block) if length is None else length}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def page(number: int, *more: str) -> bytes:
    body = PAGE.replace("磨坊</title>", f"磨坊 {number}</title>").encode()
    return warc("response", http(body), *more)


def read(path: Path, record_bytes_max: int = 1 << 20, expansion_max: float = 200.0):
    source = ReaderInput(path, "text", record_bytes_max, expansion_max)
    entries = list(read_archive(source))
    records = [entry for entry in entries if isinstance(entry, Record)]
    broken = [entry for entry in entries if isinstance(entry, UnreadableRecord)]
    assert len({entry.position for entry in entries}) == len(entries)
    return records, broken, dict(source.passed_by)


def titles(records: list[Record]) -> list[str]:
    return [record.fields["title"] for record in records]


def packed(records: list[bytes], how: str) -> bytes:
    if how == "members":
        return b"".join(map(gzip.compress, records))
    whole = b"".join(records)
    return gzip.compress(whole) if how == "whole" else whole


@pytest.mark.parametrize("how", ["plain", "members", "whole"])
def test_pages_are_read_and_the_rest_is_counted(tmp_path, how):
    records = [
        warc("warcinfo", b"software: test\r\n"),
        warc("request", b"GET / HTTP/1.1\r\n\r\n"),
        page(1),
        warc("response", http(b"gone", 404)),
        warc("response", http(b"\x89PNG", 200, "image/png")),
        warc("metadata", b"a: b"),
        page(2),
    ]
    path = tmp_path / "a.warc"
    path.write_bytes(packed(records, how))
    found, broken, passed_by = read(path)
    assert not broken
    assert titles(found) == ["磨坊 1", "磨坊 2"]
    fields = found[0].fields
    assert PROSE.strip() in " ".join(fields["text"].split())
    assert fields["url"] == "https://mill.example/a"
    assert (fields["date"], fields["http_status"]) == ("2024-05-01T00:00:00Z", 200)
    assert passed_by == {
        "warcinfo": 1,
        "request": 1,
        "metadata": 1,
        "response: status 404": 1,
        "response: image, not a page": 1,
    }


def test_text_conversions_are_documents(tmp_path):
    record = warc("conversion", PROSE.encode(), "Content-Type: text/plain")
    path = tmp_path / "a.warc.wet.gz"
    path.write_bytes(gzip.compress(record))
    (found,), broken, _ = read(path)
    assert (found.fields["text"], found.fields["http_status"], broken) == (PROSE, None, [])


@pytest.mark.parametrize("version", [1, 2])
def test_arc_files_are_read(tmp_path, version):
    block = http(PAGE.encode())
    info = (
        f"{version} 0 Someone\nURL IP-address Archive-date Content-type Archive-length\n".encode()
    )
    between = "200 - - 0 a.arc " if version == 2 else ""
    head = f"filedesc://a.arc 0.0.0.0 20240501000000 text/plain {between}{len(info)}\n".encode()
    url = f"http://mill.example/a b 10.0.0.1 20240501000000 text/html {between}{len(block)}\n"
    path = tmp_path / "a.arc.gz"
    path.write_bytes(gzip.compress(head + info + b"\n") + gzip.compress(url.encode() + block))
    (found,), broken, passed_by = read(path)
    assert (found.fields["url"], found.fields["date"]) == (
        "http://mill.example/a b",
        "20240501000000",
    )
    assert (broken, passed_by) == ([], {"warcinfo": 1})


def test_the_charset_of_the_header_wins_over_the_page(tmp_path):
    body = PAGE.replace("<head>", '<head><meta charset="iso-8859-1">').encode("gb18030")
    path = tmp_path / "a.warc"
    path.write_bytes(warc("response", http(body, 200, "text/html; charset=GBK")))
    (found,), _, _ = read(path)
    assert found.fields["title"] == "磨坊"


def chunked(body: bytes) -> bytes:
    pieces = [body[i : i + 100] for i in range(0, len(body), 100)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


CODINGS = {
    "chunked": (["Transfer-Encoding: chunked"], chunked(PAGE.encode())),
    "gzip": (["Content-Encoding: gzip"], gzip.compress(PAGE.encode())),
    "both": (
        ["Transfer-Encoding: chunked", "Content-Encoding: gzip"],
        chunked(gzip.compress(PAGE.encode())),
    ),
    "brotli": (["Content-Encoding: br"], brotli.compress(PAGE.encode())),
    "named but not done": (
        ["Transfer-Encoding: chunked", "Content-Encoding: br"],
        PAGE.encode(),
    ),
}


@pytest.mark.parametrize("coding", CODINGS)
def test_encoded_bodies_are_decoded(tmp_path, coding):
    headers, body = CODINGS[coding]
    path = tmp_path / "a.warc"
    path.write_bytes(warc("response", http(body, 200, "text/html; charset=utf-8", *headers)))
    (found,), broken, _ = read(path)
    assert (found.fields["title"], broken) == ("磨坊", [])


@pytest.mark.parametrize("pack", [gzip.compress, brotli.compress], ids=["gzip", "brotli"])
def test_a_body_that_unpacks_beyond_the_limit_is_refused(tmp_path, pack):
    coding = "gzip" if pack is gzip.compress else "br"
    bomb = http(pack(b"<p>a" * (4 << 20)), 200, "text/html", f"Content-Encoding: {coding}")
    path = tmp_path / "a.warc"
    path.write_bytes(warc("response", bomb) + page(1))
    found, (broken,), _ = read(path)
    assert (broken.reason, titles(found)) == ("record_too_large", ["磨坊 1"])


def test_a_truncated_member_costs_only_itself(tmp_path):
    whole = gzip.compress(page(1))
    path = tmp_path / "a.warc.gz"
    path.write_bytes(gzip.compress(page(0)) + whole[: len(whole) // 2] + gzip.compress(page(2)))
    found, broken, _ = read(path)
    assert titles(found) == ["磨坊 0", "磨坊 2"]
    assert {entry.reason for entry in broken} == {"damaged_gzip"}


def test_a_torn_member_costs_no_other_wherever_it_is_torn(tmp_path):
    """Damage may show only far inside the next member, in another piece that was read."""
    draw = random.Random(1)
    records = [
        wet(f"{n} " + " ".join(f"w{draw.randrange(9999)}" for _ in range(3000 + 700 * n)))
        for n in range(12)
    ]
    members = [gzip.compress(record, mtime=0) for record in records]
    path = tmp_path / "a.warc.wet.gz"
    for _ in range(40):
        torn = draw.randrange(1, 10)
        cut = members[torn][: draw.randrange(20, len(members[torn]))]
        path.write_bytes(b"".join([*members[:torn], cut, *members[torn + 1 :]]))
        found, broken, _ = read(path)
        sound = {int(entry.fields["text"].split()[0]) for entry in found} - {torn}
        assert sound == {*range(12)} - {torn}
        assert "damaged_gzip" in {entry.reason for entry in broken}


def wet(text):
    block = text.encode()
    head = (
        "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://a.example/\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def test_a_member_with_a_wrong_checksum_is_reported(tmp_path):
    bad = bytearray(gzip.compress(page(1)))
    bad[-6] ^= 1
    path = tmp_path / "a.warc.gz"
    path.write_bytes(gzip.compress(page(0)) + bytes(bad) + gzip.compress(page(2)))
    found, broken, _ = read(path)
    assert (titles(found)[0], titles(found)[-1]) == ("磨坊 0", "磨坊 2")
    assert "damaged_gzip" in {entry.reason for entry in broken}


def test_a_file_that_ends_inside_a_record_keeps_what_was_before(tmp_path):
    path = tmp_path / "a.warc"
    path.write_bytes((page(1) + page(2))[:-300])
    found, broken, _ = read(path)
    assert titles(found) == ["磨坊 1"]
    assert "record_cut_short" in {entry.reason for entry in broken}


@pytest.mark.parametrize("how", ["plain", "members"])
@pytest.mark.parametrize("wrong", [-50, 40, 1 << 30])
def test_a_wrong_length_does_not_swallow_the_next_record(tmp_path, how, wrong):
    block = http(PAGE.encode())
    bad = warc("response", block, length=len(block) + wrong)
    path = tmp_path / "a.warc"
    path.write_bytes(packed([page(0), bad, page(2), page(3)], how))
    found, broken, _ = read(path)
    assert [t for t in titles(found) if t != "磨坊"] == ["磨坊 0", "磨坊 2", "磨坊 3"]
    assert broken


@pytest.mark.parametrize("length", ["-1", "abc", "", "9" * 40])
def test_a_length_that_is_no_number_is_reported(tmp_path, length):
    path = tmp_path / "a.warc"
    bad = page(1).replace(b"Content-Length: ", f"Content-Length: {length}\r\nX: ".encode())
    path.write_bytes(bad + page(2))
    found, broken, _ = read(path)
    assert titles(found) == ["磨坊 2"]
    assert {entry.reason for entry in broken} == {"bad_archive_record"}


def test_a_record_above_the_limit_is_read_past(tmp_path):
    big = warc("response", http(b"<p>" + b"long words " * 400_000))
    path = tmp_path / "a.warc"
    path.write_bytes(page(0) + big + page(1))
    found, (broken,), _ = read(path, record_bytes_max=1 << 20)
    assert (titles(found), broken.reason) == (["磨坊 0", "磨坊 1"], "record_too_large")


def digest(block: bytes, form) -> str:
    return "WARC-Block-Digest: sha1:" + form(hashlib.sha1(block).digest()).decode()


@pytest.mark.parametrize(
    "form",
    [base64.b32encode, base64.b64encode, lambda d: d.hex().encode()],
    ids=["32", "64", "hex"],
)
def test_a_block_that_is_not_what_was_stored_is_set_aside(tmp_path, form):
    block = http(PAGE.encode())
    changed = block.replace(b"dawn", b"dusk", 1)
    path = tmp_path / "a.warc"
    stated = digest(block, form)
    path.write_bytes(warc("response", block, stated) + warc("response", changed, stated))
    found, (broken,), _ = read(path)
    assert (len(found), broken.reason) == (1, "bad_digest")


def test_a_member_that_expands_without_end_is_stopped(tmp_path):
    path = tmp_path / "a.warc.gz"
    bomb = gzip.compress(warc("resource", b"\0" * (80 << 20)))
    path.write_bytes(gzip.compress(page(0)) + bomb)
    found, broken, _ = read(path, expansion_max=10.0)
    assert titles(found) == ["磨坊 0"]
    assert "expands_too_much" in {entry.reason for entry in broken}


def test_any_cut_and_any_flipped_byte_ends_well(tmp_path):
    whole = packed([page(0), page(1), page(2)], "members")
    path = tmp_path / "a.warc.gz"
    for at in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[at] ^= 0x55
        for data in (whole[:at], bytes(flipped)):
            path.write_bytes(data)
            found, broken, _ = read(path)
            assert len(found) + len(broken) >= min(at, 1)
            assert len(found) == 3 or broken or data == whole[:at]


# warcio stops at the first damage, or counts records whose header is broken.
READ_FURTHER = {
    "warcio/bad.arc": {"response": 1},
    "warcio/example-bad-non-chunked.warc.gz": {
        "warcinfo": 2, "response": 1, "request": 2, "revisit": 1,
    },
    "warcio/example-wrong-chunks.warc.gz": {"response": 1, "request": 1},
}  # fmt: skip


def test_record_counts_are_those_of_warcio(shared_data, tmp_path):
    with tarfile.open(shared_data / "warc.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    for line in (shared_data / "warc.truth.jsonl").read_text().splitlines():
        truth = json.loads(line)
        path = tmp_path / truth["file"]
        with path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
        pieces = gzip_members(path.open("rb"), 1 << 30, 200) if gzipped else [path.read_bytes()]
        entries = list(archive_records(pieces, 16 << 20))
        kinds = Counter(e.kind for e in entries if not isinstance(e, UnreadableRecord))
        assert kinds == READ_FURTHER.get(truth["file"], truth["records"]), truth["file"]
        found, broken, passed_by = read(path, 16 << 20)
        assert len(found) + len(broken) + sum(passed_by.values()) == len(entries), truth["file"]
        errors = sum(n for name, n in passed_by.items() if name.startswith("response: status"))
        assert len(found) <= truth["html_responses"] <= len(found) + errors + len(broken) or (
            truth["file"] in READ_FURTHER
        ), truth["file"]
