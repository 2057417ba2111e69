"""SentencePiece's ids for whole columns of text, several times as fast.

Written by hand for that speed: `tests/bench/bench_encode.py` measures it and asserts the same ids.
"""

import functools
import logging

import numpy as np
import pyarrow as pa

from pipeline.characters import text_buffers
from pipeline.encoding.rows import IDS_PADDING, TEXT_PADDING, encode_rows
from pipeline.encoding.segment_cache import empty_cache
from pipeline.encoding.tables import build_tables, skip_reason
from pipeline.vocabulary import Vocabulary, read_vocabulary

CHUNK_BYTES = 4 << 20  # encoded at once: 4 bytes of ids and 8 of cuts may be needed per byte
_log = logging.getLogger(__name__)


class CompiledEncoder:
    """The compiled encoder of one model; its cache makes it faster, never different."""

    def __init__(self, vocabulary: Vocabulary):
        self._tables = build_tables(vocabulary)
        self._cache = empty_cache()

    def encode(self, texts: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
        """Return all ids end to end (int32, N) and where each text starts (int64, texts + 1).

        U+2581 in a text is three byte ids, and what stands before and after it two texts; without
        byte fallback it is a space. `texts` is a column of strings without nulls.
        """
        data, offsets = text_buffers(texts)
        chunks = [np.zeros(0, np.int32)]
        starts = np.zeros(len(offsets), np.int64)
        first, rows = 0, len(offsets) - 1
        while first < rows:
            last = int(np.searchsorted(offsets, offsets[first] + CHUNK_BYTES))
            last = min(max(last, first + 1), rows)
            ids, ends = self._encode(data, offsets[first : last + 1])
            starts[first + 1 : last + 1] = starts[first] + ends
            chunks.append(ids)
            first = last
        return np.concatenate(chunks), starts

    def _encode(self, data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = int(offsets[-1] - offsets[0])
        text = np.zeros(size + TEXT_PADDING, np.uint8)
        text[:size] = data[offsets[0] : offsets[-1]]
        ids = np.empty(size + IDS_PADDING, np.int32)
        ends = np.zeros(len(offsets) - 1, np.int64)
        encode_rows(text, offsets - offsets[0], self._tables, self._cache, ids, ends)
        return ids[: ends[-1]].copy(), ends


@functools.lru_cache(maxsize=2)  # 13 MB each
def encoder_of(model: bytes) -> CompiledEncoder | None:
    """Return the encoder of a .model file, None if SentencePiece itself has to encode.

    One for all the parts that a process encodes: they share its cache.
    """
    vocabulary = read_vocabulary(model)
    reason = skip_reason(vocabulary)
    if reason is None:
        return CompiledEncoder(vocabulary)
    _log.warning("this tokenizer has %s: SentencePiece itself encodes, which is slower", reason)
    return None
