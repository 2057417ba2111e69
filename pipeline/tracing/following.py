"""The way of one document through the data stages: kept, changed, dropped by which rule, split."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.store.artifact import MAIN, Artifact
from pipeline.store.loading import reading
from pipeline.store.sink import CHANGES, REJECTS
from pipeline.tracing.catalog import Catalog, part_files

KEPT, DROPPED, UNKNOWN = "kept", "dropped", "unknown"
NEXT = {"ingest": "clean", "clean": "dedup", "dedup": "shard"}
SHARD_COLUMNS = ["id", "split", "source", "lang", "offset", "bytes"]
Steps = list[dict[str, Any]]


def follow(catalog: Catalog, artifact: Artifact, number: int, document: str) -> Iterator[Steps]:
    """Yield each way of a document on from part `number` of an artifact: a list of its stages.

    A stage tells `stage`, `artifact`, `fate` ('kept', 'dropped', or 'unknown' where a parent is
    gone), its `changes` and, where it was dropped, the columns of `reject`.
    """
    following = NEXT.get(artifact.stage)
    children = catalog.children(artifact, following) if following else []
    if not children:
        yield []
        return
    for child in children:
        at = catalog.part_number(child, artifact, number)
        others = _others_of(artifact, number) if child.stage == "shard" else None
        step = _unknown(child) if at is None else step_of(child, at, document, others)
        if at is None or step["fate"] != KEPT or child.stage == "shard":
            yield [step]
            continue
        next_number = _number_among_parts(child, step["part"])
        for rest in follow(catalog, child, next_number, document):
            yield [step, *rest]


def step_of(
    artifact: Artifact, number: int, document: str, others: pa.ChunkedArray | None = None
) -> dict[str, Any]:
    """Return what became of a document in the files that came of part `number`.

    `others` are the ids of all documents of that part.
    """
    step: dict[str, Any] = {"stage": artifact.stage, "artifact": name_of(artifact)}
    changes = [
        {name: value for name, value in row.items() if name != "id"}
        for path in part_files(artifact, CHANGES, number)
        for row in _rows_of(path, document)
    ]
    if changes:
        step["changes"] = changes
    for path in part_files(artifact, REJECTS, number):
        for row in _rows_of(path, document):
            known = {name: value for name, value in row.items() if value is not None}
            return {**step, **known, "fate": DROPPED}
    if artifact.stage == "shard":
        rows = shard_rows(artifact, number, document, others)
        return {**step, "fate": KEPT if rows else UNKNOWN, "rows": rows}
    for path in part_files(artifact, MAIN, number):
        at = row_of(path, document)
        if at is not None:
            return {**step, "fate": KEPT, "part": path.name, "row": at}
    return {**step, "fate": UNKNOWN}


def shard_rows(
    shards: Artifact, number: int, document: str, others: pa.ChunkedArray | None = None
) -> list[dict[str, Any]]:
    """Return where a document's tokens are: a row, or one for each run of blocks it was cut into.

    `offset` and `tokens` count within the files of the part; `block` is the first of the run. One
    of `others` whose own id looks like that of a block is none.
    """
    rows = []
    for path in part_files(shards, MAIN, number):
        ids = _ids(path)
        mine = pc.or_(pc.equal(ids, document), _is_block_of(ids, document))
        found = np.flatnonzero(mine.to_numpy(zero_copy_only=False)).tolist()
        if not found:
            continue
        with reading(path, "a Parquet file"):
            table = pq.read_table(path, columns=[*SHARD_COLUMNS, "tokens"]).take(found)
        lengths = pc.list_value_length(table["tokens"]).to_pylist()
        for row, tokens, record in zip(
            found, lengths, table.drop_columns(["tokens"]).to_pylist(), strict=True
        ):
            rows.append({**record, "part": path.name, "row": row, "tokens": tokens})
    own = [row for row in rows if row["id"] == document]
    known = (
        set() if others is None else {*others.filter(_is_block_of(others, document)).to_pylist()}
    )
    blocks = [row for row in rows if row["id"] not in known]
    return own or [{**row, "block": int(row["id"].rpartition("#")[2])} for row in blocks]


def row_of(path: Path, document: str) -> int | None:
    """Return the row of a document in a file, by its id; None if it is not there."""
    row = pc.index(_ids(path), document).as_py()
    return None if row < 0 else int(row)


def name_of(artifact: Artifact) -> str:
    """Return how an artifact is named: its stage and the name of its folder."""
    return f"{artifact.stage}/{artifact.path.name}"


def _unknown(artifact: Artifact) -> dict[str, Any]:
    return {"stage": artifact.stage, "artifact": name_of(artifact), "fate": UNKNOWN}


def _number_among_parts(artifact: Artifact, part: str) -> int:
    return [path.name for path in artifact.parts()].index(part)


def _is_block_of(ids: pa.ChunkedArray, document: str) -> pa.ChunkedArray:
    begins = pc.starts_with(ids, f"{document}#")
    rest = pc.utf8_slice_codeunits(ids, len(document) + 1)
    return pc.and_(begins, pc.match_substring_regex(rest, r"^[0-9]{1,9}$"))


def _rows_of(path: Path, document: str) -> list[dict[str, Any]]:
    with reading(path, "a Parquet file"):
        found = np.flatnonzero(pc.equal(_ids(path), document).to_numpy(zero_copy_only=False))
        return pq.read_table(path).take(found).to_pylist() if len(found) else []


def _others_of(artifact: Artifact, number: int) -> pa.ChunkedArray:
    return _ids(artifact.parts()[number])


def _ids(path: Path) -> pa.ChunkedArray:
    """Return the ids of a file; those of the last few are kept, of 64 MiB of text each at most."""
    return _ids_as_of(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _ids_as_of(path: Path, modified_ns: int) -> pa.ChunkedArray:
    with reading(path, "a Parquet file"), pq.ParquetFile(path) as file:
        return file.read(columns=["id"])["id"]
