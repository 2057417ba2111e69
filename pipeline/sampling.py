"""Documents chosen by a hash of their id: the same ones in any layout, order or number of workers.

A sample of a given size is the documents of smallest hash. Two passes find it in bounded memory:
text bytes per hash bin first, then the text of the bins that can be in the sample.
"""

import functools
import hashlib
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.artifact import Artifact
from pipeline.schema import Contract, column
from pipeline.sink import Sink
from pipeline.stage import Job

# The last bin read may hold this share of a corpus more than the sample: 25 MB of 100 GB.
BIN_BITS = 12
CANDIDATES = "candidates"
UNSURE = "und"
CANDIDATE = Contract(
    "candidate",
    1,
    pa.schema(
        [
            column("hash", pa.uint64(), "of the id; small ones come first"),
            column("id", pa.string(), "the document"),
            column("lang", pa.string(), "its language; 'und' if unknown"),
            column("bytes", pa.int64(), "UTF-8 bytes of its text"),
            column("text", pa.large_string(), "the text"),
        ]
    ),
)


@dataclass(frozen=True)
class Sample:
    """A Parquet file of columns `lang`, `text` in hash order, and how it was drawn."""

    file: Path
    documents: int
    text_bytes: int
    documents_seen: int


def id_hashes(ids: pa.ChunkedArray | pa.Array, salt: str) -> np.ndarray:
    """Return 64 evenly spread bits per id (uint64): BLAKE2b keyed by `salt`."""
    key = hashlib.blake2b(salt.encode(), digest_size=32).digest()
    digests = b"".join(
        hashlib.blake2b(one.encode(), digest_size=8, key=key).digest() for one in ids.to_pylist()
    )
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def draw_sample(job: Job, documents: Artifact, bytes_max: int, salt: str) -> Sample:
    """Write up to `bytes_max` bytes of text to a scratch file of `job`; the last one is cut."""
    parts = documents.parts()
    last_bin = (1 << BIN_BITS) - 1
    if documents.text_bytes > bytes_max:
        surveyed = job.map(functools.partial(survey, salt), parts, phase="survey")
        per_bin = np.sum([result.value for result in surveyed], axis=0)
        last_bin = int(np.searchsorted(np.cumsum(per_bin), bytes_max))
    collected = job.map(
        functools.partial(collect, salt, last_bin),
        parts,
        phase="sample",
        contracts={CANDIDATES: CANDIDATE},
    )
    folder = job.scratch("sample")
    files = [
        folder / entry["path"] for result in collected for entry in result.files.get(CANDIDATES, [])
    ]
    seen = sum(result.value for result in collected)
    path = job.scratch("drawn") / "sample.parquet"
    return _write(path, files, bytes_max, seen)


def survey(salt: str, part: Path, sink: Sink) -> list[int]:
    """Return text bytes per hash bin of one part."""
    totals = np.zeros(1 << BIN_BITS, np.int64)
    with pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["id", "text"])
            sizes = pc.binary_length(table["text"]).to_numpy()
            np.add.at(totals, _bins(id_hashes(table["id"], salt)), sizes)
    return totals.tolist()


def collect(salt: str, last_bin: int, part: Path, sink: Sink) -> int:
    """Write one part's documents of bins up to `last_bin`; return the number of all documents."""
    documents = 0
    with pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["id", "text", "lang"])
            documents += table.num_rows
            hashes = id_hashes(table["id"], salt)
            columns = {
                "hash": pa.array(hashes),
                "id": table["id"],
                "lang": pc.fill_null(table["lang"], UNSURE),
                "bytes": pc.binary_length(table["text"]),
                "text": table["text"],
            }
            sink.write(CANDIDATES, pa.table(columns).filter(pa.array(_bins(hashes) <= last_bin)))
    return documents


def _bins(hashes: np.ndarray) -> np.ndarray:
    return (hashes >> np.uint64(64 - BIN_BITS)).astype(np.int64)


def _write(path: Path, files: list[Path], bytes_max: int, seen: int) -> Sample:
    if not files:
        return Sample(path, 0, 0, seen)
    found = pl.scan_parquet(files)
    sizes = found.select("hash", "id", "bytes").collect().sort("hash", "id")
    starts = list(accumulate(sizes["bytes"].to_list(), initial=0))[:-1]
    count = int(np.searchsorted(starts, bytes_max))
    chosen = (
        found.filter(pl.col("hash") <= sizes["hash"][count - 1])
        .select("hash", "id", "lang", "text")
        .collect()
        .sort("hash", "id")
        .head(count)
    )
    last = chosen["text"][-1].encode()[: bytes_max - starts[count - 1]].decode(errors="ignore")
    chosen = pl.concat(
        [chosen.head(count - 1), chosen.tail(1).with_columns(text=pl.lit(last))]
    ).select("lang", "text")
    with storage.whole_file(path) as temporary:
        chosen.write_parquet(temporary, row_group_size=1024)
    return Sample(path, count, int(chosen["text"].str.len_bytes().sum()), seen)
