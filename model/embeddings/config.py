"""Where the embedding's first values come from: the settings of `[train.embeddings]`."""

from dataclasses import dataclass

import numpy as np

from pipeline.config_checks import AtLeast, OneOf, require
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile

RANDOM, WORD2VEC, GLOVE = "random", "word2vec", "glove"
INITS = (RANDOM, WORD2VEC, GLOVE)


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
        one = AtLeast(1)
        require(
            self,
            "train.embeddings",
            init=OneOf(INITS),
            window=one,
            negative=one,
            epochs=one,
            tokens_max=one,
        )
        if self.init == GLOVE and self.file is None:
            raise ConfigError(
                "train.embeddings.file: off, wanted a file of vectors for init 'glove'; give one, "
                "as in --set "
                '\'train.embeddings = {init = "glove", file = {path = "vectors.txt"}}\''
            )


@dataclass(frozen=True)
class Vectors:
    """Vectors from a source: `values_VW` of the rows `has_vector_V`; the others are zeros."""

    values_VW: np.ndarray
    has_vector_V: np.ndarray
