"""64 bits of a BLAKE2b hash: what orders, splits and seeds without state, the same everywhere."""

import hashlib

import numpy as np
import pyarrow as pa

_BYTES = 8


def hash64(text: str) -> int:
    """Return 64 evenly spread bits of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=_BYTES).digest(), "little")


def id_hashes(ids: pa.ChunkedArray | pa.Array, salt: str) -> np.ndarray:
    """Return 64 evenly spread bits per id (uint64), others for each `salt`."""
    key = hashlib.blake2b(salt.encode(), digest_size=32).digest()
    digests = b"".join(
        hashlib.blake2b(text.encode(), digest_size=_BYTES, key=key).digest()
        for text in ids.to_pylist()
    )
    return np.frombuffer(digests, "<u8").astype(np.uint64)
