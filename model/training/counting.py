"""N-grams of the training text, counted for a network that mixes in what they say."""

import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from model.counts import count_table
from model.network.families import AnyNetwork, counts_of
from pipeline.shard import TRAIN, iter_documents
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.store.loading import reading
from pipeline.tokenizer import Tokenizer

logger = logging.getLogger(__name__)
COUNTED_TOKENS_MAX = 8_000_000  # some 2.3 GB while eight orders are counted


def count_ngrams(
    network: AnyNetwork,
    shards: Artifact,
    tokenizer: Tokenizer,
    note: Path,
    earlier: Artifact | None = None,
) -> None:
    """Fill the tables of a network that has any from the shards' training text.

    Documents of `earlier` shards that are not among them are counted too: what a training goes on
    from, and in part reads again, is not to be forgotten.

    While it trains, each target is scored as if its own document had not been counted. `note` keeps
    the tables for a run that goes on after a stop. Memory is about 180 bytes per token for five
    orders, so that of more than COUNTED_TOKENS_MAX nothing is counted: the network is then on its
    own, and the log says so.
    """
    counts = counts_of(network)
    if counts is None:
        return
    left = [] if earlier is None else _documents_not_in(shards, earlier)
    tokens = shards.stats["tokens"][TRAIN] + sum(map(len, left))
    if tokens > COUNTED_TOKENS_MAX:
        logger.warning(
            "train.model.count_order: %d training tokens are more than the %d that are counted in "
            "memory; the network is trained without counts",
            *(tokens, COUNTED_TOKENS_MAX),
        )
        return
    if not note.exists():
        note.parent.mkdir(parents=True, exist_ok=True)
        size, bos, eos = tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_id
        made = count_table.count(chain(_documents(shards), left), size, bos, eos, counts.order)
        with storage.whole_file(note) as temporary, temporary.open("wb") as file:
            np.savez(file, **count_table.arrays_of(made))  # type: ignore[arg-type] # its stubs
    with reading(note, "counts of this run"), np.load(note, allow_pickle=False) as stored:
        counts.fill({name: torch.from_numpy(stored[name]) for name in stored.files})
    counts.leave_out = True
    grams = sum(len(table) for name, table in counts.tables().items() if "last" in name)
    logger.info("%d n-grams counted", grams)


def _documents_not_in(shards: Artifact, earlier: Artifact) -> list[np.ndarray]:
    """Return the training documents of `earlier` that `shards` have not, by their ids."""
    batches = iter_documents(shards, TRAIN, ["id"])
    known = {name for batch in batches for name in batch.column("id").to_pylist()}
    left = []
    for batch in iter_documents(earlier, TRAIN, ["id", "tokens"]):
        names = batch.column("id").to_pylist()
        for name, tokens in zip(names, batch.column("tokens"), strict=True):
            if name not in known:
                left.append(tokens.values.to_numpy())
    return left


def _documents(shards: Artifact) -> Iterator[np.ndarray]:
    for batch in iter_documents(shards, TRAIN, ["tokens"]):
        for tokens in batch.column("tokens"):
            yield tokens.values.to_numpy()
