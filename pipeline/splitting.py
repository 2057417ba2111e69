"""Which documents train and which are held out, also where there is one document or a few.

Whether a document is held out depends on its id alone, by hash, without the ending that ingest puts
to a repeated one: copies of one text are on one side, whichever of them stays. Where that cannot
work, because the share asked for is less than one document, or because one that holds most of the
text was drawn, documents larger than the share are cut into blocks, and blocks are held out by
hash. What is cut is put together again where nothing between was held out: no character is lost,
none is on both sides.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import SourceError
from pipeline.hashing import id_hashes
from pipeline.reading.document_ids import without_ending, without_endings
from pipeline.stage import Job
from pipeline.store.artifact import Artifact
from pipeline.store.sink import Sink

HASHES = "hashes"  # phase: what it finds in a part stays with the artifact
TRAIN, VALIDATION = "train", "validation"
BLOCK_BYTES_MAX, BLOCK_BYTES_MIN = 4096, 256
BLOCKS_HELD_OUT = 8  # wanted where the text is short: figures of fewer are rough
# No document is larger (`ingest.record_bytes_max`, as it is), so none is half of more text.
LOOKED_AT_BYTES = 256 << 20
NO_HASH = 1 << 64  # above all
# Where to cut, best first.
ENDS = ("\n\n", "\n", "。", "！", "？", ". ", "! ", "? ", "；", "，", " ")


@dataclass(frozen=True)
class SplitRule:
    """Hashes below `bound` are held out; documents above `cut_above` bytes as blocks."""

    salt: str
    bound: int
    cut_above: int | None = None
    block_bytes: int = BLOCK_BYTES_MAX

    @property
    def key(self) -> list[Any]:
        """All that decides about a document, as JSON."""
        return [self.salt, self.bound, self.cut_above, self.block_bytes]

    def split(self, names: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Return the split of each document or block by its name."""
        return pc.if_else(
            pa.array(unit_hashes(names, self.salt) < np.uint64(self.bound)), VALIDATION, TRAIN
        )


def unit_hashes(names: pa.Array | pa.ChunkedArray, salt: str) -> np.ndarray:
    """Return 64 bits (uint64) for each document or block, the same for copies of one."""
    return id_hashes(without_endings(names), salt)


def split_rule(
    job: Job[Any], documents: Artifact, share: float, bound: int, salt: str
) -> SplitRule:
    """Look at the documents and return how they are split; `job.stats['split']` says so.

    `share` is to be held out, documents of hashes below `bound`. At least one document or block is
    held out, and one is not. Raises SourceError if the text is too short for that.
    """
    if not share:
        return SplitRule(salt, 0)
    weigh = documents.text_bytes <= LOOKED_AT_BYTES
    looked = functools.partial(look, salt, bound, weigh)
    keys = [[digest, salt, bound, weigh] for digest in documents.part_digests()]
    reports = [
        report.value for report in job.map(looked, documents.parts(), phase=HASHES, keys=keys)
    ]
    count, total, below = (
        sum(report[what] for report in reports) for what in ("documents", "weight", "below")
    )
    lowest = min((report["lowest"] for report in reports), default=NO_HASH)
    if lowest >= bound:
        below = sum(report["lowest_weight"] for report in reports if report["lowest"] == lowest)
    if not count or (count * share >= 1 and below * 2 <= total):
        return SplitRule(salt, max(bound, lowest + 1) if count else bound)
    rule = SplitRule(
        salt,
        bound,
        cut_above=int(share * documents.text_bytes),
        block_bytes=int(
            np.clip(
                share * documents.text_bytes / BLOCKS_HELD_OUT, BLOCK_BYTES_MIN, BLOCK_BYTES_MAX
            )
        ),
    )
    found = job.map(functools.partial(block_hashes, rule), documents.parts(), phase="blocks")
    hashes = {value for report in found for value in report.value}
    if len(hashes) < 2:
        raise SourceError(
            f"{documents.path}: {documents.text_bytes} bytes of text are too few to train on and "
            f"to hold some out; give at least {4 * BLOCK_BYTES_MIN}"
        )
    bound = min(max(bound, min(hashes) + 1), max(hashes))
    job.stats["split"] = {"by": "blocks", "block_bytes": rule.block_bytes, "units": len(hashes)}
    return SplitRule(salt, bound, rule.cut_above, rule.block_bytes)


def look(salt: str, bound: int, weigh: bool, part: Path, sink: Sink) -> dict[str, int]:
    """Count a part's documents; return its lowest hash, and what it and those below `bound` weigh.

    A document weighs the bytes of its text; one, without `weigh`, by which no text is read.
    """
    report = dict.fromkeys(("documents", "weight", "below", "lowest_weight"), 0)
    report["lowest"] = NO_HASH
    columns = ["id", "text"] if weigh else ["id"]
    for batch in pq.ParquetFile(part).iter_batches(columns=columns):
        if not batch.num_rows:
            continue
        hashes = unit_hashes(batch.column("id"), salt)
        weights = np.ones(batch.num_rows, np.int64)
        if weigh:
            weights = pc.binary_length(batch.column("text")).to_numpy(zero_copy_only=False)
        report["documents"] += batch.num_rows
        report["weight"] += int(weights.sum())
        report["below"] += int(weights[hashes < np.uint64(bound)].sum())
        if (lowest := int(hashes.min())) < report["lowest"]:
            report["lowest"], report["lowest_weight"] = lowest, 0
        report["lowest_weight"] += int(weights[hashes == np.uint64(report["lowest"])].sum())
    return report


def block_hashes(rule: SplitRule, part: Path, sink: Sink) -> list[int]:
    """Return the hashes of what a part is split into: blocks, and documents that are not cut."""
    names: list[str] = []
    for batch in pq.ParquetFile(part).iter_batches(columns=["id", "text"], batch_size=64):
        for name, text in zip(
            batch.column("id").to_pylist(), batch.column("text").to_pylist(), strict=True
        ):
            names += block_names(without_ending(name), blocks_of(text, rule))
    return [int(unit_hash) for unit_hash in id_hashes(pa.array(names, pa.string()), rule.salt)]


def blocks_of(text: str, rule: SplitRule) -> list[str]:
    """Cut a text that is above the rule's bound at ends of lines, else of sentences, else words."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if rule.cut_above is None or size <= max(rule.cut_above, 2 * rule.block_bytes):
        return [text]
    characters = max(1, rule.block_bytes * len(text) // size)
    blocks, start = [], 0
    while len(text) - start > characters * 2:
        end = _end(text, start + characters // 2, start + characters + characters // 2)
        blocks.append(text[start:end])
        start = end
    return [*blocks, text[start:]]


def _end(text: str, low: int, high: int) -> int:
    for mark in ENDS:
        at = text.rfind(mark, low, high)
        if at >= 0:
            return at + len(mark)
    return high


def block_names(name: str, blocks: list[str]) -> list[str]:
    """Return the document's id, or the id with the number of each block."""
    return [name] if len(blocks) == 1 else [f"{name}#{n}" for n in range(len(blocks))]


def document_of(name: str) -> str:
    """Return what the ids of a document's blocks, or of copies of one content, have in common."""
    return name.rpartition("#")[0] or name


def cut(documents: pa.Table, rule: SplitRule) -> tuple[pa.Table, int]:
    """Return rows with their column `split`, and how many documents were cut.

    A document that is cut becomes a row for each block held out and for each run of others, under
    its id and the number of the run's first block; the other columns are repeated.
    """
    sizes = pc.binary_length(documents["text"]).to_numpy()
    if rule.cut_above is None or not (sizes > rule.cut_above).any():
        return documents.append_column("split", rule.split(documents["id"])), 0
    rows: list[tuple[int, str, list[str], str]] = []  # row of the document, id, texts, split
    many = 0
    for row, (name, text) in enumerate(
        zip(documents["id"].to_pylist(), documents["text"].to_pylist(), strict=True)
    ):
        blocks = blocks_of(text, rule)
        hashed = block_names(without_ending(name), blocks)
        many += len(blocks) > 1
        of_blocks = rule.split(pa.array(hashed, pa.string())).to_pylist()
        for own, block, split in zip(block_names(name, blocks), blocks, of_blocks, strict=True):
            if rows and rows[-1][0] == row and rows[-1][3] == split == TRAIN:
                rows[-1][2].append(block)
            else:
                rows.append((row, own, [block], split))
    return _table(documents, rows), many


def _table(documents: pa.Table, rows: list[tuple[int, str, list[str], str]]) -> pa.Table:
    taken, names, texts, of_rows = zip(*rows, strict=True)
    table = documents.take(pa.array(taken, pa.int64()))
    changed: dict[str, Any] = {"id": names, "text": ["".join(pieces) for pieces in texts]}
    for column, values in changed.items():
        at = table.schema.get_field_index(column)
        kind = table.schema.field(column).type
        table = table.set_column(at, column, pa.array(values, kind))
    return table.append_column("split", pa.array(of_rows, pa.string()))
