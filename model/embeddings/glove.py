"""GloVe files (Pennington et al. 2014): vectors of words to vectors of tokens."""

import gzip
from pathlib import Path

import numpy as np

from model.embeddings.config import Vectors
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile
from pipeline.tokenizer import CONTROLS, Tokenizer

WORDS_AT_ONCE = 20_000
WORDS_MAX = 400_000  # GloVe files are sorted by frequency; later words are rare


def glove(file: InputFile, tokenizer: Tokenizer) -> Vectors:
    """Return vectors of tokens: of the word that a token is, else the mean of words it is part of.

    Raises ConfigError naming the line that is not a word and numbers.
    """
    words, values_NW = read_glove(file.existing())
    sums_VW = np.zeros((tokenizer.vocab_size, values_NW.shape[1]))
    counts_V = np.zeros(tokenizer.vocab_size)
    exact: dict[int, np.ndarray] = {}
    for start in range(0, len(words), WORDS_AT_ONCE):
        few, vectors = (
            words[start : start + WORDS_AT_ONCE],
            values_NW[start : start + WORDS_AT_ONCE],
        )
        for written in ([f" {word}" for word in few], few):  # within a text, and at its beginning
            ids, offsets = tokenizer.encode_batch(written)
            lengths = np.diff(offsets)
            np.add.at(sums_VW, ids, vectors[np.repeat(np.arange(len(few)), lengths)])
            np.add.at(counts_V, ids, 1)
            whole = np.flatnonzero(lengths == 1)
            for token, word in zip(ids[offsets[whole]].tolist(), whole.tolist(), strict=True):
                exact.setdefault(token, vectors[word])  # the more frequent of two words is first
    known_V = counts_V > 0
    known_V[: len(CONTROLS)] = False
    values_VW = sums_VW / np.maximum(counts_V, 1)[:, None]
    values_VW[list(exact)] = np.stack(list(exact.values())) if exact else 0.0
    return Vectors(values_VW, known_V)


def read_glove(path: Path) -> tuple[list[str], np.ndarray]:
    """Read at most WORDS_MAX lines of a word, a space and numbers; a header of two numbers is left.

    Words may hold spaces: the numbers are counted from the end, as many as the second line has.
    """
    reading = gzip.open if path.suffix == ".gz" else open
    with reading(path, "rt", encoding="utf-8", newline="\n") as file:
        lines = [line.rstrip("\r\n") for _, line in zip(range(WORDS_MAX + 1), file, strict=False)]
    header = bool(lines) and len(lines[0].split(" ")) == 2
    lines = [line for line in lines[header:] if line]
    if not lines:
        raise ConfigError(f"{path}: no vectors; give a file with a word and its numbers per line")
    width = min(len(line.split(" ")) for line in lines[:100]) - 1
    cut = [line.rsplit(" ", width) for line in lines]
    try:
        numbers = [np.array(fields[1:], np.float32) for fields in cut]
        values_NW = np.stack(numbers)
    except ValueError:
        wrong = next(i for i, fields in enumerate(cut) if not _is_vector(fields[1:], width))
        raise ConfigError(
            f"{path}: line {wrong + 1 + header} is not a word and {width} numbers; correct or "
            f"remove it"
        ) from None
    return [fields[0] for fields in cut], values_NW


def _is_vector(fields: list[str], width: int) -> bool:
    try:
        return np.array(fields, np.float32).shape == (width,)
    except ValueError:
        return False
