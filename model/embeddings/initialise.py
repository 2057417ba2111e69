"""First values of the embedding: random, Word2Vec trained on the shards, or a GloVe text file.

Rows that a source says nothing of stay random, and all have the spread of random ones, since the
rest of the network expects that. V vocabulary, D width, N words of a file, W their width.
"""

import gzip
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model.network.families import AnyNetwork
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile
from pipeline.shard import iter_documents
from pipeline.stage import Progress, silent
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.store.loading import reading
from pipeline.tokenizer import CONTROLS, Tokenizer

logger = logging.getLogger(__name__)

RANDOM, WORD2VEC, GLOVE = "random", "word2vec", "glove"
INITS = (RANDOM, WORD2VEC, GLOVE)
SPREAD = 0.02  # standard deviation of random embeddings here, as in GPT-2
BEGIN_SPREAD = 0.3  # of vectors that Word2Vec goes on with
SENTENCE_TOKENS = 10_000  # gensim passes over what comes after that many
WORDS_AT_ONCE = 20_000
WORDS_BETWEEN = 100_000  # reports of progress
WORDS_MAX = 400_000  # GloVe files are sorted by frequency; later words are rare


@dataclass(frozen=True)
class EmbeddingConfig:
    """Where the embedding's first values come from.

    `word2vec`: skip-gram with negative sampling (Mikolov et al. 2013) over the training tokens, by
    gensim. `glove`: lines of a word and its numbers (Pennington et al. 2014) in `file`, which the
    other ways pass by.
    """

    init: str = RANDOM
    file: InputFile | None = None
    window: int = 5
    negative: int = 5
    epochs: int = 3
    tokens_max: int = 5_000_000  # of the shards, for word2vec

    def __post_init__(self) -> None:
        if self.init not in INITS:
            raise ConfigError(
                f"train.embeddings.init: {self.init!r}, wanted one of {', '.join(INITS)}"
            )
        if self.init == GLOVE and self.file is None:
            raise ConfigError(
                "train.embeddings.init = 'glove' needs a file, as in --set "
                '\'train.embeddings = {init = "glove", file = {path = "vectors.txt"}}\''
            )
        for name in ("window", "negative", "epochs", "tokens_max"):
            if getattr(self, name) < 1:
                raise ConfigError(f"train.embeddings.{name}: {getattr(self, name)}, wanted above 0")


@dataclass(frozen=True)
class Vectors:
    """What a source says: `values_VW` of the rows `known_V`; the others are zeros."""

    values_VW: np.ndarray
    known_V: np.ndarray


def initialise(
    network: AnyNetwork,
    config: EmbeddingConfig,
    shards: Artifact,
    tokenizer: Tokenizer,
    *,
    seed: int,
    note: Path,
    progress: Progress = silent,
) -> int:
    """Fill the rows that the configured source knows and return how many those are.

    `note` keeps what was computed, for a run that goes on after a stop.
    """
    if config.init == RANDOM:
        return 0
    width = network.config.width
    if not note.exists():
        made = (
            word2vec(shards, tokenizer.vocab_size, width, config, seed, progress)
            if config.init == WORD2VEC
            else glove(config.file, tokenizer)
            if config.file is not None
            else None
        )
        assert made is not None  # the config was checked
        with storage.whole_file(note) as temporary, temporary.open("wb") as file:
            np.savez(file, values_VW=fitted(made, width), known_V=made.known_V)
    with reading(note, "embeddings of this run"), np.load(note, allow_pickle=False) as kept:
        values_VW, known_V = kept["values_VW"], kept["known_V"]
    table_VD = network.embed_tokens.weight
    with torch.no_grad():
        rows_V = torch.from_numpy(np.flatnonzero(known_V)).to(table_VD.device)
        found = torch.from_numpy(values_VW[known_V]).to(table_VD)
        table_VD[rows_V, : found.shape[1]] = found
    logger.info("%d of %d embeddings from %s", known_V.sum(), len(known_V), config.init)
    return int(known_V.sum())


def fitted(found: Vectors, width: int) -> np.ndarray:
    """Return centred values of the usual spread, at most `width` wide.

    Wider ones are turned to their principal axes, of which the first `width` are kept.
    """
    known = found.values_VW[found.known_V].astype(np.float64)
    known -= known.mean(axis=0)
    if known.shape[1] > width:
        strengths, axes = np.linalg.eigh(known.T @ known)
        known = known @ axes[:, np.argsort(-strengths)[:width]]
    values_VW = np.zeros((len(found.known_V), known.shape[1]), np.float32)
    values_VW[found.known_V] = known * (SPREAD / max(known.std(), 1e-12))
    return values_VW


def word2vec(
    shards: Artifact,
    vocab_size: int,
    width: int,
    config: EmbeddingConfig,
    seed: int,
    progress: Progress = silent,
) -> Vectors:
    """Train Word2Vec on the training split's tokens; the same shards and seed give the same."""
    sentences = _Sentences(shards, vocab_size, config.tokens_max)
    return skip_gram(sentences, vocab_size, width, config, seed, progress=progress)


def skip_gram(
    sentences: Iterable[list[str]],
    vocab_size: int,
    width: int,
    config: EmbeddingConfig,
    seed: int,
    begin_VD: np.ndarray | None = None,
    progress: Progress = silent,
) -> Vectors:
    """Train Word2Vec on sentences of names of ids, from `begin_VD` (V, D) instead of random ones.

    What it begins with is centred and brought to a spread of BEGIN_SPREAD, that of trained vectors.
    """
    from gensim.models import (
        Word2Vec,
    )  # takes a second to load, which most trainings can do without

    model = Word2Vec(
        vector_size=width, window=config.window, negative=config.negative, sg=1, min_count=1,
        seed=seed, workers=1,  # with more, threads race for the weights
    )  # fmt: skip
    model.build_vocab(sentences)
    found = np.array([int(name) for name in model.wv.index_to_key])
    if begin_VD is not None:
        begin = begin_VD[found] - begin_VD[found].mean(axis=0)
        model.wv.vectors[:] = begin * (BEGIN_SPREAD / max(begin.std(), 1e-12))
    told = _Told(sentences, model.corpus_total_words * config.epochs, progress)
    model.train(told, total_examples=model.corpus_count, epochs=config.epochs)
    values_VD = np.zeros((vocab_size, width), np.float32)
    values_VD[found] = model.wv.vectors
    known_V = np.zeros(vocab_size, bool)
    known_V[found] = True
    return Vectors(values_VD, known_V)


def names_of(vocab_size: int) -> np.ndarray:
    """Return the names (V,) by which gensim knows ids."""
    return np.array([str(token) for token in range(vocab_size)], object)


class _Told:
    """Sentences that tell how many of all words have been read, over as many passes as there are.

    gensim reads a little ahead of what it has learned.
    """

    def __init__(self, sentences: Iterable[list[str]], words: int, progress: Progress):
        self._sentences, self._words, self._progress = sentences, words, progress
        self._read = 0

    def __iter__(self) -> Iterator[list[str]]:
        for sentence in self._sentences:
            yield sentence
            before, self._read = self._read, self._read + len(sentence)
            if before // WORDS_BETWEEN < self._read // WORDS_BETWEEN or self._read == self._words:
                self._progress(WORD2VEC, self._read, self._words)


class _Sentences:
    """The documents of the training split as lists of names of ids, as often as gensim asks."""

    def __init__(self, shards: Artifact, vocab_size: int, tokens_max: int):
        self._shards, self._left = shards, tokens_max
        self._names = names_of(vocab_size)

    def __iter__(self) -> Iterator[list[str]]:
        left = self._left
        for batch in iter_documents(self._shards, "train", ["tokens"]):
            tokens = batch.column("tokens")
            ids = tokens.flatten().to_numpy(zero_copy_only=False)
            ends = tokens.value_lengths().to_numpy(zero_copy_only=False).cumsum()
            for document in np.split(ids, ends[:-1]):
                for start in range(0, min(len(document), left), SENTENCE_TOKENS):
                    piece = document[start : min(start + SENTENCE_TOKENS, left)]
                    yield self._names[piece].tolist()
                left -= min(len(document), left)
            if left <= 0:
                return


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
