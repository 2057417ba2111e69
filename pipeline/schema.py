"""The contracts between stages: versioned schemas, a meaning for each column, checked at write.

A contract changes by raising its version, which changes every fingerprint built on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.errors import ContractError


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
    column("id", pa.string(), "the input's own id, or a hash of content and source; unique"),
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
CURVE = Contract(
    "curve",
    1,
    pa.schema(
        [
            column("step", pa.int64(), "optimizer steps done"),
            column("tokens", pa.int64(), "training tokens seen"),
            column("loss", pa.float64(), "mean training cross-entropy since the last row, nats"),
            column("learning_rate", pa.float64(), "at this step"),
            column("gradient_norm", pa.float64(), "before clipping"),
            column("validation_loss", pa.float64(), "nats per token", nullable=True),
        ]
    ),
)
EVALUATION = Contract(
    "evaluation",
    2,
    pa.schema(
        [
            column("kind", pa.string(), "'all', 'lang' or 'source'"),
            column("name", pa.string(), "'all', or the language or source"),
            column("documents", pa.int64(), "documents scored"),
            column("tokens", pa.int64(), "tokens scored"),
            column("bytes", pa.int64(), "UTF-8 bytes those tokens stand for"),
            column("loss", pa.float64(), "cross-entropy, nats per token"),
            column("perplexity", pa.float64(), "exp(loss); comparable for one tokenizer only"),
            column("accuracy", pa.float64(), "share of tokens that were the most likely one"),
            column("bits_per_byte", pa.float64(), "comparable across tokenizers"),
            column("unigram_bits_per_byte", pa.float64(), "same text under token frequencies"),
            column(
                "bits_per_byte_low", pa.float64(), "95 % interval over documents", nullable=True
            ),
            column("bits_per_byte_high", pa.float64(), "its upper end", nullable=True),
            column("calibration_error", pa.float64(), "ECE over 15 equal bins", nullable=True),
            column("ngram_bits_per_byte", pa.float64(), "under a Kneser-Ney model", nullable=True),
            column("ppmd_bits_per_byte", pa.float64(), "PPMd after training text", nullable=True),
            column("xz_bits_per_byte", pa.float64(), "xz after training text", nullable=True),
        ]
    ),
)
CALIBRATION = Contract(
    "calibration",
    1,
    pa.schema(
        [
            column("lang", pa.string(), "language, or 'all'"),
            column("lower", pa.float64(), "confidence from, the likeliest token's probability"),
            column("upper", pa.float64(), "confidence to"),
            column("tokens", pa.int64(), "tokens predicted with that confidence"),
            column("confidence", pa.float64(), "their mean confidence"),
            column("accuracy", pa.float64(), "share of them that were the likeliest token"),
        ]
    ),
)
POSITION = Contract(
    "position",
    1,
    pa.schema(
        [
            column("first", pa.int64(), "position in the window from, starting at 1"),
            column("last", pa.int64(), "position to, inclusive"),
            column("tokens", pa.int64(), "tokens scored there"),
            column("bytes", pa.int64(), "UTF-8 bytes they stand for"),
            column("loss", pa.float64(), "nats per token"),
            column("accuracy", pa.float64(), "share that were the likeliest token"),
            column("bits_per_byte", pa.float64(), "comparable across tokenizers"),
            column("low", pa.float64(), "95 % interval of bits per byte", nullable=True),
            column("high", pa.float64(), "its upper end", nullable=True),
        ]
    ),
)
FIGURE = Contract(
    "figure",
    1,
    pa.schema(
        [
            column("name", pa.string(), "stable, such as 'bias.preference.en'"),
            column("value", pa.float64(), "the figure"),
            column("low", pa.float64(), "95 % interval over examples", nullable=True),
            column("high", pa.float64(), "its upper end", nullable=True),
            column("examples", pa.int64(), "examples behind it"),
            column("seed", pa.int64(), "seed that chose the examples and drew the samples"),
            column("meaning", pa.string(), "what it says, in a sentence"),
        ]
    ),
)
EXAMPLE = Contract(
    "example",
    1,
    pa.schema(
        [
            column("name", pa.string(), "the probe or task"),
            column("lang", pa.string(), "language of the example"),
            column("prompt", pa.large_string(), "what the model was given"),
            column("wanted", pa.large_string(), "what was hoped for", nullable=True),
            column("got", pa.large_string(), "what it said or chose"),
            column("score", pa.float64(), "1 right, 0 wrong, or between"),
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
QUARANTINE = Contract(
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
