"""A split's tokens on disk, `<|bos|>` document `<|eos|>` end to end, mapped rather than read.

Made of a shard artifact once, in two passes with a row group in memory each: the first checks every
part's SHA-256 and counts, the second writes each document where its source and language lie.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from typing_extensions import TypedDict

from pipeline.batching.curriculum import Levels, levels_of
from pipeline.batching.damage import sound_parts
from pipeline.batching.mixture import Share, group_of
from pipeline.errors import ConfigError
from pipeline.shard import refuse_another_tokenizer
from pipeline.shard_measures import PREFIX
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import Tokenizer

COLUMNS = ["split", "source", "lang", "tokens", "bytes"]
PARTS_AT_ONCE = 4
Key = tuple[int, int, str, str]  # group, level, source, language


@dataclass(frozen=True)
class Stratum:
    """A run of the file: documents of one share, level, source and language."""

    group: int
    level: int
    source: str
    lang: str
    start: int  # of its first token in the file
    tokens: int
    documents: int


@dataclass(frozen=True)
class TokenFile:
    """Tokens on disk, one smallest unsigned integer each, and what lies where.

    `skipped` holds the parts left out on request, with their tokens and what was wrong with them;
    `outside` counts tokens of documents that no share of the mixture takes.
    """

    path: Path
    dtype: np.dtype
    strata: tuple[Stratum, ...] = ()
    skipped: tuple[dict[str, Any], ...] = ()
    outside: int = 0

    def __len__(self) -> int:
        """Count the tokens."""
        return self.path.stat().st_size // self.dtype.itemsize

    def tokens(self) -> np.ndarray:
        """Map the tokens into memory (N,)."""
        if len(self) == 0:
            return np.zeros(0, self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r")

    def groups(self) -> list[list[Stratum]]:
        """Return the strata of each group, in order; all in one where none are known."""
        strata = self.strata or (Stratum(0, 0, "", "", 0, len(self), 0),)
        groups: list[list[Stratum]] = [[] for _ in range(max(s.group for s in strata) + 1)]
        for stratum in strata:
            groups[stratum.group].append(stratum)
        return groups


@dataclass(frozen=True)
class TokenLayout:
    """What decides where a document lies, and which parts are left out."""

    shares: tuple[Share, ...] = ()
    levels: Levels | None = None
    skip_parts: tuple[str, ...] = ()


def token_file(
    shards: Artifact,
    split: str,
    tokenizer: Tokenizer,
    folder: Path,
    layout: TokenLayout | None = None,
) -> TokenFile:
    """Write a split's tokens to `folder` unless they are there; processes wait for the first.

    Raises TrainingError if the shards were made with another tokenizer, ArtifactError naming every
    part that is missing, truncated or altered, ConfigError for a share that takes no documents.
    """
    layout = layout or TokenLayout()
    refuse_another_tokenizer(shards, tokenizer)
    identity = storage.canonical_json([shards.fingerprint, split, asdict(layout)])
    path = folder / f"{split}-{storage.sha256_text(identity)[:16]}.tokens"
    with storage.locked(folder / ".lock"):
        reopened = _reopen(path)
        if reopened is None:
            _Writing(shards, split, tokenizer, layout, path).write()
            reopened = _reopen(path)
    assert reopened is not None
    return reopened


def framed(tokens: pa.ListArray, dtype: np.dtype) -> np.ndarray:
    """Return the lists end to end, each between `<|bos|>` and `<|eos|>`."""
    lengths = tokens.value_lengths().to_numpy()
    ends = np.cumsum(lengths + 2)
    starts = ends - lengths - 2
    result = np.empty(int(ends[-1]) if len(ends) else 0, dtype)
    inner = np.ones(len(result), bool)
    inner[starts] = inner[ends - 1] = False
    result[starts], result[ends - 1] = Tokenizer.bos_id, Tokenizer.eos_id
    result[inner] = tokens.flatten().to_numpy()
    return result


@dataclass
class _Writing:
    shards: Artifact
    split: str
    tokenizer: Tokenizer
    layout: TokenLayout
    path: Path

    def write(self) -> None:
        """Write the token file and then its index, which makes it one."""
        parts, skipped = sound_parts(self.shards, self.layout.skip_parts)
        self._refuse_missing_measure(parts)
        bounds = np.zeros(0)
        if self.layout.levels is not None:
            measured = self._over(parts, self._measure)
            bounds = self.layout.levels.bounds(np.concatenate([np.zeros(0), *measured]))
        counted = self._over(parts, lambda part: self._count(part, bounds))
        strata, starts = self._strata(counted)
        dtype = np.dtype(np.uint16 if self.tokenizer.vocab_size <= 1 << 16 else np.uint32)
        with storage.whole_file(self.path) as temporary:
            with temporary.open("wb") as file:
                file.truncate(sum(stratum.tokens for stratum in strata) * dtype.itemsize)
            tasks = list(zip(parts, starts, strict=True))
            self._over(tasks, lambda task: self._place(temporary, dtype, bounds, *task))
        index = {
            "dtype": dtype.name,
            "strata": [asdict(stratum) for stratum in strata],
            "skipped": skipped,
            "outside": sum(c[0] for part in counted for key, c in part.items() if key[0] < 0),
            "sha256": storage.sha256_of(self.path),
            **_stamp(self.path),
        }
        storage.write_json(self.path.with_suffix(".json"), index)

    @property
    def _measure_columns(self) -> list[str]:
        levels = self.layout.levels
        return [] if levels is None or levels.column is None else [levels.column]

    def _refuse_missing_measure(self, parts: list[Path]) -> None:
        for part in parts:
            for name in {*self._measure_columns} - {*pq.read_schema(part).names}:
                measure = name.removeprefix(PREFIX)
                raise ConfigError(
                    f"{part}: no column {name}, by which the curriculum goes; make the shards "
                    f'again with `--set shard.measures=["{measure}"]`'
                )

    def _over(self, tasks: Sequence[Any], work: Callable[[Any], Any]) -> list[Any]:
        with ThreadPoolExecutor(PARTS_AT_ONCE) as threads:
            return list(threads.map(work, tasks))

    def _groups(self, part: Path) -> Iterator[pa.Table]:
        with pq.ParquetFile(part) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=[*COLUMNS, *self._measure_columns])
                yield table.filter(pc.equal(table["split"], self.split)).combine_chunks()

    def _measure(self, part: Path) -> np.ndarray:
        assert self.layout.levels is not None
        measured = [self.layout.levels.measured(table) for table in self._groups(part)]
        return np.concatenate([np.zeros(0), *measured])

    def _count(self, part: Path, bounds: np.ndarray) -> dict[Key, tuple[int, int]]:
        tokens: Counter[Key] = Counter()
        documents: Counter[Key] = Counter()
        for table in self._groups(part):
            for key, rows in self._sorted(table, bounds):
                tokens[key] += len(rows["tokens"].combine_chunks().flatten()) + 2 * rows.num_rows
                documents[key] += rows.num_rows
        return {key: (tokens[key], documents[key]) for key in tokens}

    def _sorted(self, table: pa.Table, bounds: np.ndarray) -> Iterator[tuple[Key, pa.Table]]:
        """Yield the rows of each stratum, in order."""
        levels_N = levels_of(self.layout.levels, table, bounds)
        pairs = table.select(["source", "lang"]).append_column("level", pa.array(levels_N))
        groups = pairs.group_by(["source", "lang", "level"]).aggregate([])
        for row in groups.to_pylist():
            group = group_of(self.layout.shares, row["source"], row["lang"])
            here = pc.and_(
                pc.and_(
                    pc.equal(pairs["source"], row["source"]), pc.equal(pairs["lang"], row["lang"])
                ),
                pc.equal(pairs["level"], row["level"]),
            )
            key = (-1 if group is None else group, row["level"], row["source"], row["lang"])
            yield key, table.filter(here)

    def _strata(
        self, counted: list[dict[Key, tuple[int, int]]]
    ) -> tuple[list[Stratum], list[dict[Key, int]]]:
        """Return the strata in file order and where each part's share of each begins."""
        keys = sorted({key for part in counted for key in part if key[0] >= 0})
        self._refuse_empty_shares(counted, keys)
        strata: list[Stratum] = []
        starts: list[dict[Key, int]] = [{} for _ in counted]
        at = 0
        for key in keys:
            begin, documents = at, 0
            for part, own in zip(counted, starts, strict=True):
                tokens, rows = part.get(key, (0, 0))
                own[key] = at
                at, documents = at + tokens, documents + rows
            strata.append(Stratum(*key, start=begin, tokens=at - begin, documents=documents))
        return strata, starts

    def _refuse_empty_shares(self, counted: list[dict[Key, Any]], keys: list[Key]) -> None:
        if self.split != "train":  # what is held out need not hold every share
            return
        taken = {key[0] for key in keys}
        for index, share in enumerate(self.layout.shares):
            if index not in taken:
                known = sorted({f"{key[2]}/{key[3]}" for part in counted for key in part})
                raise ConfigError(
                    f"mixture: share {share.label} takes no documents of {self.shards.path}; "
                    f"there are {', '.join(known)}; a document goes to the first share it fits"
                )

    def _place(
        self, path: Path, dtype: np.dtype, bounds: np.ndarray, part: Path, starts: dict[Key, int]
    ) -> None:
        at = dict(starts)
        with path.open("r+b") as file:
            for table in self._groups(part):
                for key, rows in self._sorted(table, bounds):
                    if key[0] < 0:
                        continue
                    ids = framed(rows["tokens"].combine_chunks(), dtype)
                    file.seek(at[key] * dtype.itemsize)
                    file.write(ids.tobytes())
                    at[key] += len(ids)


def _reopen(path: Path) -> TokenFile | None:
    """Return the token file if it is there and as it was written."""
    index_file = path.with_suffix(".json")
    index = storage.recall_json(index_file, _Index)
    if index is None or not path.exists():
        return None
    # The time of the last change stands for the content: hashing gigabytes is no instant resume.
    same = all(index[name] == value for name, value in _stamp(path).items())
    if not same and storage.sha256_of(path) != index["sha256"]:
        return None
    strata = tuple(Stratum(**entry) for entry in index["strata"])
    return TokenFile(
        path, np.dtype(index["dtype"]), strata, tuple(index["skipped"]), index["outside"]
    )


class _Index(TypedDict):
    dtype: Literal["uint16", "uint32"]
    strata: list[Stratum]
    skipped: list[dict[str, Any]]
    outside: int
    sha256: str
    bytes: int
    modified_ns: int


def _stamp(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}
