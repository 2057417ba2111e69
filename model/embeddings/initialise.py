"""First values of the embedding: random, Word2Vec trained on the shards, or a GloVe text file.

Rows without a vector stay random, and all have the spread of random ones, since the rest of the
network expects that. V vocabulary, D width, N words of a file, W their width.
"""

import logging
from pathlib import Path

import numpy as np
import torch

from model.embeddings.config import RANDOM, WORD2VEC, EmbeddingConfig, Vectors
from model.embeddings.glove import glove
from model.embeddings.word2vec import word2vec
from model.network.families import AnyNetwork
from pipeline.stage import Progress, silent
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.store.loading import reading
from pipeline.tokenizer import load_tokenizer

logger = logging.getLogger(__name__)

SPREAD = 0.02  # standard deviation of random embeddings here, as in GPT-2


def initialise_embeddings(
    network: AnyNetwork,
    config: EmbeddingConfig,
    shards: Artifact,
    *,
    seed: int,
    note: Path,
    progress: Progress = silent,
) -> int:
    """Fill the rows that the configured source has a vector for and return how many those are.

    `note` keeps what was computed, for a run that goes on after a stop.
    """
    if config.init == RANDOM:
        return 0
    width = network.config.width
    if not note.exists():
        vectors = _vectors_of(config, shards, (network.vocab_size, width), seed, progress)
        with storage.whole_file(note) as temporary, temporary.open("wb") as file:
            values_VW = rescaled(vectors, width)
            np.savez(file, values_VW=values_VW, has_vector_V=vectors.has_vector_V)
    with reading(note, "embeddings of this run"), np.load(note, allow_pickle=False) as stored:
        values_VW, has_vector_V = stored["values_VW"], stored["has_vector_V"]
    table_VD = network.embed_tokens.weight
    with torch.no_grad():
        rows_V = torch.from_numpy(np.flatnonzero(has_vector_V)).to(table_VD.device)
        values_NW = torch.from_numpy(values_VW[has_vector_V]).to(table_VD)
        table_VD[rows_V, : values_NW.shape[1]] = values_NW
    count = int(has_vector_V.sum())
    logger.info("%d of %d embeddings from %s", count, len(has_vector_V), config.init)
    return count


def _vectors_of(
    config: EmbeddingConfig, shards: Artifact, shape: tuple[int, int], seed: int, progress: Progress
) -> Vectors:
    if config.init == WORD2VEC:
        return word2vec(shards, shape, config, seed, progress)
    assert config.file is not None  # the config was checked
    return glove(config.file, load_tokenizer(shards.file("tokenizer.model")))


def rescaled(vectors: Vectors, width: int) -> np.ndarray:
    """Return centred values of the usual spread, at most `width` wide.

    Wider ones are turned to their principal axes, of which the first `width` are kept.
    """
    values_NW = vectors.values_VW[vectors.has_vector_V].astype(np.float64)
    values_NW -= values_NW.mean(axis=0)
    if values_NW.shape[1] > width:
        strengths, axes = np.linalg.eigh(values_NW.T @ values_NW)
        values_NW = values_NW @ axes[:, np.argsort(-strengths)[:width]]
    values_VW = np.zeros((len(vectors.has_vector_V), values_NW.shape[1]), np.float32)
    values_VW[vectors.has_vector_V] = values_NW * (SPREAD / max(values_NW.std(), 1e-12))
    return values_VW
