"""Where the embedding's first values come from: the settings of `[train.embeddings]`."""

from dataclasses import dataclass

import numpy as np

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
