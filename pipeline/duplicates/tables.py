"""The tables of deduplication: its index, kept in the artifact, and its scratch files."""

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.schema import Contract, column

CONTENT, ADDRESS, NEAR = 0, 1, 2  # kinds of duplicates, in order of precedence
KIND = column("kind", pa.int8(), "0 same content, 1 same address, 2 similar")

INDEX_EXACT = Contract(
    "index_exact",
    2,
    pa.schema(
        [
            column("key", pa.int64(), "upper half of the hash of content or address, 63 bits"),
            column("check", pa.int64(), "lower half"),
            KIND,
            column("row", pa.int64(), "of the document in its part"),
            column("id", pa.string(), "its id"),
        ]
    ),
    random=("key", "check"),
)
INDEX_BANDS = Contract(
    "index_bands",
    3,
    pa.schema(
        [
            column("key", pa.int64(), "hash of one band of the MinHash signature, 63 bits"),
            column("content", pa.int32(), "equal for exact copies; -1: never compared"),
            column("row", pa.int32(), "of the document in its part"),
        ]
    ),
    random=("key", "content", "row"),  # packing the last takes a twelfth of the stage's time
)
DECISIONS = Contract(
    "dedup_decisions",
    1,
    pa.schema(
        [
            column("document", pa.int64(), "number of a removed document"),
            KIND,
            column("keeper", pa.int64(), "the document that stands for it"),
            column("keeper_id", pa.string(), "its id"),
            column("similarity", pa.float64(), "1 for copies, else exact Jaccard"),
            column("keeper_text", pa.large_string(), "how it begins", nullable=True),
        ]
    ),
)
PAIRS = Contract(
    "dedup_pairs",
    1,
    pa.schema(
        [
            column("id", pa.string(), "a document removed as similar"),
            column("partner", pa.string(), "the one kept"),
            column("similarity", pa.float64(), "exact Jaccard"),
            column("text", pa.large_string(), "how the removed one begins"),
            column("partner_text", pa.large_string(), "how the kept one begins", nullable=True),
        ]
    ),
)
COPIES = Contract(
    "dedup_copies",
    1,
    pa.schema(
        [
            column("document", pa.int64(), "a copy"),
            KIND,
            column("keeper", pa.int64(), "the earliest document of the same key"),
            column("keeper_id", pa.string(), "its id"),
        ]
    ),
)
CANDIDATES = Contract(
    "dedup_candidates",
    1,
    pa.schema(
        [
            column("later", pa.int64(), "second document of a pair"),
            column("earlier", pa.int64(), "first"),
        ]
    ),
    random=("later", "earlier"),
)
SETS = Contract(
    "dedup_sets",
    1,
    pa.schema(
        [
            column("chunk", pa.int64(), "chunk of pairs that needs it"),
            column("document", pa.int64(), "number in corpus order"),
            column("id", pa.string(), "its id"),
            column("text", pa.large_string(), "how it begins"),
            column("shingles", pa.large_list(pa.uint64()), "sorted distinct shingle hashes"),
            column("short", pa.large_string(), "the whole text, if it is short", nullable=True),
        ]
    ),
    random=("chunk", "document", "id", "text", "shingles", "short"),  # soon gone: not packed
)
INDEX_VERIFIED = Contract(
    "index_verified",
    1,
    pa.schema(
        [
            column("pair", pa.int64(), "place among its chunk's pairs, by later, then earlier"),
            column("similarity", pa.float64(), "exact Jaccard of their shingle sets"),
            column("earlier_id", pa.string(), "id of the first"),
            column("earlier_text", pa.large_string(), "how the first begins"),
        ]
    ),
)
INDEX_MARKS = Contract(
    "index_marks",
    3,
    pa.schema(
        [
            column("key", pa.int64(), "upper half of the passage's hash, 63 bits"),
            column("check", pa.int32(), "some of the lower half"),
            column("kind", pa.int8(), "place in passages.KINDS"),
            column("row", pa.int64(), "of the document in its part"),
            column("start", pa.int64(), "first byte in its text"),
            column("bytes", pa.int64(), "length in its text"),
            column("position", pa.int64(), "visible characters before it"),
            column("id", pa.string(), "the document's id"),
        ]
    ),
    random=("key", "check"),
)
CUT = Contract(
    "passage_cut",
    1,
    pa.schema(
        [
            column("id", pa.string(), "the document"),
            column("change", pa.string(), "line, paragraph or substring"),
            column("start", pa.int64(), "first byte taken out of its text"),
            column("end", pa.int64(), "byte after the last"),
            column("partner", pa.string(), "a kept document that has it"),
        ]
    ),
)
SIGNATURES, VERIFIED, MARKS = "signatures", "verified", "marks"  # phases whose tables are kept
INDEX = {
    "index_exact": INDEX_EXACT,
    "index_bands": INDEX_BANDS,
    "index_verified": INDEX_VERIFIED,
    "index_marks": INDEX_MARKS,
}
SCRATCH = {"copies": COPIES, "candidates": CANDIDATES, "sets": SETS}


def cluster_sizes(rejects: pl.LazyFrame) -> pl.LazyFrame:
    """Count the documents each kept one stands for, itself too: id, cluster_size (2 or more)."""
    return (
        rejects.filter(pl.col("partner").is_not_null())
        .group_by(id="partner")
        .agg(cluster_size=pl.len().cast(pl.Int64) + 1)
    )


def spread_pairs(pairs: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return at most `count` rows of PAIRS, from the least similar to the most in even steps."""
    ordered = pairs.sort("similarity", "id")
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round()
    return ordered[places.astype(np.int64)]
