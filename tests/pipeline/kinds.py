"""Small files of many kinds, made here: office documents, mail, archives, PDF."""

import io
import json
import tarfile
import zipfile
import zlib

from tests.pipeline.ingesting import TEXTS

CHINESE = " ".join(TEXTS[0].split())
PROSE = f"The miller opened the sluice, and the wheel began to turn. {CHINESE}"
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def zipped(members: dict[str, bytes | str]) -> bytes:
    """Return a ZIP of members by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    """Return a TAR of members by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def docx(paragraphs: list[str]) -> bytes:
    """Return a Word document; each paragraph in two runs."""
    body = "".join(
        f"<w:p><w:r><w:t>{text[:5]}</w:t></w:r><w:r><w:t>{text[5:]}</w:t></w:r></w:p>"
        for text in paragraphs
    )
    xml = f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
    return zipped({"word/document.xml": xml})


def odt(paragraphs: list[str]) -> bytes:
    """Return an OpenDocument text."""
    body = "".join(f"<text:p>{text}</text:p>" for text in paragraphs)
    name = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
    return zipped({"content.xml": f'<office xmlns:text="{name}">{body}</office>'})


def epub(chapters: list[str]) -> bytes:
    """Return a book whose spine has the chapters in reverse of their names."""
    names = [f"c{len(chapters) - number}.xhtml" for number in range(len(chapters))]
    items = "".join(f'<item id="{n}" href="{n}"/>' for n in sorted(names))
    spine = "".join(f'<itemref idref="{n}"/>' for n in names)
    pages = {
        f"book/{name}": f"<html><body><p>{text}</p></body></html>"
        for name, text in zip(names, chapters, strict=True)
    }
    container = '<container><rootfile full-path="book/p.opf"/></container>'
    package = f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>"
    return zipped({"META-INF/container.xml": container, "book/p.opf": package, **pages})


def pdf(text: str, pages: int = 1, padding: int = 0) -> bytes:
    """Return a PDF of pages with a line of Latin text, '' for pages without; they are one object.

    `padding` are bytes of content that say nothing.
    """
    content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode() if text else b""
    content = zlib.compress(content + b" " * padding)
    kids = b"3 0 R " * pages
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, pages),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(data)
    return data + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer


def mail(text: str, charset: str = "utf-8") -> bytes:
    """Return a message in 8 bits."""
    head = f"From: m@mill.example\nSubject: Flour\nContent-Type: text/plain; charset={charset}\n\n"
    return head.encode() + text.encode(charset) + b"\n"


SUBTITLES = "1\n00:00:01,000 --> 00:00:04,000\n<i>The wheel turns.</i>\n\n2\n00:00:05,000 --> 00:00:07,500\n水车转了。\n"  # fmt: skip  # noqa: E501
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["# Mill\n", "Grain."]},
        {"cell_type": "code", "source": "print(1)", "outputs": [{"text": "1"}]},
    ]
}
WIKI = f"<mediawiki><page><title>Mill</title><ns>0</ns><revision><text>{PROSE}</text></revision></page></mediawiki>"  # noqa: E501
# suffix -> (file, texts in it)
SAMPLES = {
    ".xhtml": (f"<html><body><p>{PROSE}</p></body></html>".encode(), [PROSE]),
    ".srt": (SUBTITLES.encode(), ["The wheel turns.\n水车转了。"]),
    ".vtt": (b"WEBVTT\n\n00:01.000 --> 00:04.000\nThe wheel.\n", ["The wheel."]),
    ".ipynb": (json.dumps(NOTEBOOK).encode(), ["# Mill\nGrain.\n\nprint(1)"]),
    ".docx": (docx([PROSE, CHINESE]), [f"{PROSE}\n{CHINESE}"]),
    ".odt": (odt([PROSE, CHINESE]), [f"{PROSE}\n{CHINESE}"]),
    ".epub": (epub([PROSE, CHINESE]), [f"{PROSE}\n\n{CHINESE}"]),
    ".pdf": (pdf("The wheel turns all day."), ["The wheel turns all day."]),
    ".eml": (mail(PROSE), [PROSE]),
    ".mbox": (b"From a b\n" + mail(PROSE) + b"\nFrom c d\n" + mail(CHINESE), [PROSE, CHINESE]),
    ".xml": (WIKI.encode(), [PROSE]),
    ".zip": (zipped({"a/one.txt": PROSE, "two.md": CHINESE}), [PROSE, CHINESE]),
    ".tar": (tarred({"one.txt": PROSE.encode(), "b/two.md": CHINESE.encode()}), [PROSE, CHINESE]),
    ".tgz": (tarred({"one.txt": PROSE.encode()}), [PROSE]),
}
