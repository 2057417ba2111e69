"""Which documents of a split are looked at, and reading them: the same ones in every run."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from model.evaluation.scoring import HeldOutDocument
from pipeline.hashing import hash64
from pipeline.shard import iter_documents
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import Tokenizer


def choose(
    shards: Artifact,
    split: str,
    tokens_max: int | None = None,
    documents_max: int | None = None,
    tokens_min: int = 0,
) -> tuple[set[int], int]:
    """Return the id hashes of the documents to take, and how many documents the split has.

    Documents are taken in the order of their ids' hashes, which is as good as a random one and does
    not change when documents are added, up to these limits; shorter ones than `tokens_min` never.
    """
    hashes: list[int] = []
    lengths: list[int] = []
    for batch in iter_documents(shards, split, ["id", "tokens"]):
        hashes += [hash64(name) for name in batch.column("id").to_pylist()]
        lengths += batch.column("tokens").value_lengths().to_pylist()
    order = np.argsort(np.array(hashes, np.uint64), kind="stable")
    lengths_N = np.array(lengths, np.int64)[order]
    order, lengths_N = order[lengths_N >= tokens_min], lengths_N[lengths_N >= tokens_min]
    fits = len(order)
    if tokens_max is not None:  # one document at least, however long
        fits = max(1, int(np.searchsorted(np.cumsum(lengths_N), tokens_max, side="right")))
    return {hashes[index] for index in order[:fits][:documents_max]}, len(hashes)


def documents(shards: Artifact, split: str, chosen: set[int]) -> Iterator[HeldOutDocument]:
    """Yield the chosen documents of a split in the order of the shards."""
    columns = ["id", "lang", "source", "tokens", "bytes"]
    for batch in iter_documents(shards, split, columns):
        tokens = batch.column("tokens")
        values = [batch.column(name).to_pylist() for name in columns if name != "tokens"]
        for index, (name, lang, source, text_bytes) in enumerate(zip(*values, strict=True)):
            if hash64(name) in chosen:
                ids = tokens[index].values.to_numpy().astype(np.int64)
                yield HeldOutDocument(lang, source, ids, text_bytes, name)


def recode(document: HeldOutDocument, old: Tokenizer, new: Tokenizer) -> HeldOutDocument:
    """Return the same text in the tokens of another tokenizer."""
    text = old.decode(document.ids.tolist())
    ids = new.encode_batch([text])[0].astype(np.int64)
    return replace(document, ids=ids, text_bytes=len(text.encode()))
