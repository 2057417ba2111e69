"""The unigram model: each token by its share in the training text. A trained model must beat it."""

import numpy as np

from pipeline.artifact import Artifact
from pipeline.shard import iter_documents


def unigram_nats(shards: Artifact, vocab_size: int) -> np.ndarray:
    """Return -log(share) of each token (V,) in the train split, with one added to every count."""
    counts = np.ones(vocab_size, np.float64)
    for batch in iter_documents(shards, "train", ["tokens"]):
        tokens = batch.column("tokens").flatten().to_numpy()
        counts += np.bincount(tokens, minlength=vocab_size)
    return np.log(counts.sum()) - np.log(counts)
