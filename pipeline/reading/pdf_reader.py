"""Reader of PDF: the text layer, page by page; scanned pages have none and are quarantined."""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.reading.member_reader import seekable
from pipeline.reading.records import Entry, ReaderInput, Record
from pipeline.reading.streams import DamagedInput

if TYPE_CHECKING:
    import pypdf

# What a PDF costs is bounded by what is in it, never by a clock: the same file is kept or set aside
# on every machine. Text of a thousand pages has some 5 MB of content; the densest takes 1.3 s a MB.
CONTENT_BYTES_MAX = 128 << 20
PAGES_MAX = 20_000


def read_pdf(source: ReaderInput) -> Iterator[Entry]:
    """Yield the text layer of a PDF as one document."""
    import pypdf  # a tenth of a second, for those who have a PDF

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # one line per odd object
    with seekable(source) as file:
        try:
            text = _text(pypdf.PdfReader(file), source.record_bytes_max)
        except (DamagedInput, OSError):
            raise
        except Exception as error:  # whatever pypdf meets in a damaged file
            detail = f"{type(error).__name__}: {error}; wanted a whole PDF"
            raise DamagedInput("damaged_pdf", detail[:500]) from error
    if not text.strip():
        raise DamagedInput("no_text_layer", "no page has text: scanned; run text recognition")
    yield Record(0, {source.text_field: text})


def _text(reader: "pypdf.PdfReader", characters_max: int) -> str:
    if reader.is_encrypted and not reader.decrypt(""):
        raise DamagedInput("locked_pdf", "a password is needed; save it without one")
    pages: list[str] = []
    content = characters = 0
    for number, page in enumerate(reader.pages, 1):
        content += _content_bytes(page)
        if content <= CONTENT_BYTES_MAX:
            pages.append(page.extract_text().strip("\n"))
            characters += len(pages[-1])
        if content > CONTENT_BYTES_MAX or number > PAGES_MAX or characters > characters_max:
            raise DamagedInput(
                "pdf_too_costly",
                f"page {number}: {content} bytes of content and {characters} characters up to it, "
                f"wanted at most {PAGES_MAX} pages, {CONTENT_BYTES_MAX} bytes and {characters_max} "
                f"characters; split it or raise ingest.record_bytes_max",
            )
    text = "\n\n".join(filter(None, pages))
    return text.encode("utf-8", "replace").decode()  # half characters of bad font tables


def _content_bytes(page: "pypdf.PageObject") -> int:
    """Return the size of a page's unpacked drawing operators; 0 for a page without."""
    try:
        content = page.get_contents()
        return 0 if content is None else len(content.get_data())
    except (AttributeError, KeyError):  # as `extract_text`: certainly an empty page
        return 0
