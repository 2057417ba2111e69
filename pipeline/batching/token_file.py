"""A split's tokens on disk, `<|bos|>` document `<|eos|>` end to end, mapped rather than read.

Made of a shard artifact once: each part is held against its SHA-256, lengths are counted (see
`placement`), then documents are written where source and language lie, a row group in memory.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from typing_extensions import TypedDict

from pipeline.batching.damage import sound_parts
from pipeline.batching.placement import Placement
from pipeline.batching.token_layout import Stratum, TokenLayout
from pipeline.errors import ArtifactError
from pipeline.shard import refuse_another_tokenizer
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import Tokenizer

COLUMNS = ["split", "source", "lang", "tokens", "bytes"]


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
        groups: dict[int, list[Stratum]] = {}
        for stratum in strata:
            groups.setdefault(stratum.group, []).append(stratum)
        return [groups[number] for number in sorted(groups)]


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
    identity = storage.canonical_json([shards.fingerprint, split, *layout.identity])
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
        placement = Placement(parts, self.split, self.layout, str(self.shards.path))
        strata = placement.strata
        dtype = np.dtype(np.uint16 if self.tokenizer.vocab_size <= 1 << 16 else np.uint32)
        with storage.whole_file(self.path) as temporary:
            with temporary.open("wb") as file:
                file.truncate(sum(stratum.tokens for stratum in strata) * dtype.itemsize)
            tasks = range(len(parts))
            placement.over(tasks, lambda part: self._place(temporary, dtype, placement, part))
        index = {
            "dtype": dtype.name,
            "strata": [asdict(stratum) for stratum in strata],
            "skipped": skipped,
            "outside": placement.outside,
            "sha256": storage.sha256_of(self.path),
            **_stamp(self.path),
        }
        storage.write_json(self.path.with_suffix(".json"), index)

    def _groups(self, part: Path) -> Iterator[pa.Table]:
        with pq.ParquetFile(part) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=[*COLUMNS, *self.layout.columns])
                table = table.append_column("length", pc.list_value_length(table["tokens"]))
                yield table.filter(pc.equal(table["split"], self.split)).combine_chunks()

    def _place(self, path: Path, dtype: np.dtype, placement: Placement, part: int) -> None:
        starts = placement.starts[part]
        at = dict(starts)
        with path.open("r+b") as file:
            for table in self._groups(placement.parts[part]):
                for key, rows in self.layout.sorted_rows(table, placement.bounds, placement.seen):
                    if key not in at:
                        continue
                    ids = framed(rows["tokens"].combine_chunks(), dtype)
                    file.seek(at[key] * dtype.itemsize)
                    file.write(ids.tobytes())
                    at[key] += len(ids)
        for key, (tokens, _) in placement.counted[part].items():
            if key in at and at[key] - starts[key] != tokens:
                raise ArtifactError(
                    f"{placement.parts[part]}: {at[key] - starts[key]} tokens of {key[2]}, "
                    f"{key[3]}, by the column `offset` {tokens}; make the shards again"
                )


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
