"""Stage `dedup`: CLEAN -> DEDUPED, exact copies and verified near-duplicates removed.

The earliest document of a group stays: order of the input's parts, then of rows, so adding text at
the end of a corpus never removes what was there. Each removed document is a copy of the document
named as its partner, or was compared with it shingle by shingle and reached the threshold.
What an exact copy and what a shingle is: `pipeline/duplicates/signatures.py`.

Held in memory for the whole corpus: about 32 bytes per candidate pair and 100 per removed document.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.artifact import MAIN, Artifact
from pipeline.duplicates import candidates, clusters
from pipeline.duplicates.candidates import Part, Shingling
from pipeline.errors import ConfigError
from pipeline.schema import DEDUPED
from pipeline.sink import REJECTS, Sink
from pipeline.stage import Job, PartFunction, Stage

# Rows of a hash partition (32 bytes each): a few partitions fit into a laptop's memory.
PARTITION_ROWS = 4 << 20
# Shingles held at once while pairs are verified (8 bytes each).
CHUNK_SHINGLES = 8 << 20
DECISION_ROWS_PER_GROUP = 1 << 16
EXACT_DUPLICATE = "exact_duplicate"
NEAR_DUPLICATE = "near_duplicate"
NO_COPIES = pl.DataFrame(schema={"document": pl.Int64, "keeper": pl.Int64, "keeper_id": pl.String})
NO_NEAR = NO_COPIES.with_columns(similarity=pl.lit(None, pl.Float64))

Files = dict[str, list[Path]]  # by table


@dataclass(frozen=True)
class DedupConfig:
    """What counts as a duplicate."""

    exact: bool = True  # remove texts equal after folding
    near: bool = True  # remove texts whose shingle sets are similar
    threshold: float = 0.8  # least Jaccard similarity of a near-duplicate, 0 < threshold <= 1
    words_per_shingle: int = 5  # in spaced scripts
    characters_per_shingle: int = 5  # in unspaced scripts
    # 20 x 6 misses 0.2 % of pairs at similarity 0.8 exactly, 14 x 8 misses 7.6 %; the price is
    # more candidates to verify (27 % of pairs at 0.5 instead of 5 %).
    bands: int = 20
    rows_per_band: int = 6
    neighbours: int = 32  # pairs tried per document within one bucket of equal band keys
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"dedup.threshold is {self.threshold}; give a value in (0, 1]")
        for name in ("words_per_shingle", "characters_per_shingle", "bands", "rows_per_band"):
            if not 1 <= getattr(self, name) <= 256:
                raise ConfigError(f"dedup.{name} is {getattr(self, name)}; give 1 to 256")
        if self.neighbours < 1:
            raise ConfigError(f"dedup.neighbours is {self.neighbours}; give at least 1")
        if self.seed < 0:
            raise ConfigError(f"dedup.seed is {self.seed}; give 0 or more")


def run(job: Job) -> None:
    """Deduplicate the one parent artifact."""
    parts, rows = _numbered(job.parents[0]), job.parents[0].rows
    copies, near, candidate_pairs, verified_pairs = NO_COPIES, NO_NEAR, 0, 0
    if parts and (job.config.exact or job.config.near):
        bits = partition_bits(rows * job.config.bands)
        signed = functools.partial(
            candidates.write_signatures, _shingling(job.config), job.config.exact, job.config.near
        )
        signed_parts = _scratch(job, "signatures", functools.partial(signed, bits), parts)
        copies = _find_copies(job, bits, signed_parts)
        near, candidate_pairs, verified_pairs = _find_near(job, bits, signed_parts, parts)
    decisions = decide(copies, near)
    sizes = decisions.group_by("keeper").agg(copies=pl.len().cast(pl.Int64)).sort("keeper")
    folder = job.scratch("decisions")
    for name, frame in (("decisions", decisions), ("sizes", sizes)):
        frame.write_parquet(folder / f"{name}.parquet", row_group_size=DECISION_ROWS_PER_GROUP)
    job.map(functools.partial(write_part, folder, job.config.threshold), parts)
    largest = sizes["copies"].max()
    job.stats.update(
        documents=rows,
        exact_duplicates=decisions.filter(~pl.col("near")).height,
        near_duplicates=decisions.filter(pl.col("near")).height,
        candidate_pairs=candidate_pairs,
        verified_pairs=verified_pairs,
        largest_cluster=min(rows, 1) if largest is None else 1 + int(str(largest)),
    )


def partition_bits(rows: int) -> int:
    """Number of leading hash bits that split `rows` rows into partitions of a bounded size."""
    return max(0, (rows - 1) // PARTITION_ROWS).bit_length()


def decide(copies: pl.DataFrame, near: pl.DataFrame) -> pl.DataFrame:
    """Combine both kinds of duplicates: document, keeper, keeper_id, similarity, near; sorted.

    A copy of a document that is itself removed as a near-duplicate goes to that one's keeper, with
    the same similarity, since copies have the same shingles.
    """
    moved = copies.join(
        near.select(
            keeper="document", other="keeper", other_id="keeper_id", other_similarity="similarity"
        ),
        on="keeper",
        how="left",
    ).select(
        "document",
        keeper=pl.coalesce("other", "keeper"),
        keeper_id=pl.coalesce("other_id", "keeper_id"),
        similarity=pl.col("other_similarity").fill_null(1.0),
        near=pl.col("other").is_not_null(),
    )
    return pl.concat([moved, near.with_columns(near=pl.lit(True))]).sort("document")


def write_part(folder: Path, threshold: float, part: Part, sink: Sink) -> None:
    """Write one part's kept rows with their cluster size, and its rejects."""
    for first, table in candidates.row_groups(part):
        sink.saw(table.num_rows)
        gone, sizes = (
            pl.scan_parquet(folder / f"{name}.parquet")
            .filter(pl.col(key).is_between(first, first + table.num_rows - 1))
            .with_columns(row=pl.col(key) - first)
            .collect()
            for name, key in (("decisions", "document"), ("sizes", "keeper"))
        )
        keep = np.ones(table.num_rows, bool)
        keep[gone["row"].to_numpy()] = False
        cluster_size = np.ones(table.num_rows, np.int32)
        cluster_size[sizes["row"].to_numpy()] += sizes["copies"].to_numpy().astype(np.int32)
        kept = table.append_column("cluster_size", pa.array(cluster_size)).filter(pa.array(keep))
        sink.write(MAIN, kept)
        sink.write(REJECTS, _rejects(table, gone, threshold))


def _rejects(table: pa.Table, gone: pl.DataFrame, threshold: float) -> pa.Table:
    dropped = table.select(["id", "source"]).take(gone["row"].to_arrow())
    near = pl.col("near")
    columns = gone.select(
        rule=pl.when(near).then(pl.lit(NEAR_DUPLICATE)).otherwise(pl.lit(EXACT_DUPLICATE)),
        value="similarity",
        threshold=pl.when(near).then(threshold).otherwise(1.0),
        partner="keeper_id",
        similarity="similarity",
    ).to_arrow()
    for name in columns.column_names:
        dropped = dropped.append_column(name, columns[name])
    return dropped


def _find_copies(job: Job, bits: int, signed: Files) -> pl.DataFrame:
    files = signed.get("exact", [])
    if not files:
        return NO_COPIES
    work = functools.partial(candidates.find_copies, bits, files)
    found = _scratch(job, "copies", work, range(1 << bits)).get("copies", [])
    return pl.read_parquet(found) if found else NO_COPIES


def _find_near(
    job: Job, bits: int, signed: Files, parts: list[Part]
) -> tuple[pl.DataFrame, int, int]:
    """Near-duplicates with their keepers, number of candidate pairs, number of verified ones."""
    if not signed.get("bands"):
        return NO_NEAR, 0, 0
    work = functools.partial(
        candidates.find_candidates, bits, job.config.neighbours, signed["bands"]
    )
    found = _scratch(job, "candidates", work, range(1 << bits)).get("candidates", [])
    if not found:
        return NO_NEAR, 0, 0
    # A pair may share bands in several partitions.
    pairs = pl.read_parquet(found).unique(["earlier", "later"]).sort("earlier", "later")
    earlier, later = pairs["earlier"].to_numpy(), pairs["later"].to_numpy()
    documents, first_seen = np.unique(np.concatenate([earlier, later]), return_index=True)
    cost = np.concatenate([pairs["earlier_shingles"], pairs["later_shingles"]])[first_seen]
    left, right = np.searchsorted(documents, earlier), np.searchsorted(documents, later)
    chunk = clusters.chunks_of_pairs(left, right, cost, CHUNK_SHINGLES)
    sets = _gather(job, parts, np.concatenate([earlier, later]), np.concatenate([chunk, chunk]))
    order = np.argsort(chunk, kind="stable")
    cuts = np.flatnonzero(np.diff(chunk[order])) + 1
    tasks = [
        (int(chunk[members[0]]), earlier[members], later[members])
        for members in np.split(order, cuts)
    ]
    check = functools.partial(candidates.verify, sets, job.config.threshold)
    verified = _scratch(job, "verified", check, tasks).get("verified", [])
    if not verified:
        return NO_NEAR, len(pairs), 0
    frame = pl.read_parquet(verified)
    return _keepers(frame), len(pairs), len(frame)


def _keepers(verified: pl.DataFrame) -> pl.DataFrame:
    columns = (verified[name].to_numpy() for name in ("earlier", "later", "similarity"))
    removed, keeper, similarity = clusters.survivors(*columns)
    frame = pl.DataFrame({"document": removed, "keeper": keeper, "similarity": similarity})
    ids = verified.select(keeper="earlier", keeper_id="earlier_id").unique("keeper")
    return frame.join(ids, on="keeper", how="left", maintain_order="left").select(NO_NEAR.columns)


def _gather(job: Job, parts: list[Part], documents: np.ndarray, chunks: np.ndarray) -> list[Path]:
    wanted = clusters.distinct_pairs(np.stack([documents, chunks], axis=1))
    firsts = np.array([part.first for part in parts[1:]], np.int64)
    cuts = np.searchsorted(wanted[:, 0], firsts)
    tasks = [
        (part, share[:, 0].copy(), share[:, 1].copy())
        for part, share in zip(parts, np.split(wanted, cuts), strict=True)
    ]
    work = functools.partial(candidates.gather_sets, _shingling(job.config))
    return _scratch(job, "sets", work, tasks)["sets"]


def _scratch(job: Job, phase: str, work: PartFunction, tasks: Sequence[Any]) -> Files:
    """Run a phase and return the files it left, by table, in task order."""
    results = job.map(work, tasks, phase=phase, contracts=candidates.TABLES)
    files: Files = {}
    for result in results:
        for table, entries in result.files.items():
            files.setdefault(table, []).extend(job.scratch(phase) / e["path"] for e in entries)
    return files


def _numbered(clean: Artifact) -> list[Part]:
    entries = clean.manifest["tables"].get(MAIN, [])
    firsts = accumulate((entry["rows"] for entry in entries), initial=0)
    return [Part(path, first) for path, first in zip(clean.parts(), firsts, strict=False)]


def _shingling(config: DedupConfig) -> Shingling:
    return Shingling(
        config.words_per_shingle,
        config.characters_per_shingle,
        config.bands,
        config.rows_per_band,
        config.seed,
    )


STAGE = Stage(
    name="dedup",
    contract=DEDUPED,
    run=run,
    module="pipeline.dedup",
    libraries=("numba", "numpy", "polars", "pyarrow"),
)
