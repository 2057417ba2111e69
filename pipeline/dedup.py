"""Stage `dedup`: CLEAN -> DEDUPED, copies and verified near-duplicates removed.

The earliest document of a group stays: order of the parents, their parts, then rows. So adding text
at the end of a corpus never removes what was there, and an artifact that carries its index
(`keep_index`) can be gone on from: with it as `previous`, only the new parents' text is read, and
of the old only documents that a new one may repeat. The result is the same, byte for byte.

Each removed document is a copy of the one named as its partner, has its address, or was compared
with it shingle by shingle and reached the threshold. What a shingle is: `duplicates/shingling.py`.
Held in memory for the whole corpus: one byte per document.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config_checks import AtLeast, Between, require
from pipeline.duplicates import candidates, passage_removal, passage_search
from pipeline.duplicates.candidates import CandidateChunk
from pipeline.duplicates.corpus import CorpusPart, parquet_rows
from pipeline.duplicates.decisions import KINDS, Decider, Findings, write_part
from pipeline.duplicates.numbering import chunk_starts, corpus_parts, refuse_changed_inputs
from pipeline.duplicates.passage_removal import RemovedPassages
from pipeline.duplicates.passage_search import PassageConfig
from pipeline.duplicates.provenance import Provenance
from pipeline.duplicates.shingling import LONGEST_SHINGLE
from pipeline.duplicates.signatures import Shingling
from pipeline.duplicates.tables import INDEX, PAIRS, SCRATCH
from pipeline.schema import DEDUPED
from pipeline.stage import Job, PartFunction, Stage
from pipeline.store.sink import CHANGES

# Rows of a hash partition (24 bytes each): a few partitions fit into a laptop's memory.
PARTITION_ROWS = 1 << 20

Files = dict[str, list[Path]]  # by table


@dataclass(frozen=True)
class DedupConfig:
    """What counts as a duplicate."""

    exact: bool = True  # remove texts equal after folding
    near: bool = True  # remove texts whose shingle sets are similar
    same_address: bool = False  # remove documents of an address seen before
    address_field: str = "url"  # the record's field that holds it
    threshold: float = 0.8  # least Jaccard similarity of a near-duplicate, 0 < threshold <= 1
    words_per_shingle: int = 5  # in spaced scripts
    characters_per_shingle: int = 5  # in unspaced scripts
    # 20 x 6 misses 0.2 % of pairs at similarity 0.8 exactly, 14 x 8 misses 7.6 %; the price is
    # more candidates to verify (27 % of pairs at 0.5 instead of 5 %).
    bands: int = 20
    rows_per_band: int = 6
    neighbours: int = 32  # pairs tried per document within one bucket of equal band keys
    seed: int = 1
    passages: PassageConfig = field(default_factory=PassageConfig)
    keep_index: bool = True  # store hashes and signatures, so that text can be added later

    def __post_init__(self) -> None:
        require(
            self,
            "dedup",
            threshold=Between(0, 1, above_low=True),
            words_per_shingle=Between(1, LONGEST_SHINGLE),
            characters_per_shingle=Between(1, LONGEST_SHINGLE),
            bands=Between(1, 256),
            rows_per_band=Between(1, 256),
            neighbours=AtLeast(1),
            seed=AtLeast(0),
        )


def run(job: Job[DedupConfig]) -> None:
    """Deduplicate the parent artifacts, taken one after the other as one corpus."""
    config, old = job.config, job.stage.previous
    if old is not None:
        refuse_changed_inputs(old, job.stage, config)
    parts, old_parts = corpus_parts(job.parents, old)
    first_new = sum(part.rows for part in old_parts)
    total = first_new + sum(part.rows for part in parts)
    if old is not None:
        job.adopt(old)
    address = config.address_field if config.same_address else None
    sign = functools.partial(
        candidates.write_signatures, _shingling(config), config.exact, config.near, address
    )
    signed = _scratch(job, "signatures", sign, parts)
    for name in ("index_exact", "index_bands"):
        signed[name] = [*(old.parts(name) if old else []), *signed.get(name, [])]
    ranges = key_ranges(total * config.bands)
    starts = chunk_starts(parts)
    find = functools.partial(candidates.find_copies, signed["index_exact"], first_new)
    tasks = ranges if signed["index_exact"] else []
    copies = _scratch(job, "copies", find, tasks).get("copies", [])
    verified = _find_near(job, ranges, signed["index_bands"], old_parts, parts, starts)
    removed = old.parts("index_removed") if old else []
    decider = Decider(job.scratch("decisions"), total, removed)
    chunks = list(zip(starts, [*starts[1:], total][: len(starts)], strict=True))
    decisions = decider.decide(copies, verified, chunks)
    findings = _find_passages(job, decisions, old_parts, parts)
    if config.keep_index:
        folders = {"index_exact": "signatures", "index_bands": "signatures", "index_marks": "marks"}
        index = {table: job.scratch(phase) for table, phase in folders.items()}
        findings = replace(findings, index=index)
    write = functools.partial(write_part, config.threshold, findings)
    job.map(write, list(enumerate(parts)), start=len(old_parts))
    ledger = job.output.ledger
    job.stats.update(
        documents=total,
        parts=[part.rows for part in (*old_parts, *parts)],
        **{stat: ledger.dropped[rule] for rule, stat in KINDS.values()},
    )


def key_ranges(rows: int) -> list[tuple[int, int]]:
    """Ranges (first, end) of keys, each with about PARTITION_ROWS of `rows` rows at most."""
    count = max(1, -(-rows // PARTITION_ROWS))
    bounds = [(part << candidates.HASH_BITS) // count for part in range(count + 1)]
    return list(itertools.pairwise(bounds))


def _find_near(
    job: Job[DedupConfig],
    ranges: list[tuple[int, int]],
    bands: list[Path],
    old_parts: list[CorpusPart],
    parts: list[CorpusPart],
    starts: list[int],
) -> list[list[Path]]:
    """Return the files of the verified pairs by chunk."""
    if not bands or not parts:
        return [[] for _ in starts]
    config = job.config
    find = functools.partial(
        candidates.find_candidates, config.neighbours, bands, parts[0].first, np.array(starts)
    )
    found_candidates = _scratch(job, "candidates", find, ranges)
    if not found_candidates.get("candidates"):
        return [[] for _ in starts]
    gather = functools.partial(
        candidates.write_shingle_sets, _shingling(config), found_candidates["needs"]
    )
    sets = _scratch(job, "sets", gather, [*old_parts, *parts]).get("sets", [])
    ends = [*starts[1:], parts[-1].first + parts[-1].rows]
    check = functools.partial(
        candidates.verify_candidates, found_candidates["candidates"], config.threshold
    )
    groups = candidates.row_groups_by_chunk(sets)
    spans = enumerate(zip(starts, ends, strict=True))
    tasks = [CandidateChunk(number, *span, tuple(groups.get(number, ()))) for number, span in spans]
    return [left.get("verified", []) for left in _scratch_by_task(job, "verified", check, tasks)]


def _find_passages(
    job: Job[DedupConfig],
    decisions: list[Path],
    old_parts: list[CorpusPart],
    parts: list[CorpusPart],
) -> Findings:
    """Find passages that earlier documents have, among the new documents that stay."""
    config = job.config.passages
    findings = Findings(decisions)
    if not config.kinds or not parts:
        return findings
    hashing = functools.partial(passage_search.write_passage_hashes, config, decisions)
    marks = _scratch(job, "marks", hashing, parts).get("index_marks", [])
    if job.stage.previous is not None:
        marks = [*job.stage.previous.parts("index_marks"), *marks]
    find = functools.partial(passage_search.find_repeats, marks, parts[0].first)
    ranges = key_ranges(sum(map(parquet_rows, marks))) if marks else []
    repeats = _scratch(job, "repeats", find, ranges).get("repeats", [])
    if not repeats:
        return replace(findings, passages=_removed_passages(job, {}))
    contexts: list[Path] = []
    if config.substrings:
        least = config.least_substring_bytes
        around = functools.partial(passage_search.write_contexts, least, repeats)
        contexts = _scratch(job, "contexts", around, [*old_parts, *parts]).get("contexts", [])
    write = functools.partial(passage_removal.write_pieces, config, repeats, contexts)
    files = _scratch(job, "pieces", write, parts)
    return replace(findings, passages=_removed_passages(job, files))


def _removed_passages(job: Job[DedupConfig], files: Files) -> RemovedPassages:
    """Return what new documents lose, by the files of `write_pieces`, and what old ones lost."""
    old = job.stage.previous
    before = (old.parts("index_origins"), old.parts("index_cuts")) if old else ([], [])
    provenance = Provenance(files.get("covers", []), before[0])
    return RemovedPassages(files.get("pieces", []), files.get("emptied", []), before[1], provenance)


def _scratch(job: Job[DedupConfig], phase: str, work: PartFunction, tasks: Sequence[Any]) -> Files:
    """Run a phase and return the files it left, by table, in task order."""
    files: Files = {}
    for left in _scratch_by_task(job, phase, work, tasks):
        for table, paths in left.items():
            files.setdefault(table, []).extend(paths)
    return files


def _scratch_by_task(
    job: Job[DedupConfig], phase: str, work: PartFunction, tasks: Sequence[Any]
) -> list[Files]:
    """Run a phase and return the files that each task left, by table."""
    contracts = {**SCRATCH, **passage_search.SCRATCH}
    folder = job.scratch(phase)
    return [
        {table: [folder / entry["path"] for entry in entries] for table, entries in r.files.items()}
        for r in job.map(work, list(tasks), phase=phase, contracts=contracts)
    ]


def _shingling(config: DedupConfig) -> Shingling:
    return Shingling(
        config.words_per_shingle,
        config.characters_per_shingle,
        config.bands,
        config.rows_per_band,
        config.seed,
    )


STAGE = Stage(
    name="dedup",
    contract=DEDUPED,
    run=run,
    module="pipeline.dedup",
    libraries=("numba", "numpy", "polars", "pyarrow"),
    tables={**INDEX, **passage_search.INDEX, "pairs": PAIRS, CHANGES: passage_removal.CUT},
)
