"""GloVe files (Pennington et al. 2014): vectors of words to vectors of tokens.

The file is read by hand: gensim's `load_word2vec_format` refuses words with spaces, of which the
published files have some, and fills a line that lacks numbers without a word.
V vocabulary, N words of a file, W their width.
"""

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
        some = words[start : start + WORDS_AT_ONCE]
        vectors = values_NW[start : start + WORDS_AT_ONCE]
        for spelled in ([f" {word}" for word in some], some):  # within a text, at its beginning
            ids, offsets = tokenizer.encode_batch(spelled)
            lengths = np.diff(offsets)
            np.add.at(sums_VW, ids, vectors[np.repeat(np.arange(len(some)), lengths)])
            np.add.at(counts_V, ids, 1)
            single = np.flatnonzero(lengths == 1)
            for token, word in zip(ids[offsets[single]].tolist(), single.tolist(), strict=True):
                exact.setdefault(token, vectors[word])  # the more frequent of two words is first
    has_vector_V = counts_V > 0
    has_vector_V[: len(CONTROLS)] = False
    values_VW = sums_VW / np.maximum(counts_V, 1)[:, None]
    values_VW[list(exact)] = np.stack(list(exact.values())) if exact else 0.0
    return Vectors(values_VW, has_vector_V)


def read_glove(path: Path) -> tuple[list[str], np.ndarray]:
    """Read at most WORDS_MAX lines of a word, a space and numbers; a header of two numbers is left.

    Words may hold spaces: the numbers are counted from the end, as many as the shortest of the
    first lines has.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="\n") as file:
        lines = [line.rstrip("\r\n") for _, line in zip(range(WORDS_MAX + 1), file, strict=False)]
    header = bool(lines) and len(lines[0].split(" ")) == 2
    lines = [line for line in lines[header:] if line]
    if not lines:
        raise ConfigError(f"{path}: no vectors; give a file with a word and its numbers per line")
    width = min(len(line.split(" ")) for line in lines[:100]) - 1
    fields = [line.rsplit(" ", width) for line in lines]
    try:
        values_NW = np.stack([np.array(numbers, np.float32) for _, *numbers in fields])
    except ValueError:
        wrong = next(i for i, (_, *numbers) in enumerate(fields) if not _is_vector(numbers, width))
        raise ConfigError(
            f"{path}: line {wrong + 1 + header} is not a word and {width} numbers; correct or "
            f"remove it"
        ) from None
    return [word for word, *_ in fields], values_NW


def _is_vector(numbers: list[str], width: int) -> bool:
    try:
        return np.array(numbers, np.float32).shape == (width,)
    except ValueError:
        return False
