"""Stage `shard`: documents and a tokenizer -> SHARD, token ids per document with their split.

Whether a document trains or validates depends on nothing but its id, so a corpus that grows never
moves one from validation to training. Where that cannot work (one document, or a few), large
documents are cut into blocks first (`splitting`). The tokenizer travels along.
"""

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config_checks import Between, require
from pipeline.errors import ConfigError, TrainingError
from pipeline.schema import UNKNOWN_LANGUAGE, shard_contract
from pipeline.shard_measures import check_measures, measure_fields, measured
from pipeline.splitting import HASHES, TRAIN, VALIDATION, SplitRule, cut, split_rule
from pipeline.stage import Job, Stage
from pipeline.store import storage
from pipeline.store.artifact import MAIN, Artifact
from pipeline.store.sink import REJECTS, Sink
from pipeline.tokenizer import MODEL_FILE, Tokenizer, load_tokenizer

CUT = "cut_in_blocks"  # documents, in the ledger's account of changes
NO_TOKENS = "no_tokens"
FAILED = "round_trip_failures"
ADDED = "rows_added"  # more rows than documents, where these were cut
CHUNK_BYTES = 4 << 20  # text encoded at once
DOCUMENT_COLUMNS = ["id", "text", "source", "lang"]
COUNTED = ("tokens", "documents", "bytes", "tokens_by_language", "tokens_by_source")


@dataclass(frozen=True)
class ShardConfig:
    """How documents are split and how shards are cut."""

    validation_share: float = 0.05  # of documents, 0 <= share < 1
    row_group_tokens: int = 262144  # one row group is read at a time; a document is never cut
    salt: str = "split"  # another word gives another split
    measures: tuple[str, ...] = ()  # of cleaning's, kept in columns for a curriculum

    def __post_init__(self) -> None:
        require(
            self,
            "shard",
            validation_share=Between(0, 1, below_high=True),
            row_group_tokens=Between(1, 1 << 28),
        )
        check_measures(self.measures, "shard.measures")

    @property
    def bound(self) -> int:
        """The 64-bit hash below which a document is held out."""
        return int(self.validation_share * 2**64)


def run(job: Job[ShardConfig]) -> None:
    """Tokenise the first parent with the tokenizer of the second."""
    documents, trained = job.parents
    model = trained.file(MODEL_FILE)
    tokenizer = load_tokenizer(model)
    config = job.config
    rule = split_rule(job, documents, config.validation_share, config.bound, config.salt)
    results = job.map(
        functools.partial(shard_part, config, model, rule),
        documents.parts(),
        keys=[[digest, tokenizer.fingerprint, *rule.key] for digest in documents.part_digests()],
        contracts={MAIN: shard_contract(tokenizer.vocab_size, measure_fields(job.config.measures))},
    )
    record(job, [result.value for result in results], tokenizer, model)
    job.stats["round_trip_failures"] = sum(result.value[FAILED] for result in results)
    if rule.cut_above is not None:
        job.stats["split"] |= {
            "documents_cut": job.output.ledger.changed[CUT],
            "rows_added": sum(result.value[ADDED] for result in results),
        }


def record(job: Job[Any], counted: list[dict[str, Any]], tokenizer: Tokenizer, model: Path) -> None:
    """Keep the tokenizer and the sums of the parts' `count` with the artifact."""
    storage.write_bytes(job.file(MODEL_FILE), model.read_bytes())
    for name in COUNTED:
        total: Counter[str] = Counter()
        if not name.startswith("tokens_by"):
            total.update({TRAIN: 0, VALIDATION: 0})
        for part in counted:
            total.update(part[name])
        job.stats[name] = dict(sorted(total.items()))
    job.stats.update(tokenizer_sha256=tokenizer.fingerprint, vocab_size=tokenizer.vocab_size)


def shard_part(
    config: ShardConfig, model: Path, rule: SplitRule, part: Path, sink: Sink
) -> dict[str, Any]:
    """Tokenise one Parquet part; return its COUNTED figures by split, language and source.

    Every validation document is decoded again; FAILED counts those that come out otherwise.
    """
    tokenizer = _loaded(model, storage.sha256_of(model))
    counted: dict[str, Counter[str]] = {name: Counter() for name in COUNTED}
    kept: list[pa.Table] = []
    before = failed = added = 0
    for whole_documents in _chunks(part):
        chunk, many = cut(whole_documents, rule)
        sink.saw(chunk.num_rows)
        sink.changed(CUT, many)
        added += chunk.num_rows - whole_documents.num_rows
        encoded = encode(chunk, tokenizer)
        for name, values in measured(chunk, config.measures).items():
            encoded = encoded.append_column(name, values)
        filled = pc.greater(pc.list_value_length(encoded["tokens"]), 0)
        sink.write(REJECTS, _rejects(encoded.filter(pc.invert(filled))))
        failed += round_trip_failures(chunk, encoded, tokenizer)
        rows = encoded.filter(filled)
        ends = before + np.cumsum(pc.list_value_length(rows["tokens"]).to_numpy(), dtype=np.int64)
        kept.append(rows.append_column("offset", pa.array(np.r_[before, ends][:-1])))
        before = int(ends[-1]) if len(ends) else before
        for name, figures in count(rows).items():
            counted[name].update(figures)
        *whole, rest = row_groups(pa.concat_tables(kept), config.row_group_tokens)
        for group in whole:
            sink.write(MAIN, group)
        kept = [rest]
    for group in kept:
        sink.write(MAIN, group)
    summary = {name: dict(counter) for name, counter in counted.items()}
    return {**summary, FAILED: failed, ADDED: added}


@functools.lru_cache(maxsize=1)
def _loaded(model: Path, sha256: str) -> Tokenizer:
    """Load a tokenizer of this content once for all parts that this process makes."""
    return load_tokenizer(model)


def round_trip_failures(documents: pa.Table, encoded: pa.Table, tokenizer: Tokenizer) -> int:
    """Count the validation documents whose tokens decode to another text."""
    held_out = pc.equal(encoded["split"], VALIDATION)
    texts = documents["text"].filter(held_out).to_pylist()
    ids = encoded["tokens"].filter(held_out).to_pylist()
    return sum(
        tokenizer.decode(token_ids) != text for token_ids, text in zip(ids, texts, strict=True)
    )


def encode(documents: pa.Table, tokenizer: Tokenizer) -> pa.Table:
    """Return the SHARD rows of documents (id, text, source, lang, split); some have no tokens."""
    flat, offsets = tokenizer.encode_column(documents["text"])
    return pa.table(
        {
            "id": documents["id"],
            "source": documents["source"],
            "lang": pc.fill_null(documents["lang"], UNKNOWN_LANGUAGE),
            "split": documents["split"],
            "tokens": token_lists(flat, offsets, tokenizer.vocab_size),
            "bytes": pc.binary_length(documents["text"]).cast(pa.int64()),
        }
    )


def splits(ids: pa.ChunkedArray | pa.Array, salt: str, bound: int) -> pa.Array:
    """Return 'validation' for each id whose hash is below `bound`, else 'train'."""
    return SplitRule(salt, bound).split(ids)


def token_lists(flat: np.ndarray, offsets: np.ndarray, vocab_size: int) -> pa.ListArray:
    """Return ids (N,) cut at offsets (rows + 1) as lists of the contract's type."""
    kind = shard_contract(vocab_size).schema.field("tokens").type
    values = pa.array(flat.astype(np.dtype(str(kind.value_type))))
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values, type=kind)


def row_groups(table: pa.Table, tokens: int) -> list[pa.Table]:
    """Cut a table where `tokens` are reached; at least one group, the last one perhaps smaller."""
    ends = np.cumsum(pc.list_value_length(table["tokens"]).to_numpy().astype(np.int64))
    cuts = [0]
    while len(ends):
        before = ends[cuts[-1] - 1] if cuts[-1] else 0
        # The row that reaches the bound closes its group.
        cut = int(np.searchsorted(ends, before + tokens)) + 1
        if cut >= len(ends):
            break
        cuts.append(cut)
    bounds = zip(cuts, [*cuts[1:], table.num_rows], strict=True)
    return [table.slice(start, end - start) for start, end in bounds]


def refuse_another_tokenizer(shards: Artifact, tokenizer: Tokenizer) -> None:
    """Raise TrainingError if the ids of `shards` are not those of `tokenizer`."""
    if shards.stats["tokenizer_sha256"] != tokenizer.fingerprint:
        raise TrainingError(
            f"{shards.path}: tokenised with {shards.stats['tokenizer_sha256'][:16]}, the tokenizer "
            f"given is {tokenizer.fingerprint[:16]}; run `shard` again with this tokenizer"
        )


def iter_documents(
    artifact: Artifact, split: str | None = None, columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the shard's rows in order, one row group in memory at a time.

    `split` is 'train', 'validation' or None for both; `columns` None means all.
    """
    if split not in (None, TRAIN, VALIDATION):
        raise ConfigError(f"no split {split!r} in {artifact.path}; give 'train' or 'validation'")
    wanted = None if columns is None else [*columns, *({"split"} - set(columns))]
    for part in artifact.parts():
        with pq.ParquetFile(part) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=wanted)
                if split is not None:
                    table = table.filter(pc.equal(table["split"], split))
                if columns is not None:
                    table = table.select(columns)
                yield from (b for b in table.combine_chunks().to_batches() if b.num_rows)


def _chunks(part: Path) -> Iterator[pa.Table]:
    """Yield a part's documents, about CHUNK_BYTES of text at a time."""
    with pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=DOCUMENT_COLUMNS)
            ends = np.cumsum(pc.binary_length(table["text"]).to_numpy())
            cuts = np.flatnonzero(np.diff(ends // CHUNK_BYTES)) + 1
            for start, end in zip([0, *cuts], [*cuts, table.num_rows], strict=True):
                yield table.slice(start, end - start)


def _rejects(empty: pa.Table) -> pa.Table:
    rows = empty.num_rows
    columns = {
        "id": empty["id"],
        "source": empty["source"],
        "rule": [NO_TOKENS] * rows,
        "value": np.zeros(rows),
        "threshold": np.ones(rows),
    }
    return pa.table(columns)


def count(rows: pa.Table) -> dict[str, Counter[str]]:
    """Return the COUNTED figures of SHARD rows, by split, language and source."""
    counted: dict[str, Counter[str]] = {name: Counter() for name in COUNTED}
    table = rows.select(["split", "lang", "source", "bytes"]).append_column(
        "tokens", pc.list_value_length(rows["tokens"])
    )
    for key, figures in (
        ("split", {"tokens": "tokens", "bytes": "bytes"}),
        ("lang", {"tokens": "tokens_by_language"}),
        ("source", {"tokens": "tokens_by_source"}),
    ):
        totals = table.group_by(key).aggregate([(name, "sum") for name in figures])
        for row in totals.to_pylist():
            for name, figure in figures.items():
                counted[figure][row[key]] += row[f"{name}_sum"]
    counted["documents"].update(rows["split"].to_pylist())
    return counted


STAGE = Stage(
    name="shard",
    contract=shard_contract(1 << 16),  # wider ids for a larger vocabulary, by `run`
    run=run,
    module="pipeline.shard",
    index_phases=(HASHES,),
    libraries=("jieba", "numba", "numpy", "opencc", "polars", "pyarrow", "sentencepiece"),
)
