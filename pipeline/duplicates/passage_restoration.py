"""Restore texts as they were before passages were cut out of them.

An artifact keeps of such a document what it lost, so that text added later is compared with all of
it: what repeats must not depend on what was cut before.
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


def removed_texts(
    numbers: np.ndarray, table: pa.Table, spans: pl.DataFrame, remaining: pl.Series
) -> pl.DataFrame:
    """Return what cutting takes from a table's texts: rows of INDEX_CUTS.

    `spans` (row, start, end; sorted, apart) are cut out and leave the texts `remaining`, which are
    then trimmed. `numbers` are those of the documents.
    """
    frame = pl.DataFrame(table.select(["id", "lang", "text"]))
    inside = (
        pl.col("text").cast(pl.Binary).bin.slice(pl.col("start"), pl.col("end") - pl.col("start"))
    )
    pieces = (
        spans.with_columns(frame["text"].gather(spans["row"]))
        .with_columns(piece=inside.cast(pl.String))
        .group_by("row", maintain_order=True)
        .agg(starts="start", pieces="piece")
    )
    rows = pieces["row"]
    untrimmed = remaining.gather(rows)
    without_head = untrimmed.str.strip_chars_start()
    kept = without_head.str.strip_chars_end()
    empty = kept.str.len_bytes() == 0
    return pieces.select(
        document=pl.Series(numbers).gather(rows),
        id=pl.when(empty).then(frame["id"].gather(rows)),
        lang=pl.when(empty).then(frame["lang"].gather(rows)),
        head=untrimmed.str.slice(0, untrimmed.str.len_chars() - without_head.str.len_chars()),
        tail=without_head.str.slice(kept.str.len_chars()),
        starts="starts",
        pieces="pieces",
    )


def restore_texts(numbers: np.ndarray, table: pa.Table, cuts: pl.DataFrame) -> pa.Table:
    """Return the rows of documents `numbers` (sorted) with the texts they had before `cuts`."""
    cuts = cuts.filter(pl.col("document").is_in(numbers))
    if cuts.is_empty():
        return table
    texts = table["text"].to_pylist()
    positions = np.searchsorted(numbers, cuts["document"].to_numpy())
    rows = cuts.select("head", "tail", "starts", "pieces").iter_rows()
    for at, row in zip(positions.tolist(), rows, strict=True):
        texts[at] = _insert_passages(texts[at], *row)
    field = table.schema.field("text")
    return table.set_column(
        table.schema.get_field_index("text"), field, pa.array(texts, field.type)
    )


def emptied_documents(cuts: pl.LazyFrame) -> pl.LazyFrame:
    """Select the rows of INDEX_CUTS about documents that lost all their text."""
    return cuts.filter(pl.col("id").is_not_null())


def restore_emptied(cuts: pl.DataFrame) -> pa.Table:
    """Return the documents of `emptied_documents` with their text: id, lang, text."""
    rows = cuts.select("head", "tail", "starts", "pieces").iter_rows()
    texts = pa.array([_insert_passages("", *row) for row in rows], pa.large_string())
    return cuts.select("id", "lang").to_arrow().append_column("text", texts)


def _insert_passages(kept: str, head: str, tail: str, starts: list[int], pieces: list[str]) -> str:
    rest, whole, used = f"{head}{kept}{tail}".encode(), bytearray(), 0
    for start, piece in zip(starts, pieces, strict=True):
        between = start - len(whole)
        whole += rest[used : used + between]
        used += between
        whole += piece.encode()
    return (whole + rest[used:]).decode()
