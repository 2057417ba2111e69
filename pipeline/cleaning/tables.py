"""The tables of cleaning beside its documents: what was measured, what was changed."""

import pyarrow as pa

from pipeline.cleaning.checks import CHECKS
from pipeline.cleaning.measures import MEASURES
from pipeline.cleaning.optional_measures import OPTIONAL_MEASURES
from pipeline.schema import Contract, column

PII_TABLE = "pii"
MEASURED = Contract(
    "measures",
    4,
    pa.schema(
        [
            column("id", pa.string(), "the document, kept or dropped"),
            column("lang", pa.string(), "as in the main table"),
            column("lang_score", pa.float64(), "the model's; null where stated", nullable=True),
            *(column(name, pa.float64(), entry.meaning) for name, entry in MEASURES.items()),
            *(
                column(
                    name, pa.float64(), f"{entry.meaning}; null unless a rule asks", nullable=True
                )
                for name, entry in OPTIONAL_MEASURES.items()
            ),
            *(column(name, pa.float64(), meaning) for name, meaning in CHECKS.items()),
            column("partner", pa.string(), "of a contaminated one: the item", nullable=True),
            column("detail", pa.large_string(), "what a check found", nullable=True),
        ]
    ),
)
CHANGE = Contract(
    "change",
    1,
    pa.schema(
        [
            column("id", pa.string(), "the document, kept or dropped"),
            column("change", pa.string(), "the repair or edit that changed its text"),
            column("bytes_before", pa.int64(), "of the text as ingested"),
            column("bytes_after", pa.int64(), "of the text as stored, all changes made"),
        ]
    ),
)
