"""The stage `evaluate`: how well a model predicts held-out documents, by language and source."""

import functools
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model import export
from model.baseline import unigram_nats
from model.scoring import Document, Group, Sums, score
from pipeline.artifact import Artifact
from pipeline.errors import ConfigError, TrainingError
from pipeline.schema import EVALUATION
from pipeline.shard import iter_documents
from pipeline.sink import Sink
from pipeline.stage import Job, Stage
from pipeline.tokenizer import Tokenizer, load_tokenizer

SPLIT = "validation"


@dataclass(frozen=True)
class EvaluateConfig:
    """How much is scored: whole documents, in the order of their ids' hash, up to these limits."""

    documents_max: int = 2000
    tokens_max: int = 200_000
    batch_size: int = 16

    def __post_init__(self) -> None:
        for name in ("documents_max", "tokens_max", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"evaluate.{name}: {getattr(self, name)}, wanted at least 1")


def run(job: Job) -> None:
    """Score the shards' validation documents with the model of the first parent.

    The account is kept in validation documents; those over the limits are dropped.
    """
    config: EvaluateConfig = job.config
    model, shards = job.parents
    chosen, seen = choose(shards, config)
    if not chosen:
        raise TrainingError(
            f"{shards.path}: no validation documents to score; give more documents or raise "
            f"shard.validation_share"
        )

    def report(documents: int) -> None:
        job.progress("evaluate", documents, len(chosen))

    sums = _score_folder(model.path, shards, _tokenizer(shards), chosen, config, report)
    rows = slices(sums)
    job.map(functools.partial(_write, rows, seen, len(chosen)), [None])
    job.stats.update(
        bits_per_byte=rows[0]["bits_per_byte"],
        unigram_bits_per_byte=rows[0]["unigram_bits_per_byte"],
        documents=len(chosen),
        shards=shards.fingerprint,
    )


def bits_per_byte(
    model_folder: Path, shards: Artifact, tokenizer: Tokenizer, config: EvaluateConfig
) -> float:
    """Score any model on the same documents, whatever its tokenizer; lower is better.

    `tokenizer` is the one the shards were made with: their text is decoded and encoded anew where
    the model has another.
    """
    chosen, _ = choose(shards, config)
    sums = _score_folder(model_folder, shards, tokenizer, chosen, config, lambda documents: None)
    return slices(sums)[0]["bits_per_byte"]


def _score_folder(
    model_folder: Path,
    shards: Artifact,
    tokenizer: Tokenizer,
    chosen: set[int],
    config: EvaluateConfig,
    report: Callable[[int], None],
) -> dict[Group, Sums]:
    own = load_tokenizer(model_folder / export.TOKENIZER)
    same = own.fingerprint == tokenizer.fingerprint
    documents = _documents(shards, chosen)
    if not same:
        documents = (_recode(document, tokenizer, own) for document in documents)
    return score(
        export.read(model_folder),
        own,
        documents,
        unigram=unigram_nats(shards, own.vocab_size) if same else None,
        batch_size=config.batch_size,
        report=report,
    )


def choose(shards: Artifact, config: EvaluateConfig) -> tuple[set[int], int]:
    """Return the id hashes of the documents to score, and how many documents the split has.

    The order of hashes is as good as a random one and does not change when documents are added.
    """
    hashes: list[int] = []
    lengths: list[int] = []
    for batch in iter_documents(shards, SPLIT, ["id", "tokens"]):
        hashes += [_hash(name) for name in batch.column("id").to_pylist()]
        lengths += batch.column("tokens").value_lengths().to_pylist()
    order = np.argsort(np.array(hashes, np.uint64), kind="stable")
    total = np.cumsum(np.array(lengths, np.int64)[order])
    fits = int(np.searchsorted(total, config.tokens_max, side="right"))
    count = min(len(order), config.documents_max, max(1, fits))
    return {hashes[index] for index in order[:count]}, len(hashes)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def _documents(shards: Artifact, chosen: set[int]) -> Iterator[Document]:
    columns = ["id", "lang", "source", "tokens", "bytes"]
    for batch in iter_documents(shards, SPLIT, columns):
        tokens = batch.column("tokens")
        values = [batch.column(name).to_pylist() for name in columns if name != "tokens"]
        for index, (name, lang, source, text_bytes) in enumerate(zip(*values, strict=True)):
            if _hash(name) in chosen:
                ids = tokens[index].values.to_numpy().astype(np.int64)
                yield Document(lang, source, ids, text_bytes)


def _recode(document: Document, old: Tokenizer, new: Tokenizer) -> Document:
    text = old.decode(document.ids.tolist())
    ids = np.array(new.encode(text), np.int64)
    return Document(document.lang, document.source, ids, len(text.encode()))


def _tokenizer(shards: Artifact) -> Tokenizer:
    return load_tokenizer(shards.file(export.TOKENIZER))


def slices(sums: dict[Group, Sums]) -> list[dict[str, Any]]:
    """Return the rows of the contract EVALUATION: all, each language, each source."""
    parts: dict[tuple[str, str], Sums] = {("all", "all"): Sums()}
    for (lang, source), group in sorted(sums.items()):
        for key in (("all", "all"), ("lang", lang), ("source", source)):
            parts.setdefault(key, Sums()).add(group)
    return [_row(kind, name, part) for (kind, name), part in sorted(parts.items())]


def _row(kind: str, name: str, part: Sums) -> dict[str, Any]:
    loss = part.nats / max(part.tokens, 1)
    bits = math.log(2) * max(part.text_bytes, 1)
    return {
        "kind": kind,
        "name": name,
        "documents": part.documents,
        "tokens": part.tokens,
        "bytes": part.text_bytes,
        "loss": loss,
        "perplexity": math.exp(min(loss, 700.0)),  # past 700 nats a float would overflow
        "accuracy": part.correct / max(part.tokens, 1),
        "bits_per_byte": part.nats / bits,
        "unigram_bits_per_byte": part.unigram_nats / bits,
    }


def _write(rows: list[dict[str, Any]], seen: int, scored: int, task: None, sink: Sink) -> None:
    sink.saw(seen)
    sink.kept(scored)
    sink.dropped("beyond_limit", seen - scored)
    sink.write("main", pa.Table.from_pylist(rows, schema=EVALUATION.schema))


STAGE = Stage(
    name="evaluate",
    contract=EVALUATION,
    run=run,
    module="model.evaluate",
    libraries=("torch", "numpy"),
    counts_rows=False,
)
