"""Text for a plan to measure with: a share of the documents that a training will read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.training.counting import COUNTED_TOKENS_MAX
from pipeline.shard import TRAIN, iter_documents
from pipeline.store.artifact import Artifact

SAMPLE_TOKENS = 1_000_000


@dataclass(frozen=True, eq=False)
class CorpusSample:
    """Documents of a corpus as ids, and how many tokens all of it has to train on."""

    documents: Sequence[np.ndarray]
    tokens: int

    @property
    def sampled(self) -> int:
        """How many tokens the documents have."""
        return sum(map(len, self.documents))

    @property
    def document_tokens(self) -> float | None:
        """How many tokens the mean document has; None where there is none."""
        return self.sampled / len(self.documents) if self.documents else None

    @property
    def ids(self) -> np.ndarray:
        """The documents end to end."""
        return np.concatenate([np.zeros(0, np.int64), *self.documents]).astype(np.int64)


def sample_of(shards: Artifact) -> CorpusSample:
    """Return documents from all over the shards; of a large corpus its first ones."""
    tokens = int(shards.stats["tokens"][TRAIN])
    every = -(-tokens // SAMPLE_TOKENS) if tokens <= COUNTED_TOKENS_MAX else 1
    documents: list[np.ndarray] = []
    left, number = SAMPLE_TOKENS, 0
    for batch in iter_documents(shards, TRAIN, ["tokens"]):
        for ids in batch.column("tokens"):
            if number % every == 0:
                documents.append(ids.values.to_numpy())
                left -= len(documents[-1])
            number += 1
            if left <= 0:
                return CorpusSample(documents, tokens)
    return CorpusSample(documents, tokens)
