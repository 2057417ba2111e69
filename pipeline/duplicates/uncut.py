"""Texts as they were before passages were cut out of them.

An artifact keeps of such a document what it lost, so that text added later is compared with all of
it: what is found then must not depend on what was cut before.
"""

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.schema import Contract, column

INDEX_CUTS = Contract(
    "index_cuts",
    1,
    pa.schema(
        [
            column("document", pa.int64(), "number of a document that lost passages"),
            column("id", pa.string(), "its id, where nothing was left of it", nullable=True),
            column("lang", pa.string(), "its language, where nothing was left", nullable=True),
            column("head", pa.large_string(), "white space trimmed from what was left, before it"),
            column("tail", pa.large_string(), "and after it"),
            column("starts", pa.large_list(pa.int64()), "first byte of each passage"),
            column("pieces", pa.large_list(pa.large_string()), "the passages"),
        ]
    ),
)


def missing(
    numbers: np.ndarray, table: pa.Table, spans: pl.DataFrame, left: pl.Series
) -> pl.DataFrame:
    """What cutting takes from a table's texts: rows of INDEX_CUTS.

    `spans` (row, start, end; sorted, apart) are cut out and leave the texts `left`, which are
    then trimmed. `numbers` are those of the documents.
    """
    frame = pl.DataFrame(table.select(["id", "lang", "text"]))
    inside = (
        pl.col("text").cast(pl.Binary).bin.slice(pl.col("start"), pl.col("end") - pl.col("start"))
    )
    found = (
        spans.with_columns(frame["text"].gather(spans["row"]))
        .with_columns(piece=inside.cast(pl.String))
        .group_by("row", maintain_order=True)
        .agg(starts="start", pieces="piece")
    )
    rows = found["row"]
    remains = left.gather(rows)
    begun = remains.str.strip_chars_start()
    kept = begun.str.strip_chars_end()
    empty = kept.str.len_bytes() == 0
    return found.select(
        document=pl.Series(numbers).gather(rows),
        id=pl.when(empty).then(frame["id"].gather(rows)),
        lang=pl.when(empty).then(frame["lang"].gather(rows)),
        head=remains.str.slice(0, remains.str.len_chars() - begun.str.len_chars()),
        tail=begun.str.slice(kept.str.len_chars()),
        starts="starts",
        pieces="pieces",
    )


def restored(numbers: np.ndarray, table: pa.Table, cuts: pl.DataFrame) -> pa.Table:
    """The rows of documents `numbers` (sorted) with the texts that they had; `cuts`: INDEX_CUTS."""
    cuts = cuts.filter(pl.col("document").is_in(numbers))
    if cuts.is_empty():
        return table
    texts = table["text"].to_pylist()
    places = np.searchsorted(numbers, cuts["document"].to_numpy())
    rows = cuts.select("head", "tail", "starts", "pieces").iter_rows()
    for at, row in zip(places.tolist(), rows, strict=True):
        texts[at] = _whole(texts[at], *row)
    field = table.schema.field("text")
    return table.set_column(
        table.schema.get_field_index("text"), field, pa.array(texts, field.type)
    )


def emptied(cuts: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of INDEX_CUTS about documents of which nothing was left."""
    return cuts.filter(pl.col("id").is_not_null())


def emptied_texts(cuts: pl.DataFrame) -> pa.Table:
    """The documents of `emptied` rows: id, lang, text."""
    rows = cuts.select("head", "tail", "starts", "pieces").iter_rows()
    texts = pa.array([_whole("", *row) for row in rows], pa.large_string())
    return cuts.select("id", "lang").to_arrow().append_column("text", texts)


def _whole(kept: str, head: str, tail: str, starts: list[int], pieces: list[str]) -> str:
    rest, whole, taken = f"{head}{kept}{tail}".encode(), bytearray(), 0
    for start, piece in zip(starts, pieces, strict=True):
        between = start - len(whole)
        whole += rest[taken : taken + between]
        taken += between
        whole += piece.encode()
    return (whole + rest[taken:]).decode()
