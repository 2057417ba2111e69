"""Measure how an existing tokenizer fits new text, and say whether to keep it: `DriftRule`.

Measured is what a run would measure, so the answer is the one a run would give.
"""

import functools

import polars as pl
import pyarrow as pa

from pipeline.errors import SourceError
from pipeline.schema import Contract, column
from pipeline.stage import Job, Stage
from pipeline.store.artifact import MAIN
from pipeline.store.sink import Sink
from pipeline.tokenizer import MODEL_FILE
from pipeline.tokenizer_training import GIVEN
from pipeline.tokenizing.config import TokenizerConfig
from pipeline.tokenizing.drift import drift, reasons
from pipeline.tokenizing.fitting import FIT, fit_of

KEEP, RETRAIN = "keep", "retrain"
TOKENIZER_DRIFT = Contract(
    "tokenizer_drift",
    1,
    pa.schema(
        [
            column("lang", pa.string(), "language"),
            column("share", pa.float64(), "of the bytes measured"),
            column("bytes_per_token", pa.float64(), "on the new text"),
            column("byte_share", pa.float64(), "byte-fallback tokens among all, on the new text"),
            column("bytes_per_token_then", pa.float64(), "when trained", nullable=True),
            column("byte_share_then", pa.float64(), "when trained", nullable=True),
            column("reason", pa.string(), "to train another; null if it fits", nullable=True),
        ]
    ),
)


def run(job: Job[TokenizerConfig]) -> None:
    """Check the tokenizer of the second parent on documents of the first.

    A `GivenTokenizer` has no figures of its training: only byte fallback is judged.
    """
    documents, tokenizer = job.parents
    if not documents.text_bytes:
        raise SourceError(f"{documents.path}: holds no text to check a tokenizer on; give more")
    now = fit_of(job, documents, tokenizer.file(MODEL_FILE)).by_language()
    then = None if tokenizer.stage == GIVEN else tokenizer.scan().collect()
    table = drift(then, now, job.config.drift)
    why = reasons(table)
    job.map(functools.partial(write, table, int(now["documents"][0])), [None])
    job.stats.update(recommendation=RETRAIN if why else KEEP, reasons=why)


def write(table: pl.DataFrame, documents: int, task: None, sink: Sink) -> None:
    """Write the comparison; the account is kept in documents measured."""
    sink.saw(documents)
    sink.kept(documents)
    sink.write(MAIN, table.to_arrow())


STAGE = Stage(
    name="tokenizer_check",
    contract=TOKENIZER_DRIFT,
    run=run,
    module="pipeline.tokenizer_check",
    libraries=("numba", "numpy", "polars", "pyarrow", "sentencepiece"),
    counts_rows=False,
    index_phases=(FIT,),
)
