"""Stage `dedup`: CLEAN -> DEDUPED, copies and verified near-duplicates removed.

The earliest document of a group stays: order of the parents, their parts, then rows. What is
computed of one part (hashes, signatures), of the pairs of a chunk and of the rows of a part under
the decisions about them is taken over from an earlier artifact that has it; what is decided over
the whole corpus is decided anew from hashes and pairs, without reading text. So a document comes
back when the one it was a copy of is gone, and the bytes are those of starting from scratch.

Each removed document is a copy of the one named as its partner, has its address, or was compared
with it shingle by shingle and reached the threshold. What a shingle is: `duplicates/shingling.py`.
Held in memory for the whole corpus: one byte per document.
"""

from pipeline.duplicates.config import DedupConfig
from pipeline.duplicates.tables import CUT, INDEX, MARKS, PAIRS, SIGNATURES, VERIFIED
from pipeline.schema import DEDUPED
from pipeline.stage import Job, Stage
from pipeline.store.sink import CHANGES


def run(job: Job[DedupConfig]) -> None:
    """Deduplicate the parent artifacts, taken one after the other as one corpus."""
    from pipeline.duplicates.deduplication import deduplicate

    deduplicate(job)


STAGE = Stage(
    name="dedup",
    contract=DEDUPED,
    run=run,
    module="pipeline.dedup",
    libraries=("numba", "numpy", "polars", "pyarrow"),
    tables={**INDEX, "pairs": PAIRS, CHANGES: CUT},
    index_phases=(SIGNATURES, VERIFIED, MARKS),
)
