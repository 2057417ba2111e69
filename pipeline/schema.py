"""The contracts between stages: versioned schemas, a meaning for each column, checked at write.

A contract changes by raising its version, which changes every fingerprint built on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.errors import ContractError

UNKNOWN_LANGUAGE = "und"  # ISO 639: undetermined

# Stages of the chain whose ledgers count documents.
DOCUMENT_STAGES = ("ingest", "clean", "dedup", "shard")


@dataclass(frozen=True)
class Contract:
    """A named, versioned table layout; the schema's field metadata says what each column means."""

    name: str
    version: int
    schema: pa.Schema
    random: tuple[str, ...] = ()  # columns of hashes: no compression makes them smaller

    @property
    def label(self) -> str:
        """Name and version as written into manifests and Parquet metadata, such as 'clean v1'."""
        return f"{self.name} v{self.version}"


def column(name: str, kind: pa.DataType, doc: str, *, nullable: bool = False) -> pa.Field:
    """Describe one column of a contract."""
    return pa.field(name, kind, nullable=nullable, metadata={"doc": doc})


def conform(table: pa.Table, contract: Contract, where: str) -> pa.Table:
    """Return `table` with exactly the contract's columns, order and types.

    A nullable column that is not there is filled with nulls.
    Raises ContractError naming `where`, the column, what was found and what the contract wants.
    """
    label = contract.label
    for field in contract.schema:
        if field.nullable and field.name not in table.column_names:
            table = table.append_column(field.name, pa.nulls(table.num_rows, field.type))
    missing = [f.name for f in contract.schema if f.name not in table.column_names]
    extra = [name for name in table.column_names if name not in contract.schema.names]
    if missing or extra:
        raise ContractError(
            f"{where}: columns missing {missing}, unknown {extra}; {label} has "
            f"{contract.schema.names}; write those columns or raise the contract's version"
        )
    table = table.select(contract.schema.names)
    for field in contract.schema:
        nulls = table[field.name].null_count
        if nulls and not field.nullable:
            raise ContractError(
                f"{where}: column {field.name!r} has {nulls} nulls, {label} allows none; "
                f"quarantine those rows or make the column nullable in a new version"
            )
    try:
        table = table.cast(contract.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise ContractError(f"{where}: does not fit {label}: {error}") from error
    return table.replace_schema_metadata({"textmill.contract": label})


_DOCUMENT = [
    column("id", pa.string(), "the input's own id, or a hash of the text; unique"),
    column("text", pa.large_string(), "the document"),
    column("source", pa.string(), "name of the collection, for shares and per-source figures"),
    column("path", pa.string(), "file inside the source, with its inner name after '!'"),
    column("position", pa.int64(), "record number in the file, from 0"),
]
_ORIGIN = [
    column("license", pa.string(), "licence as the source states it", nullable=True),
    column("meta", pa.large_string(), "the record's other fields as JSON", nullable=True),
]

RAW = Contract(
    "raw",
    1,
    pa.schema(
        [
            *_DOCUMENT,
            column("lang", pa.string(), "language as the source states it", nullable=True),
            *_ORIGIN,
        ]
    ),
)
CLEAN = Contract(
    "clean",
    1,
    pa.schema(
        [*_DOCUMENT, column("lang", pa.string(), "stated or identified; 'und' if unsure"), *_ORIGIN]
    ),
)
DEDUPED = Contract("deduped", 2, CLEAN.schema)
_FIT = [
    column("documents", pa.int64(), "documents measured"),
    column("bytes", pa.int64(), "UTF-8 bytes measured"),
    column("characters", pa.int64(), "code points measured"),
    column("words", pa.int64(), "words; in unspaced scripts each character counts as one"),
    column("tokens", pa.int64(), "tokens they became"),
    column("byte_tokens", pa.int64(), "of those, byte-fallback pieces"),
    column("round_trip_failures", pa.int64(), "documents that decode to another text"),
]
TOKENIZER_REPORT = Contract(
    "tokenizer_report", 1, pa.schema([column("lang", pa.string(), "language, or 'all'"), *_FIT])
)
TOKENIZER_SOURCES = Contract(
    "tokenizer_sources",
    1,
    pa.schema(
        [
            column("lang", pa.string(), "language"),
            column("source", pa.string(), "source of those documents"),
            *_FIT,
        ]
    ),
)
REJECT = Contract(
    "reject",
    2,
    pa.schema(
        [
            column("id", pa.string(), "the dropped document"),
            column("source", pa.string(), "its source"),
            column("rule", pa.string(), "the rule that dropped it"),
            column("value", pa.float64(), "what was measured"),
            column("threshold", pa.float64(), "the bound it crossed"),
            column("partner", pa.string(), "of a duplicate: the document kept", nullable=True),
            column("similarity", pa.float64(), "of a duplicate: exact Jaccard", nullable=True),
            column("detail", pa.large_string(), "what was found, such as a span", nullable=True),
        ]
    ),
)
QUARANTINE_ROW = Contract(
    "quarantine",
    1,
    pa.schema(
        [
            column("source", pa.string(), "name of the collection"),
            column("path", pa.string(), "file inside the source"),
            column("position", pa.int64(), "record number from 0; -1 for the file as a whole"),
            column("reason", pa.string(), "short name of what is wrong"),
            column("detail", pa.string(), "found, wanted"),
            column("sample", pa.string(), "first bytes, escaped"),
        ]
    ),
)


def shard_contract(vocab_size: int, more: Sequence[pa.Field] = ()) -> Contract:
    """Return the contract of tokenised documents, ids in the smallest type for `vocab_size`.

    `more` are columns at its end.
    """
    token = pa.uint16() if vocab_size <= 1 << 16 else pa.uint32()
    fields = [
        column("id", pa.string(), "the document"),
        column("source", pa.string(), "its source"),
        column("lang", pa.string(), "its language"),
        column("split", pa.string(), "'train' or 'validation', decided by the hash of the id"),
        column(
            "tokens", pa.list_(pa.field("item", token, nullable=False)), "token ids, no controls"
        ),
        column("offset", pa.int64(), "tokens before it in the files of its part, in order"),
        column("bytes", pa.int64(), "UTF-8 bytes of the text those tokens stand for"),
    ]
    return Contract("shard", 2, pa.schema([*fields, *more]))


EXAMPLES = Contract(
    "examples",
    2,
    pa.schema(
        [
            column("id", pa.string(), "the record's own id, or a hash of what it says"),
            column("source", pa.string(), "name of the collection"),
            column("lang", pa.string(), "language as stated, else by its script"),
            column("task", pa.string(), "name in the table of tasks"),
            column("split", pa.string(), "'train' or 'validation', decided by the input's hash"),
            column(
                "turns",
                pa.list_(
                    pa.struct(
                        [
                            pa.field("role", pa.string(), nullable=False),
                            pa.field("text", pa.large_string(), nullable=False),
                        ]
                    )
                ),
                "who says what; the last turn is an answer",
            ),
            column("soft_begin", pa.int64(), "first character that may be cut", nullable=True),
            column("soft_end", pa.int64(), "end of the characters that may be cut", nullable=True),
            column("references", pa.list_(pa.large_string()), "every answer that counts as right"),
            column("rejected", pa.large_string(), "a worse answer than the last", nullable=True),
        ]
    ),
)
