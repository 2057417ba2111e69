"""How well a tokenizer fits text: tokens per word, bytes per token, byte fallback, round trips."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pipeline.cleaning.counts import counts
from pipeline.vocabulary import PieceType, read_vocabulary

BATCH_ROWS = 256
COUNTED = (
    "documents",
    "bytes",
    "characters",
    "words",
    "tokens",
    "byte_tokens",
    "round_trip_failures",
)


class AnyTokenizer(Protocol):
    """What is measured; `Tokenizer` is one."""

    vocab_size: int

    def encode_batch(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return all ids end to end (N,) and where each text starts (texts + 1,)."""
        ...

    def decode(self, ids: np.ndarray) -> str:
        """Return the text of ids."""
        ...

    def is_byte(self, token_id: int) -> bool:
        """Tell whether an id stands for one byte of a character."""
        ...


@dataclass(frozen=True)
class Fit:
    """What was measured: COUNTED per language and source; `uses` (V,) is 0 where an id had none."""

    by_source: pl.DataFrame
    uses: np.ndarray

    def by_language(self) -> pl.DataFrame:
        """Return COUNTED per language, after a row 'all'."""
        rows = self.by_source.drop("source").group_by("lang").sum().sort("lang")
        everything = rows.drop("lang").sum().select(pl.lit("all").alias("lang"), pl.all())
        return pl.concat([everything, rows])


def measure(tokenizer: AnyTokenizer, sample: Path) -> Fit:
    """Measure the documents of a Parquet file (lang, source, text)."""
    fits = []
    with pq.ParquetFile(sample) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            fits.append(measure_texts(tokenizer, frame))
    rows = pl.concat([fit.by_source for fit in fits]).group_by("lang", "source").sum()
    return Fit(rows.sort("lang", "source"), np.sum([fit.uses for fit in fits], axis=0))


def measure_texts(tokenizer: AnyTokenizer, frame: pl.DataFrame) -> Fit:
    """Measure documents (lang, source, text).

    All of them are decoded again. A word is what `pipeline/cleaning/words.py` says it is.
    """
    texts = frame["text"].to_list()
    ids, offsets = tokenizer.encode_batch(texts)
    byte_tokens = np.concatenate([[0], np.cumsum(_byte_ids(tokenizer)[ids])])
    failures = [
        tokenizer.decode(ids[start:end]) != text
        for text, start, end in zip(texts, offsets[:-1], offsets[1:], strict=True)
    ]
    measured = frame.select(
        "lang",
        "source",
        documents=pl.lit(1, pl.Int64),
        bytes=pl.col("text").str.len_bytes().cast(pl.Int64),
        characters=pl.col("text").str.len_chars().cast(pl.Int64),
        words=counts(frame["text"].to_arrow(), frame["lang"])["words"],
        tokens=pl.Series(np.diff(offsets)),
        byte_tokens=pl.Series(np.diff(byte_tokens[offsets])),
        round_trip_failures=pl.Series(failures, dtype=pl.Int64),
    )
    rows = measured.group_by("lang", "source").sum().sort("lang", "source")
    return Fit(rows, np.bincount(ids, minlength=tokenizer.vocab_size))


def _byte_ids(tokenizer: AnyTokenizer) -> np.ndarray:
    """Tell of each id whether it stands for one byte (V,)."""
    return np.array([tokenizer.is_byte(i) for i in range(tokenizer.vocab_size)])


def unused_pieces(model: bytes, uses: np.ndarray) -> list[str]:
    """Return the pieces for text that no measured text used, in the order of their ids."""
    vocabulary = read_vocabulary(model)
    pieces = vocabulary.of_type(PieceType.NORMAL, PieceType.USER_DEFINED)
    return [vocabulary.pieces[i] for i in pieces if not uses[i]]
