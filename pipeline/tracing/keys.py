"""64-bit keys of what a document can be asked for by: id, file, address, text.

A key only leads to a row; what stands there is compared with what was asked for.
"""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.characters import BYTES, mix, text_buffers
from pipeline.compiled import kinds, njit
from pipeline.duplicates.signatures import Shingling, compute_signatures
from pipeline.duplicates.urls import canonical_addresses
from pipeline.hashing import hash64

ID, PATH, ADDRESS, TEXT = "id", "path", "address", "text"
ADDRESS_FIELD = "url"  # as readers of web archives and most crawls name it
LANGS = ("en", "zh")  # a spaced and an unspaced one: joiners count in one of them alone
_CONTENT_ALONE = Shingling(words=5, characters=5, bands=1, rows=1, seed=1)
_OFFSETS = kinds.array(kinds.int64, 1, "C", readonly=True)
_PRIME = np.uint64(0x100000001B3)


@njit(kinds.array(kinds.uint64, 1, "C")(BYTES, _OFFSETS, kinds.uint64))
def _hashed(data, rows, seed):
    """FNV-1a (Fowler, Noll, Vo) of each row's bytes, mixed."""
    keys = np.empty(len(rows) - 1, np.uint64)
    for row in range(len(keys)):
        value = seed
        for at in range(rows[row], rows[row + 1]):
            value = (value ^ np.uint64(data[at])) * _PRIME
        keys[row] = mix(value)
    return keys


def keys_of(values: pa.Array | pa.ChunkedArray, kind: str) -> np.ndarray:
    """Return the key of each string (N,) uint64; those of two kinds differ."""
    data, rows = text_buffers(values.cast(pa.large_string()))
    return _hashed(data, rows, np.uint64(hash64(kind)))


def key_of(value: str, kind: str) -> int:
    """Return the key of one string."""
    return int(keys_of(pa.array([value], pa.large_string()), kind)[0])


def text_keys(texts: pa.Array | pa.ChunkedArray, lang: str) -> np.ndarray:
    """Return the keys of texts (N,) uint64: equal where case, width and white space differ alone.

    The folding is deduplication's (`duplicates/normalization.py`).
    """
    return contents_of(texts, lang)[:, 0].astype(np.uint64) ^ np.uint64(hash64(TEXT))


def contents_of(texts: pa.Array | pa.ChunkedArray, lang: str) -> np.ndarray:
    """Return the content hashes of texts (N, 2) int64, 126 bits, as deduplication has them."""
    langs = pa.array([lang] * len(texts), pa.string())
    return compute_signatures(texts, langs, _CONTENT_ALONE).content


def addresses_of(meta: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return the canonical address that each record states, or null."""
    stated = pl.Series("meta", pl.from_arrow(meta.cast(pa.large_string())))
    return canonical_addresses(stated, ADDRESS_FIELD).to_arrow().cast(pa.large_string())


def outer_paths(paths: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return the paths of files, without the name of an archive's member after '!'."""
    chunks = paths.combine_chunks() if isinstance(paths, pa.ChunkedArray) else paths
    return pc.replace_substring_regex(chunks, r"!.*$", "")
