"""The work of the stage `dedup`: find copies, similar documents and passages, write what stays."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.duplicates import candidates, passage_removal, passage_search, verification
from pipeline.duplicates.config import DedupConfig
from pipeline.duplicates.corpus import CorpusPart, IndexFile, corpus_parts, digest_of, parquet_rows
from pipeline.duplicates.decisions import KINDS, Decider, Findings, write_part
from pipeline.duplicates.numbering import Chunk, chunks_of, refuse_changed_inputs, spans_of
from pipeline.duplicates.passage_removal import RemovedPassages
from pipeline.duplicates.provenance import Provenance
from pipeline.duplicates.signatures import Shingling
from pipeline.duplicates.tables import MARKS, SCRATCH, SIGNATURES, VERIFIED
from pipeline.parts import PartFunction
from pipeline.stage import Job
from pipeline.store.sink import PartResult

# Rows of a hash partition (24 bytes each): a few partitions fit into a laptop's memory.
PARTITION_ROWS = 1 << 20

Files = dict[str, list[Path]]  # by table
NO_NEEDS = pl.DataFrame(schema={"document": pl.Int64, "chunk": pl.Int64})


def deduplicate(job: Job[DedupConfig]) -> None:
    """Deduplicate the parent artifacts, taken one after the other as one corpus."""
    config = job.config
    if job.stage.previous is not None:
        refuse_changed_inputs(job.stage.previous, job.stage, config)
    parts = corpus_parts(job.parents)
    total = sum(part.rows for part in parts)
    address = config.address_field if config.same_address else None
    sign = functools.partial(
        candidates.write_signatures, _shingling(config), (config.exact, config.near, address)
    )
    signed = job.map_batches(
        sign,
        parts,
        [part.bytes for part in parts],
        _kept(config, SIGNATURES),
        keys=[part.sha256 for part in parts],
    )
    ranges = key_ranges(total * config.bands)
    exact = _index_files(job, SIGNATURES, "index_exact", signed, parts)
    find = functools.partial(candidates.find_copies, exact)
    copies = _scratch(job, "copies", find, ranges if exact else []).get("copies", [])
    bands = _index_files(job, SIGNATURES, "index_bands", signed, parts)
    decider = Decider(job.scratch("decisions"), total)
    for first, end, verified in _similar_pairs(job, ranges, bands, parts):
        decider.decide(copies, verified, first, end)
    findings = _find_passages(job, decider.files, parts)
    write = functools.partial(write_part, config.threshold, findings)
    keys = [about.key(part) for part, about in zip(parts, findings.about_each(parts), strict=True)]
    job.map(write, parts, keys=keys)
    ledger = job.output.ledger
    job.stats.update(
        documents=total, **{stat: ledger.dropped[rule] for rule, stat in KINDS.values()}
    )


def key_ranges(rows: int) -> list[tuple[int, int]]:
    """Ranges (first, end) of keys, each with about PARTITION_ROWS of `rows` rows at most."""
    count = max(1, -(-rows // PARTITION_ROWS))
    bounds = [(part << candidates.HASH_BITS) // count for part in range(count + 1)]
    return list(itertools.pairwise(bounds))


def _similar_pairs(
    job: Job[DedupConfig],
    ranges: list[tuple[int, int]],
    bands: list[IndexFile],
    parts: list[CorpusPart],
) -> Iterator[tuple[int, int, list[pl.DataFrame]]]:
    """Yield (first, end, similar pairs by chunk) of spans of documents, in order."""
    config, chunks = job.config, chunks_of(parts)
    find = functools.partial(candidates.find_candidates, config.neighbours, config.exact, bands)
    found = _scratch(job, "candidates", find, ranges if bands else []).get("candidates", [])
    verified = _verify(job, found, chunks, parts)
    for span in spans_of(chunks):
        first, end = span[0].first, span[-1].end
        pairs = verification.pairs_between(found, first, end)
        similar = [
            verification.verified_pairs(_own_pairs(pairs, chunk), verified[chunk.number])
            for chunk in span
            if verified[chunk.number]
        ]
        yield first, end, similar


def _verify(
    job: Job[DedupConfig], found: list[Path], chunks: list[Chunk], parts: list[CorpusPart]
) -> list[list[Path]]:
    """Return the files of the similar pairs of each chunk; known ones are not compared again."""
    phase, names = _kept(job.config, VERIFIED), verification.PartNames.of(parts)
    keys: list[Any] = []
    needs: list[Path] = []
    asked: list[str] = []  # keys of the chunks that are to be compared
    sources: set[int] = set()  # numbers of the parts with a document of theirs
    for number, span in enumerate(spans_of(chunks)):
        pairs = verification.pairs_between(found, span[0].first, span[-1].end)
        own = [_own_pairs(pairs, chunk) for chunk in span]
        keys += [names.key(chunk, rows) for chunk, rows in zip(span, own, strict=True)]
        missing = job.unfinished(phase, keys[-len(span) :], first=span[0].number)
        needed = [verification.needs_of(span[at], own[at]) for at in missing]
        asked += [str(keys[span[0].number + at]) for at in missing]
        sources.update(*(names.of_documents(frame["document"]) for frame in needed))
        needs.append(job.scratch("needs") / f"{number:06d}.parquet")
        pl.concat([NO_NEEDS, *needed]).write_parquet(needs[-1])
    gather = functools.partial(verification.write_shingle_sets, _shingling(job.config), needs)
    of_all = digest_of(*asked)
    owners = [parts[number] for number in sorted(sources)]
    sets = _scratch(job, "sets", gather, owners, [[of_all, part.sha256] for part in owners])
    groups = verification.row_groups_by_chunk(sets.get("sets", []))
    check = functools.partial(verification.verify_candidates, found, job.config.threshold)
    tasks = [verification.ChunkSets(chunk, tuple(groups.get(chunk.number, ()))) for chunk in chunks]
    results = job.map(check, tasks, phase=phase, keys=keys)
    return [_files(job, VERIFIED, result).get("index_verified", []) for result in results]


def _own_pairs(pairs: pl.DataFrame, chunk: Chunk) -> pl.DataFrame:
    low, high = np.searchsorted(pairs["later"].to_numpy(), [chunk.first, chunk.end])
    return pairs[int(low) : int(high)]


def _find_passages(
    job: Job[DedupConfig], decisions: list[Path], parts: list[CorpusPart]
) -> Findings:
    """Find passages that earlier documents have, among the documents that stay."""
    config = job.config.passages
    findings = Findings(decisions)
    if not config.kinds or not parts:
        return findings
    hashing = functools.partial(passage_search.write_passage_hashes, config, decisions)
    each = zip(parts, findings.about_each(parts), strict=True)
    keys = [about.key(part) for part, about in each]
    marked = job.map(hashing, parts, phase=_kept(job.config, MARKS), keys=keys)
    marks = _index_files(job, MARKS, "index_marks", marked, parts)
    find = functools.partial(passage_search.find_repeats, marks)
    ranges = key_ranges(sum(parquet_rows(mark.path) for mark in marks)) if marks else []
    repeats = _scratch(job, "repeats", find, ranges).get("repeats", [])
    if not repeats:
        return replace(findings, passages=_removed_passages({}))
    contexts: list[Path] = []
    if config.substrings:
        least = config.least_substring_bytes
        around = functools.partial(passage_search.write_contexts, least, repeats)
        contexts = _scratch(job, "contexts", around, parts).get("contexts", [])
    write = functools.partial(passage_removal.write_pieces, config, repeats, contexts)
    return replace(findings, passages=_removed_passages(_scratch(job, "pieces", write, parts)))


def _removed_passages(files: Files) -> RemovedPassages:
    provenance = Provenance(files.get("covers", []))
    return RemovedPassages(files.get("pieces", []), files.get("emptied", []), provenance)


def _kept(config: DedupConfig, phase: str) -> str:
    """Return the name of a phase whose tables stay with the artifact, unless none are to."""
    return phase if config.keep_index else f"{phase}-unkept"


def _files(job: Job[DedupConfig], phase: str, result: PartResult) -> Files:
    """Return the files that a task of such a phase left, by table."""
    folder = job.folder if job.config.keep_index else job.scratch(_kept(job.config, phase))
    return {
        table: [folder / entry["path"] for entry in entries]
        for table, entries in result.files.items()
    }


def _index_files(
    job: Job[DedupConfig],
    phase: str,
    table: str,
    results: Sequence[PartResult],
    parts: Sequence[CorpusPart],
) -> list[IndexFile]:
    """Return the files of an index table, each with the number of its part's first document."""
    return [
        IndexFile(path, part.first)
        for part, result in zip(parts, results, strict=True)
        for path in _files(job, phase, result).get(table, [])
    ]


def _scratch(
    job: Job[DedupConfig],
    phase: str,
    work: PartFunction,
    tasks: Sequence[Any],
    keys: Sequence[Any] | None = None,
) -> Files:
    """Run a phase and return the files it left, by table, in task order."""
    contracts = {**SCRATCH, **passage_search.SCRATCH}
    folder, files = job.scratch(phase), Files()
    for result in job.map(work, list(tasks), phase=phase, contracts=contracts, keys=keys):
        for table, entries in result.files.items():
            files.setdefault(table, []).extend(folder / entry["path"] for entry in entries)
    return files


def _shingling(config: DedupConfig) -> Shingling:
    return Shingling(
        config.words_per_shingle,
        config.characters_per_shingle,
        config.bands,
        config.rows_per_band,
        config.seed,
    )
