"""How a tokenizer fits a corpus, part by part: a part that was measured is not measured again.

Measured is a share of the documents that halves as the corpus doubles, chosen by a hash of their
ids, and of a very long document its beginning: about MEASURED_BYTES in all, seconds of encoding.
Small corpora are measured whole. The share is a power of two, so it holds for most parts and runs.
"""

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.hashing import id_hashes
from pipeline.schema import UNKNOWN_LANGUAGE
from pipeline.stage import Job
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.store.sink import Sink
from pipeline.tokenizer import load_tokenizer
from pipeline.tokenizing.report import COUNTED, Fit, measure_texts

FIT = "fit"  # phase: what it finds in a part stays with the artifact
MEASURED_BYTES = 8 << 20
DOCUMENTS_MIN = 256  # measured at least, where there are so many
DOCUMENT_BYTES_MIN = 1 << 16  # measured of one document at least
COLUMNS = ["id", "text", "lang", "source"]


class MeasuredShare(NamedTuple):
    """One in 2 ** `halvings` documents, of each at most its first `document_bytes`."""

    halvings: int
    document_bytes: int


def share_of(documents: int, text_bytes: int) -> MeasuredShare:
    """Return what is measured of a corpus of so many documents and bytes of text."""
    by_bytes = math.ceil(math.log2(max(1, text_bytes / MEASURED_BYTES)))
    by_count = int(math.log2(max(1, documents / DOCUMENTS_MIN)))
    halvings = min(by_bytes, by_count)
    chosen = max(1, documents >> halvings)
    fair = 1 << math.ceil(math.log2(4 * MEASURED_BYTES / chosen)) if chosen else 0
    return MeasuredShare(halvings, max(DOCUMENT_BYTES_MIN, fair))


def fit_of(job: Job[Any], documents: Artifact, model: Path) -> Fit:
    """Measure a tokenizer on the documents of an artifact."""
    share = share_of(documents.rows, documents.text_bytes)
    sha256 = storage.sha256_of(model)
    measured = job.map_batches(
        functools.partial(measure_parts, share, model),
        documents.parts(),
        documents.part_bytes(),
        FIT,
        keys=[[digest, sha256, *share] for digest in documents.part_digests()],
    )
    vocab_size = load_tokenizer(model).vocab_size
    uses = np.zeros(vocab_size, np.int64)
    rows: list[dict[str, Any]] = []
    for result in measured:
        bits = np.frombuffer(bytes.fromhex(result.value["used"]), np.uint8)
        uses += np.unpackbits(bits, count=vocab_size)
        rows += result.value["by_source"]
    schema = {"lang": pl.String, "source": pl.String, **dict.fromkeys(COUNTED, pl.Int64)}
    table = pl.DataFrame(rows, schema=schema).group_by("lang", "source").sum()
    return Fit(table.sort("lang", "source"), uses)


def measure_parts(
    share: MeasuredShare, model: Path, parts: list[Path], sinks: list[Sink]
) -> Iterator[dict[str, Any]]:
    """Return of each part the rows of `Fit.by_source` and, bit by bit, which ids were used."""
    tokenizer = load_tokenizer(model)
    for part in parts:
        fits = [measure_texts(tokenizer, texts) for texts in _chosen(part, share)]
        used = sum((fit.uses for fit in fits), np.zeros(tokenizer.vocab_size, np.int64))
        by_source = [row for fit in fits for row in fit.by_source.to_dicts()]
        yield {"by_source": by_source, "used": np.packbits(used > 0).tobytes().hex()}


def _chosen(part: Path, share: MeasuredShare) -> Iterator[pl.DataFrame]:
    """Yield the chosen documents of a part's row groups: lang, source, text."""
    with pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=COLUMNS)
            if share.halvings:
                hashes = id_hashes(table["id"], FIT)
                table = table.filter(pa.array(hashes >> np.uint64(64 - share.halvings) == 0))
            if not table.num_rows:
                continue
            yield pl.DataFrame(
                {
                    "lang": pc.fill_null(table["lang"], UNKNOWN_LANGUAGE),
                    "source": table["source"],
                    "text": [_beginning(text, share) for text in table["text"].to_pylist()],
                }
            )


def _beginning(text: str, share: MeasuredShare) -> str:
    if len(text) <= share.document_bytes // 4:  # of 4 bytes at most each
        return text
    return text.encode()[: share.document_bytes].decode(errors="ignore")
