"""Word2Vec (Mikolov et al. 2013) on token ids, by gensim. V vocabulary, D width."""

from collections.abc import Iterable, Iterator

import numpy as np

from model.embeddings.config import WORD2VEC, EmbeddingConfig, Vectors
from pipeline.shard import iter_documents
from pipeline.stage import Progress, silent
from pipeline.store.artifact import Artifact

START_SPREAD = 0.3  # of vectors that training starts from, that of trained ones
SENTENCE_TOKENS = 10_000  # gensim passes over what comes after that many
WORDS_BETWEEN = 100_000  # reports of progress


def word2vec(
    shards: Artifact,
    shape: tuple[int, int],
    config: EmbeddingConfig,
    seed: int,
    progress: Progress = silent,
) -> Vectors:
    """Train Word2Vec on the training split's tokens; the same shards and seed give the same.

    `shape` is (V, D).
    """
    sentences = _Sentences(shards, shape[0], config.tokens_max)
    return skip_gram(sentences, shape, config, seed, progress=progress)


def skip_gram(
    sentences: Iterable[list[str]],
    shape: tuple[int, int],
    config: EmbeddingConfig,
    seed: int,
    start_VD: np.ndarray | None = None,
    progress: Progress = silent,
) -> Vectors:
    """Train Word2Vec on sentences of names of ids, from `start_VD` instead of random vectors.

    The start is centred and brought to a spread of START_SPREAD. `shape` is (V, D).
    """
    from gensim.models import Word2Vec  # a second to load, which most trainings can do without

    vocab_size, width = shape
    model = Word2Vec(
        vector_size=width,
        window=config.window,
        negative=config.negative,
        sg=1,
        min_count=1,
        seed=seed,
        workers=1,  # with more, threads race for the weights
    )
    model.build_vocab(sentences)
    ids_N = np.array([int(name) for name in model.wv.index_to_key])
    if start_VD is not None:
        start_ND = start_VD[ids_N] - start_VD[ids_N].mean(axis=0)
        model.wv.vectors[:] = start_ND * (START_SPREAD / max(start_ND.std(), 1e-12))
    reporting = _ReportingSentences(sentences, model.corpus_total_words * config.epochs, progress)
    model.train(reporting, total_examples=model.corpus_count, epochs=config.epochs)
    values_VD = np.zeros((vocab_size, width), np.float32)
    values_VD[ids_N] = model.wv.vectors
    has_vector_V = np.zeros(vocab_size, bool)
    has_vector_V[ids_N] = True
    return Vectors(values_VD, has_vector_V)


def token_names(vocab_size: int) -> np.ndarray:
    """Return the names (V,) by which gensim knows ids."""
    return np.array([str(token) for token in range(vocab_size)], object)


class _ReportingSentences:
    """Sentences that report how many of all words have been read, over all passes together.

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
    """The documents of the training split as lists of names of ids, as often as gensim iterates."""

    def __init__(self, shards: Artifact, vocab_size: int, tokens_max: int):
        self._shards, self._tokens_max = shards, tokens_max
        self._names_V = token_names(vocab_size)

    def __iter__(self) -> Iterator[list[str]]:
        left = self._tokens_max
        for batch in iter_documents(self._shards, "train", ["tokens"]):
            tokens = batch.column("tokens")
            ids = tokens.flatten().to_numpy(zero_copy_only=False)
            ends = tokens.value_lengths().to_numpy(zero_copy_only=False).cumsum()
            for document in np.split(ids, ends[:-1]):
                for start in range(0, min(len(document), left), SENTENCE_TOKENS):
                    piece = document[start : min(start + SENTENCE_TOKENS, left)]
                    yield self._names_V[piece].tolist()
                left -= min(len(document), left)
            if left <= 0:
                return
