"""Word2Vec (Mikolov et al. 2013) on token ids, by gensim."""

from collections.abc import Iterable, Iterator

import numpy as np

from model.embeddings.config import WORD2VEC, EmbeddingConfig, Vectors
from pipeline.shard import iter_documents
from pipeline.stage import Progress, silent
from pipeline.store.artifact import Artifact

BEGIN_SPREAD = 0.3  # of vectors that Word2Vec goes on with
SENTENCE_TOKENS = 10_000  # gensim passes over what comes after that many
WORDS_BETWEEN = 100_000  # reports of progress


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
