"""Documents chosen by a hash of their id: the same ones in any layout, order or number of workers.

A sample is drawn from each language and source: its documents of smallest hash, up to a quota. Two
passes find them in bounded memory: text bytes per hash bin first, then the text of the bins that
can be in the sample.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.hashing import id_hashes
from pipeline.schema import UNKNOWN_LANGUAGE, Contract, column
from pipeline.stage import Job
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.store.sink import PartResult, Sink

# The last bin read may hold this share of a corpus more than the sample: 25 MB of 100 GB.
BIN_BITS = 12
CANDIDATES = "candidates"
ROUNDING = 1e-6  # bytes: quotients of floats come out a little less than whole numbers
GROUP = ["lang", "source"]
BINS = "bins"
BOUNDS = {"lang": pl.String, "source": pl.String, "quota": pl.Int64, "last_bin": pl.Int64}
SURVEY = Contract(
    "survey",
    1,
    pa.schema(
        [
            column("lang", pa.string(), "language; 'und' if unknown"),
            column("source", pa.string(), "source"),
            column("bin", pa.int64(), "first BIN_BITS bits of the hash of the id"),
            column("bytes", pa.int64(), "text bytes of the part's documents there"),
        ]
    ),
)
CANDIDATE = Contract(
    "candidate",
    2,
    pa.schema(
        [
            column("hash", pa.uint64(), "of the id; small ones come first"),
            column("id", pa.string(), "the document"),
            column("lang", pa.string(), "its language; 'und' if unknown"),
            column("source", pa.string(), "its source"),
            column("bytes", pa.int64(), "UTF-8 bytes of its text"),
            column("text", pa.large_string(), "the text"),
        ]
    ),
)


@dataclass(frozen=True)
class TextSample:
    """A Parquet file of columns `lang`, `source`, `text` in hash order, and how it was drawn."""

    file: Path
    documents: int
    text_bytes: int
    documents_seen: int


def draw_sample(
    job: Job[Any], documents: Artifact, bytes_max: int, salt: str, balance: float = 0.0
) -> TextSample:
    """Write up to `bytes_max` bytes of text to a scratch file of `job`.

    Languages, and sources within each, share the bytes in proportion to size ** (1 - balance): 0
    leaves the corpus's own mixture, 1 gives all of them the same. What one lacks goes to the
    others. The last document of each is cut to fit. A corpus of at most `bytes_max` is all taken.
    """
    parts = documents.parts()
    bounds = None
    if documents.text_bytes > bytes_max:
        surveyed = job.map(
            functools.partial(survey, salt), parts, phase="survey", contracts={BINS: SURVEY}
        )
        rows = pl.scan_parquet(_files(job, "survey", surveyed, BINS), glob=False)
        # One row per group and bin, however many parts there are.
        counted = rows.group_by(*GROUP, "bin").sum().collect(engine="streaming")
        bounds = _bounds(counted, bytes_max, balance).rows()
    collected = job.map(
        functools.partial(collect, salt, bounds),
        parts,
        phase="sample",
        contracts={CANDIDATES: CANDIDATE},
    )
    files = _files(job, "sample", collected, CANDIDATES)
    seen = sum(result.value for result in collected)
    path = job.scratch("drawn") / "sample.parquet"
    return _write(path, files, bounds, seen)


def _files(job: Job[Any], phase: str, results: list[PartResult], table: str) -> list[Path]:
    folder = job.scratch(phase)
    return [folder / entry["path"] for result in results for entry in result.files.get(table, [])]


def survey(salt: str, part: Path, sink: Sink) -> None:
    """Write the text bytes of each language, source and hash bin of one part."""
    schema = {"lang": pl.String, "source": pl.String, "bin": pl.Int64, "bytes": pl.Int64}
    frames = [pl.DataFrame(schema=schema)]
    with pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["id", "text", *GROUP])
            rows = pl.DataFrame(
                {
                    "lang": pc.fill_null(table["lang"], UNKNOWN_LANGUAGE),
                    "source": table["source"],
                    "bin": _bins(id_hashes(table["id"], salt)),
                    "bytes": pc.binary_length(table["text"]),
                },
                schema=schema,
            )
            frames.append(rows.group_by(*GROUP, "bin").sum())
    summed = pl.concat(frames).group_by(*GROUP, "bin").sum().sort(*GROUP, "bin")
    sink.write(BINS, summed.to_arrow())


def quotas(sizes: np.ndarray, bytes_max: int, balance: float) -> np.ndarray:
    """Share `bytes_max` among groups of `sizes` bytes (G,) by sizes ** (1 - balance), as int64.

    No group gets more than it has; what it lacks is shared among the others in the same way.
    """
    weights = sizes.astype(np.float64) ** (1 - balance)
    given = np.zeros(len(sizes), np.int64)
    rest = np.arange(len(sizes))
    while len(rest):
        left = bytes_max - int(given.sum())
        shares = left * weights[rest] / weights[rest].sum()
        full = shares >= sizes[rest]
        if not full.any():
            given[rest] = (shares + ROUNDING).astype(np.int64)
            break
        given[rest[full]] = sizes[rest[full]]
        rest = rest[~full]
    return given


def _bounds(counted: pl.DataFrame, bytes_max: int, balance: float) -> pl.DataFrame:
    """Return lang, source, quota in bytes and the last hash bin needed for it."""
    sizes = counted.group_by(GROUP).agg(pl.col("bytes").sum()).sort(GROUP)
    languages = sizes.group_by("lang").agg(pl.col("bytes").sum()).sort("lang")
    of_language = quotas(languages["bytes"].to_numpy(), bytes_max, balance)
    rows = []
    for lang, quota in zip(languages["lang"], of_language.tolist(), strict=True):
        own = sizes.filter(pl.col("lang") == lang)
        shares = quotas(own["bytes"].to_numpy(), quota, balance).tolist()
        for source, share in zip(own["source"], shares, strict=True):
            bins = counted.filter(lang=lang, source=source).sort("bin")
            reached = int(np.searchsorted(bins["bytes"].cum_sum().to_numpy(), share))
            rows.append((lang, source, share, bins["bin"][min(reached, bins.height - 1)]))
    return pl.DataFrame(rows, schema=BOUNDS, orient="row")


def collect(salt: str, bounds: list[Any] | None, part: Path, sink: Sink) -> int:
    """Write one part's documents that `bounds` leave in; return the number of all documents."""
    documents = 0
    with pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["id", "text", *GROUP])
            documents += table.num_rows
            hashes = id_hashes(table["id"], salt)
            columns = {
                "hash": pa.array(hashes),
                "id": table["id"],
                "lang": pc.fill_null(table["lang"], UNKNOWN_LANGUAGE),
                "source": table["source"],
                "bytes": pc.binary_length(table["text"]),
                "text": table["text"],
            }
            found = pa.table(columns)
            if bounds is not None:
                found = found.filter(_within(found, _bins(hashes), bounds))
            sink.write(CANDIDATES, found)
    return documents


def _within(table: pa.Table, bins: np.ndarray, bounds: list[Any]) -> pa.Array:
    groups = pl.DataFrame(table.select(GROUP)).with_columns(bin=bins)
    last = pl.DataFrame(bounds, schema=BOUNDS, orient="row")
    joined = groups.join(last, on=GROUP, how="left", maintain_order="left")
    return joined.select(pl.col("bin") <= pl.col("last_bin")).to_series().to_arrow()


def _bins(hashes: np.ndarray) -> np.ndarray:
    return (hashes >> np.uint64(64 - BIN_BITS)).astype(np.int64)


def _write(path: Path, files: list[Path], bounds: list[Any] | None, seen: int) -> TextSample:
    if not files:
        return TextSample(path, 0, 0, seen)
    frame = pl.scan_parquet(files, glob=False)
    sizes = frame.select("hash", "id", *GROUP, "bytes").collect().sort("hash", "id")
    if bounds is None:
        sizes = sizes.with_columns(quota=pl.lit(None, pl.Int64))
    else:
        limits = pl.DataFrame(bounds, schema=BOUNDS, orient="row").drop("last_bin")
        sizes = sizes.join(limits, on=GROUP, how="left", maintain_order="left")
    left = pl.col("quota") - (pl.col("bytes").cum_sum().over(GROUP) - pl.col("bytes"))
    sizes = sizes.select("hash", "id", left=left).filter((pl.col("left") > 0).fill_null(True))
    chosen = (
        frame.select("hash", "id", *GROUP, "bytes", "text")
        .join(sizes.lazy(), on=["hash", "id"])
        .collect()
        .sort("hash", "id")
    )
    fits = (pl.col("bytes") <= pl.col("left")).fill_null(True)
    cut = chosen.filter(~fits)
    ends = zip(cut["text"], cut["left"], strict=True)
    texts = [text.encode()[:left].decode(errors="ignore") for text, left in ends]
    cut = cut.with_columns(text=pl.Series(texts, dtype=pl.String))
    chosen = pl.concat([chosen.filter(fits), cut]).sort("hash", "id").select(*GROUP, "text")
    with storage.whole_file(path) as temporary:
        chosen.write_parquet(temporary, row_group_size=1024)
    return TextSample(path, chosen.height, int(chosen["text"].str.len_bytes().sum()), seen)
