"""First values of the embedding: random, Word2Vec trained on the shards, or a GloVe text file.

Rows that a source says nothing of stay random, and all have the spread of random ones, since the
rest of the network expects that. V vocabulary, D width, N words of a file, W their width.
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
from pipeline.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

SPREAD = 0.02  # standard deviation of random embeddings here, as in GPT-2


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
