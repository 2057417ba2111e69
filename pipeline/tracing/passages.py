"""Documents that hold a piece of text, found by reading: a row group in memory at a time.

First as it stands, by Arrow's search; where nobody has it so, with case, width and white space
folded. What the index finds at once (whole documents) needs none of this.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from pipeline.store.loading import reading

PIECE_BYTES_MIN = 16  # five or six Chinese characters, three English words
SPACE = r"\s+"


def holding_piece(parts: Mapping[str, Path], piece: str) -> Iterator[tuple[str, int]]:
    """Yield (SHA-256 of a part, row) of documents that hold a piece; other tables are passed by.

    Raises ConfigError for a piece that is too short to tell documents apart.
    """
    if len(piece.strip().encode()) < PIECE_BYTES_MIN:
        raise ConfigError(
            f"trace: {len(piece.strip().encode())} bytes of text, wanted {PIECE_BYTES_MIN} or more "
            f"of what a document says, or the whole of it; a document's id is given without --text"
        )
    for wanted, fold in ((piece.strip(), False), (_folded_piece(piece), True)):
        nothing = True
        for part, path in parts.items():
            for row in _rows(path, wanted, fold=fold):
                nothing = False
                yield part, row
        if not nothing:
            return


def _rows(part: Path, piece: str, *, fold: bool) -> Iterator[int]:
    with reading(part, "a Parquet file"), pq.ParquetFile(part) as file:
        if "text" not in file.schema_arrow.names:
            return
        first = 0
        for group in range(file.num_row_groups):
            texts = file.read_row_group(group, columns=["text"])["text"]
            own = folded(texts) if fold else texts
            found = pc.match_substring(own, piece).to_numpy(zero_copy_only=False)
            yield from (first + np.flatnonzero(found)).tolist()
            first += len(texts)


def folded(texts: pa.ChunkedArray) -> pa.Array:
    """Return texts in NFKC and lower case, runs of white space as one space."""
    normal = pl.Series(pl.from_arrow(pc.utf8_normalize(texts, "NFKC")))
    return normal.str.to_lowercase().str.replace_all(SPACE, " ").to_arrow()


def _folded_piece(piece: str) -> str:
    return str(folded(pa.chunked_array([pa.array([piece.strip()], pa.large_string())]))[0].as_py())
