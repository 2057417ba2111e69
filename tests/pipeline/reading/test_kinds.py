"""Files that hold text in other ways: read, or quarantined with what is wrong with them."""

import bz2
import gzip
import lzma
import zipfile

import pytest

from pipeline.reading.file_records import entries_of
from pipeline.reading.pdf_reader import CONTENT_BYTES_MAX
from pipeline.reading.records import ReaderInput, Record, UnreadableRecord
from pipeline.sources.source_set import Source, SourceSet
from tests.pipeline import kinds
from tests.pipeline.kinds import CHINESE, PROSE, docx, mail, pdf, tarred, zipped


def read(tmp_path, name: str, content: bytes) -> list:
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    (file,) = SourceSet.open([Source(str(folder))], folder).files
    return list(entries_of(file, ReaderInput(file.path, "text", 16 << 20, 200.0)))


def texts(entries: list) -> list[str]:
    return [entry.fields["text"] for entry in entries if isinstance(entry, Record)]


def reasons(entries: list) -> list[str]:
    return [entry.reason for entry in entries if isinstance(entry, UnreadableRecord)]


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress], ids=["bz2", "xz"])
def test_bzip2_and_xz_are_unpacked_stream_after_stream(tmp_path, pack):
    suffix = "bz2" if pack is bz2.compress else "xz"
    data = pack(PROSE.encode()) + pack(b"\n" + CHINESE.encode())
    assert texts(read(tmp_path, f"a.txt.{suffix}", data)) == [f"{PROSE}\n{CHINESE}"]
    cut = read(tmp_path, f"a.txt.{suffix}", data[:-9])
    assert reasons(cut) == ["damaged_packing"]


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress], ids=["bz2", "xz"])
def test_a_bomb_in_bzip2_or_xz_is_stopped(tmp_path, pack):
    suffix = "bz2" if pack is bz2.compress else "xz"
    bomb = pack(b'{"text": "' + b"a" * 1000 + b'"}\n' + b" " * (80 << 20))
    assert reasons(read(tmp_path, f"a.jsonl.{suffix}", bomb)) == ["expands_too_much"]


def test_rows_of_an_archive_say_which_file_they_are_from(tmp_path):
    inside = zipped({"deep.txt": CHINESE})
    members = {"a/one.txt": PROSE, "b.zip": inside, "photo.jpg": b"\xff\xd8", ".hidden.txt": "x"}
    found = read(tmp_path, "a.zip", zipped(members))
    assert [(e.inner, e.fields["text"]) for e in found if isinstance(e, Record)] == [
        ("a/one.txt", PROSE),
        ("b.zip!deep.txt", CHINESE),
    ]
    assert [(e.inner, e.reason) for e in found if isinstance(e, UnreadableRecord)] == [
        ("photo.jpg", "unknown_type")
    ]


OUTSIDE = ["../../out.txt", "/etc/out.txt", "..\\out.txt", "a" * 300 + ".txt"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_no_path_of_an_archive_leaves_its_folder(tmp_path, name, pack):
    found = read(tmp_path, f"a.{'zip' if pack is zipped else 'tar'}", pack({name: PROSE.encode()}))
    assert texts(found) == [PROSE]
    assert sorted(p.name for p in tmp_path.rglob("*")) == sorted(
        ["in", "a.zip" if pack is zipped else "a.tar"]
    )


def test_a_bomb_in_an_archive_is_stopped(tmp_path):
    bomb = zipped({f"{n}.txt": b" " * (30 << 20) for n in range(4)})
    assert "expands_too_much" in reasons(read(tmp_path, "a.zip", bomb))


def test_archives_in_archives_end_somewhere(tmp_path):
    content = zipped({"a.txt": PROSE})
    for _ in range(6):
        content = zipped({"inner.zip": content})
    assert reasons(read(tmp_path, "a.zip", content)) == ["nested_too_deep"]


def test_a_packed_tar_and_members_in_old_encodings(tmp_path):
    data = gzip.compress(tarred({"a.txt": CHINESE.encode("gb18030"), "b.txt": PROSE.encode()}))
    found = read(tmp_path, "a.tar.gz", data)
    assert texts(found) == [CHINESE, PROSE]
    assert found[0].notes["encoding"] == "gb18030"


def test_a_damaged_member_costs_itself_alone(tmp_path):
    data = bytearray(zipped({"a.txt": PROSE * 20, "b.txt": CHINESE}))
    data[60] ^= 0xFF
    found = read(tmp_path, "a.zip", bytes(data))
    assert CHINESE in texts(found)
    assert reasons(found)[0] in ("damaged_member", "undecodable")


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><x>&b;</x>'
)


@pytest.mark.parametrize("suffix", [".xml", ".docx"])
def test_entities_of_a_file_of_its_own_are_not_expanded(tmp_path, suffix):
    data = BOMB.encode() if suffix == ".xml" else zipped({"word/document.xml": BOMB})
    assert reasons(read(tmp_path, f"a{suffix}", data)) == ["xml_entities"]


def test_a_feed_of_pages_and_a_file_of_plain_elements(tmp_path):
    item = f"<title>One</title><description>&lt;p&gt;{PROSE}&lt;/p&gt;</description>"
    feed = f"<rss><channel><item>{item}</item><item><title>Two</title></item></channel></rss>"
    found = read(tmp_path, "a.xml", feed.encode())
    assert (texts(found), reasons(found)) == ([PROSE], ["no_text"])
    plain = f"<play><act>{PROSE}</act><act>{CHINESE}</act></play>"
    assert texts(read(tmp_path, "a.xml", plain.encode())) == [f"{PROSE}\n{CHINESE}"]


def test_deep_xml_is_set_aside(tmp_path):
    assert reasons(read(tmp_path, "a.xml", b"<a>" * 5000)) == ["nested_too_deep"]


BROKEN = {
    ".docx": (b"PK\x03\x04 no zip", "damaged_zip"),
    ".odt": (zipped({"other.xml": "<a/>"}), "damaged_document"),
    ".epub": (zipped({"META-INF/container.xml": "<a/>"}), "damaged_document"),
    ".pdf": (b"%PDF-1.4 nothing after it", "damaged_pdf"),
    ".ipynb": (b'{"cells": 3}', "bad_notebook"),
    ".xml": (b"<a><b></a>", "damaged_xml"),
    ".zip": (b"no zip at all", "damaged_zip"),
    ".tar": (b"no tar at all" * 100, "damaged_tar"),
}


@pytest.mark.parametrize("suffix", BROKEN)
def test_what_is_broken_is_named(tmp_path, suffix):
    content, reason = BROKEN[suffix]
    assert reasons(read(tmp_path, f"a{suffix}", content)) == [reason]


def test_a_scanned_page_has_no_text(tmp_path):
    assert reasons(read(tmp_path, "a.pdf", pdf(""))) == ["no_text_layer"]


@pytest.mark.parametrize(("pages", "reason"), [(2, "no_text_layer"), (3, "pdf_too_costly")])
def test_a_pdf_is_bounded_by_its_content_on_every_machine(tmp_path, pages, reason):
    packed = pdf("", pages, padding=CONTENT_BYTES_MAX // 2 - 100)
    assert reasons(read(tmp_path, "a.pdf", packed)) == [reason]


def test_a_pdf_has_at_most_so_many_characters(tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf("The wheel turns all day.", 9))
    entries = entries_of(SourceSet.open([Source(str(path))], tmp_path).files[0],
                         ReaderInput(path, "text", 100, 200.0))  # fmt: skip
    assert reasons(list(entries)) == ["pdf_too_costly"]


def test_a_locked_member_is_named(tmp_path):
    data = bytearray(zipped({"a.txt": PROSE}))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", PROSE)
    for sign in (b"PK\x03\x04", b"PK\x01\x02"):  # says that it is encrypted
        data[data.index(sign) + (6 if sign == b"PK\x03\x04" else 8)] |= 1
    assert reasons(read(tmp_path, "a.zip", bytes(data))) == ["locked_member"]


def test_mail_in_old_encodings_and_pages(tmp_path):
    assert texts(read(tmp_path, "a.eml", mail(CHINESE, "gb18030"))) == [CHINESE]
    page = b"Content-Type: text/html; charset=utf-8\n\n<html><body><p>"
    found = read(tmp_path, "a.eml", page + PROSE.encode() + b"</p></body></html>")
    assert texts(found) == [PROSE]


def test_paragraphs_and_cells_of_a_document_are_lines(tmp_path):
    found = read(tmp_path, "a.docx", docx(["one", "two <w:tab/>".replace("<w:tab/>", "x")]))
    assert texts(found) == ["one\ntwo x"]


def test_samples_are_of_every_kind():
    assert set(kinds.SAMPLES) >= {*BROKEN, ".eml", ".mbox", ".srt", ".vtt"}
