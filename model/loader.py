"""Shards to batches: the batch of a step is a pure function of seed, shards and step.

The tokens of a split are laid end to end, `<|bos|>` document `<|eos|>`, in one mapped file; a
window of context + 1 tokens starts at every multiple of the context, so every token is predicted
once per epoch; each epoch visits the windows in its own seeded order.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import storage
from pipeline.artifact import Artifact
from pipeline.errors import TrainingError
from pipeline.shard import iter_documents
from pipeline.tokenizer import Tokenizer


@dataclass(frozen=True)
class TokenFile:
    """A split's tokens on disk, one smallest unsigned integer each."""

    path: Path
    dtype: np.dtype

    def __len__(self) -> int:
        """Count the tokens."""
        return self.path.stat().st_size // self.dtype.itemsize

    def tokens(self) -> np.ndarray:
        """Map the tokens into memory (N,)."""
        if len(self) == 0:
            return np.zeros(0, self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r")


def token_file(shards: Artifact, split: str, tokenizer: Tokenizer, folder: Path) -> TokenFile:
    """Write a split's tokens to `folder` unless they are there; memory is bounded by a row group.

    Raises TrainingError if the shards were made with another tokenizer.
    """
    if shards.stats["tokenizer_sha256"] != tokenizer.fingerprint:
        raise TrainingError(
            f"{shards.path}: tokenised with {shards.stats['tokenizer_sha256'][:16]}, the tokenizer "
            f"given is {tokenizer.fingerprint[:16]}; run `shard` again with this tokenizer"
        )
    dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32)
    path = folder / f"{split}.tokens"
    if not path.exists():
        with storage.whole_file(path) as temporary, temporary.open("wb") as file:
            for batch in iter_documents(shards, split, ["tokens"]):
                file.write(framed(batch.column("tokens"), tokenizer, dtype).tobytes())
    return TokenFile(path, dtype)


def framed(tokens: pa.ListArray, tokenizer: Tokenizer, dtype: np.dtype) -> np.ndarray:
    """Return the lists end to end, each between `<|bos|>` and `<|eos|>`."""
    lengths = tokens.value_lengths().to_numpy()
    ends = np.cumsum(lengths + 2)
    starts = ends - lengths - 2
    result = np.empty(int(ends[-1]) if len(ends) else 0, dtype)
    inner = np.ones(len(result), bool)
    inner[starts] = inner[ends - 1] = False
    result[starts], result[ends - 1] = tokenizer.bos_id, tokenizer.eos_id
    result[inner] = tokens.flatten().to_numpy()
    return result


@dataclass
class Loader:
    """Batches of windows over a token file."""

    source: TokenFile
    context: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        self._tokens = self.source.tokens()
        self.windows = max(0, len(self._tokens) - 1) // self.context
        if self.windows == 0:
            raise TrainingError(
                f"{len(self._tokens)} training tokens are less than one window of "
                f"{self.context + 1}; give more text or lower train.model.context"
            )
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    @property
    def tokens(self) -> int:
        """Tokens of the split, controls included."""
        return len(self._tokens)

    @property
    def leftover(self) -> int:
        """Tokens at the end that fill no window."""
        return len(self._tokens) - (self.windows * self.context + 1)

    def batch(self, step: int) -> np.ndarray:
        """Return the token ids (batch_size, context + 1), int64, of 0-based `step`."""
        first = step * self.batch_size
        rows = [self._window(first + i) for i in range(self.batch_size)]
        return np.stack(rows).astype(np.int64)

    def _window(self, ordinal: int) -> np.ndarray:
        epoch, index = divmod(ordinal, self.windows)
        if self._order[0] != epoch:
            generator = np.random.Generator(np.random.PCG64([self.seed, epoch]))
            self._order = (epoch, generator.permutation(self.windows))
        start = int(self._order[1][index]) * self.context
        return self._tokens[start : start + self.context + 1]


def spread_windows(source: TokenFile, context: int, windows: int) -> np.ndarray:
    """Return up to `windows` windows, evenly spread over a split (N, context + 1), int64."""
    tokens = source.tokens()
    available = max(0, len(tokens) - 1) // context
    count = min(windows, available)
    starts = [i * available // count * context for i in range(count)]
    rows = [tokens[start : start + context + 1] for start in starts]
    return np.stack(rows).astype(np.int64) if rows else np.zeros((0, context + 1), np.int64)
