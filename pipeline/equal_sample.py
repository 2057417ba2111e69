"""Stage `equal_sample`: shards -> as many training tokens as other shards have, one held-out set.

To tell what a rule of the data is worth, models are trained on shards that differ by that rule
alone: in what is in them, not in how much of it there is nor how often it is seen. So each is cut
to the same number of tokens, documents in the order of their hashes, and all share the held-out
documents of one of them. What is a copy of a held-out document, in the eyes of either, is left out.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.hashing import id_hashes
from pipeline.schema import shard_contract
from pipeline.shard import COUNTED, count, record
from pipeline.splitting import TRAIN, VALIDATION
from pipeline.stage import Job, Stage
from pipeline.store.artifact import MAIN, Artifact
from pipeline.store.sink import REJECTS, Sink
from pipeline.tokenizer import MODEL_FILE, load_tokenizer

SALT = "equal sample"
BUCKETS = 1 << 16  # of hashes; a bound between two of them is exact to 1 / BUCKETS of the tokens
WHOLE = 1 << 64  # above all hashes
HELD_OUT, COPY, LEFT_OUT, BEYOND = (
    *("of_other_held_out_text", "copy_of_held_out_text"),
    *("source_left_out", "beyond_the_sample"),
)


@dataclass(frozen=True)
class EqualSampleConfig:
    """Which training documents are taken: hashes below `bound`, of all sources but one."""

    bound: int = WHOLE
    without_source: str | None = None


def run(job: Job[EqualSampleConfig]) -> None:
    """Take training rows of the first parent and the held-out rows of the second.

    Further parents are dedup artifacts, whose rejects tell what is a copy of what.
    """
    shards, base, *deduped = job.parents
    copies = job.scratch("copies") / "copies.npy"
    np.save(copies, copies_of_held_out(base, deduped))
    model = base.file(MODEL_FILE)
    tasks = [(part, TRAIN) for part in shards.parts()]
    tasks += [(part, VALIDATION) for part in base.parts()]
    results = job.map(
        functools.partial(sample_part, job.config, copies),
        tasks,
        contracts={MAIN: shard_contract(load_tokenizer(model).vocab_size)},
    )
    record(job, [result.value for result in results], load_tokenizer(model), model)


def sample_part(
    config: EqualSampleConfig, copies: Path, task: tuple[Path, str], sink: Sink
) -> dict[str, Any]:
    """Write what is taken of one part; return its COUNTED figures."""
    part, split = task
    left_out = np.load(copies)
    counted: dict[str, Counter[str]] = {name: Counter() for name in COUNTED}
    before = 0
    for table in _row_groups(part, split):
        sink.saw(table.num_rows)
        rows = table
        if split == TRAIN:
            reasons = _reasons(table, config, left_out)
            for reason in (COPY, LEFT_OUT, BEYOND):
                sink.dropped(reason, int((reasons == reason).sum()))
            rows = table.filter(pa.array(reasons == ""))
        lengths = pc.list_value_length(rows["tokens"]).to_numpy().astype(np.int64)
        ends = before + np.cumsum(lengths)
        offsets = pa.array(np.r_[before, ends][:-1])
        place = rows.column_names.index("offset")
        rows = rows.set_column(place, "offset", offsets)
        before = int(ends[-1]) if len(ends) else before
        sink.write(MAIN, rows)
        for name, figures in count(rows).items():
            counted[name].update(figures)
    return {name: dict(counter) for name, counter in counted.items()}


def token_histogram(
    shards: Artifact, copies: np.ndarray, without_source: str | None = None
) -> np.ndarray:
    """Return the training tokens (BUCKETS,) that may be taken, by the hash of their document."""
    histogram = np.zeros(BUCKETS, np.int64)
    config = EqualSampleConfig(without_source=without_source)
    for part in shards.parts():
        for table in _row_groups(part, TRAIN):
            taken = table.filter(pa.array(_reasons(table, config, copies) == ""))
            buckets = (id_hashes(taken["id"], SALT) >> np.uint64(48)).astype(np.int64)
            lengths = pc.list_value_length(taken["tokens"]).to_numpy()
            histogram += np.bincount(buckets, lengths, BUCKETS).astype(np.int64)
    return histogram


def bound_of(histogram: np.ndarray, tokens: int) -> int:
    """Return the hash below which documents hold at least `tokens`, as few more as can be."""
    bucket = int(np.searchsorted(np.cumsum(histogram), tokens))
    return min((bucket + 1) << 48, WHOLE)


def copies_of_held_out(base: Artifact, deduped: Sequence[Artifact]) -> np.ndarray:
    """Return the hashes, sorted, of held-out documents and of their copies, copies of those too.

    A document that dedup removed is a copy of its partner; so the partner is one of it.
    """
    held_out = pl.Series(dtype=pl.String)
    for part in base.parts():
        for table in _row_groups(part, VALIDATION):
            held_out = held_out.append(pl.Series(values=table["id"].to_pylist(), dtype=pl.String))
    edges = _edges(deduped)
    reached = held_out.unique()
    while True:
        joined = edges.filter(pl.col("id").is_in(reached.implode()))["partner"]
        larger = pl.concat([reached, joined]).unique()
        if len(larger) == len(reached):
            break
        reached = larger
    return np.sort(id_hashes(pa.array(reached.to_list(), pa.string()), SALT))


def _edges(deduped: Sequence[Artifact]) -> pl.DataFrame:
    columns = {"id": pl.String, "partner": pl.String}
    frames = [pl.DataFrame(schema=columns)]
    for artifact in deduped:
        if artifact.parts(REJECTS):
            pairs = artifact.scan(REJECTS).select(*columns).filter(pl.col("partner").is_not_null())
            frames.append(pairs.collect())
    one_way = pl.concat(frames).unique()
    return pl.concat([one_way, one_way.select(id="partner", partner="id")])


def _reasons(table: pa.Table, config: EqualSampleConfig, copies: np.ndarray) -> np.ndarray:
    """Return why each row is not taken; '' where it is."""
    hashes = id_hashes(table["id"], SALT)
    reasons = np.full(len(hashes), "", object)
    if config.bound < WHOLE:
        reasons[hashes >= np.uint64(config.bound)] = BEYOND
    if config.without_source is not None:
        of_source = pc.equal(table["source"], config.without_source).to_numpy(zero_copy_only=False)
        reasons[of_source] = LEFT_OUT
    reasons[np.isin(hashes, copies)] = COPY
    return reasons


def _row_groups(part: Path, split: str) -> Iterator[pa.Table]:
    with pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            yield table.filter(pc.equal(table["split"], split))


STAGE = Stage(
    name="equal_sample",
    contract=shard_contract(1 << 16),
    run=run,
    module="pipeline.equal_sample",
    libraries=("numpy", "polars", "pyarrow"),
)
