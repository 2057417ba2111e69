"""Records of several texts (conversations, questions with answers) held against tombstones."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.forgetting.reading_again import RULE, address_of
from pipeline.reading.documents import RawDocument
from pipeline.schema import REJECT
from pipeline.store import storage
from pipeline.store.sink import REJECTS, Sink

if TYPE_CHECKING:
    from pipeline.forgetting.matching import Matcher

Text = tuple[str, str, str | None]  # id, text, address; '' where it has no id of its own


def as_text(document: RawDocument) -> Text:
    """Return what is looked up of a document."""
    return document.id, document.text, address_of(document.meta)


def records_that_fit(
    records: Iterable[Iterable[Text]], matcher: "Matcher | None", file: str | None = None
) -> set[int]:
    """Return the numbers of the records one of whose texts is to be forgotten; `file` by hash."""
    if matcher is None:
        return set()
    from pipeline.forgetting.matching import Looked  # loads what hashes text

    looked = [(number, Looked(*text, file)) for number, own in enumerate(records) for text in own]
    matches = matcher.matches([text for _, text in looked])
    return {n for (n, _), match in zip(looked, matches, strict=True) if match is not None}


def drop_records(gone: Sequence[RawDocument], sink: Sink) -> None:
    """Write the rows of records to be forgotten: nothing of them but their source and a hash."""
    sink.saw(len(gone))
    rows = [
        (storage.sha256_text(record.id), record.source, RULE, 1.0, 1.0, None, None, None)
        for record in gone
    ]
    if rows:
        columns = zip(*rows, strict=True)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, REJECT.schema, strict=True)]
        sink.write(REJECTS, pa.Table.from_arrays(arrays, schema=REJECT.schema))
