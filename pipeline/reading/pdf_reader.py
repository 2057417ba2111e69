"""Reader of PDF: the text layer, page by page; scanned pages have none and are quarantined."""

import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.reading.member_reader import seekable
from pipeline.reading.records import Entry, Input, Record
from pipeline.reading.streams import DamagedInput

if TYPE_CHECKING:
    import pypdf

SECONDS_MAX = 120.0  # of one thread's work; text of a thousand pages takes half of it
PAGES_MAX = 20_000


def read_pdf(source: Input) -> Iterator[Entry]:
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
    until = time.thread_time() + SECONDS_MAX
    pages: list[str] = []
    size = 0
    for number, page in enumerate(reader.pages, 1):
        pages.append(page.extract_text().strip("\n"))
        size += len(pages[-1])
        if time.thread_time() > until or number > PAGES_MAX or size > characters_max:
            raise DamagedInput(
                "pdf_too_costly", f"page {number} is beyond {SECONDS_MAX:.0f} s or the record limit"
            )
    text = "\n\n".join(filter(None, pages))
    return text.encode("utf-8", "replace").decode()  # half characters of bad font tables
