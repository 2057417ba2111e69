"""The contracts of teaching a model by examples, and of what it then answers."""

import pyarrow as pa

from pipeline.schema import Contract, column

EXAMPLES = Contract(
    "examples",
    1,
    pa.schema(
        [
            column("id", pa.string(), "the record's own id, or a hash of content and source"),
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
        ]
    ),
)
TRANSFER = Contract(
    "transfer",
    1,
    pa.schema(
        [
            column("id", pa.string(), "the held-out example"),
            column("lang", pa.string(), "its language"),
            column("answer", pa.large_string(), "the right answer"),
            column("chosen", pa.large_string(), "the answer chosen"),
            column("right", pa.float64(), "1 if it is the right one, else 0"),
            column("bits", pa.float64(), "-log2 p of the right answer", nullable=True),
            column("bytes", pa.int64(), "UTF-8 bytes of the right answer"),
        ]
    ),
)
