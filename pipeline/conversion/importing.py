"""Token files of other tools to shards: a stage whose artifact is like that of `shard`."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import TypedDict

from pipeline.conversion.exporting import KEPT, NOTE, SPLITS
from pipeline.conversion.formats import FORMATS, TokenMap
from pipeline.errors import ConfigError, SourceError
from pipeline.schema import UNKNOWN_LANGUAGE, shard_contract
from pipeline.shard import (
    NO_TOKENS,
    TRAIN,
    VALIDATION,
    ShardConfig,
    count,
    record,
    row_groups,
    splits,
    token_lists,
)
from pipeline.stage import Job, Stage
from pipeline.store import storage
from pipeline.store.artifact import MAIN
from pipeline.store.sink import REJECTS, Sink
from pipeline.tokenizer import CONTROLS, MODEL_FILE, Tokenizer, load_tokenizer

TOKENS_AT_ONCE = 1 << 22
CONTROL_INSIDE = "control_inside"


@dataclass(frozen=True)
class TokenFolder:
    """A folder of another tool's token files, and the tokenizer they were made with."""

    path: Path
    format: str
    tokenizer: Path

    @property
    def stage(self) -> str:
        """What made it."""
        return f"tokens of {self.format}"

    @property
    def fingerprint(self) -> str:
        """Hash of all files that are read."""
        kept = [self.path / f"documents-{split}.parquet" for split in SPLITS]
        files = [file for split in SPLITS for file in self.files(split)]
        existing = [file for file in (*files, *kept, self.tokenizer) if file.exists()]
        return storage.sha256_text(
            storage.canonical_json([[file.name, storage.sha256_of(file)] for file in existing])
        )

    def files(self, split: str) -> list[Path]:
        """Return the files of a split, which need not be there."""
        return [self.path / name for name in FORMATS[self.format].files(split)]

    def map(self, split: str, eos_id: int) -> TokenMap | None:
        """Map a split's tokens; None if there is no such split.

        Raises SourceError if the file is shorter than its index says.
        """
        files = self.files(split)
        if not files[0].exists():
            return None
        token_map = FORMATS[self.format].map(files, eos_id)
        length = len(token_map.ids())
        if len(token_map.ends) and token_map.ends[-1] > length:
            raise SourceError(
                f"{files[0]}: {length} tokens, its index says {token_map.ends[-1]}; it is not whole"
            )
        return token_map


def open_folder(path: Path, name: str, tokenizer: Path | None) -> TokenFolder:
    """Return the folder as a parent of a stage; the tokenizer may lie in it.

    Raises ConfigError for an unknown format, SourceError if there are no such files, they were
    altered since `export` wrote them, or belong to another tokenizer.
    """
    if name not in FORMATS:
        raise ConfigError(f"format {name!r}, wanted one of {', '.join(FORMATS)}")
    model = tokenizer or path / MODEL_FILE
    model = model / MODEL_FILE if model.is_dir() else model
    if not model.is_file():
        raise ConfigError(f"{model}: no tokenizer there; give its folder with --tokenizer")
    folder = TokenFolder(path, name, model)
    if not folder.files(TRAIN)[0].exists():
        wanted = folder.files(TRAIN)[0].relative_to(path)
        raise SourceError(f"{path}: no {wanted}, which {name} has; is --from right?")
    if (path / NOTE).exists():
        _check_note(path, storage.read_json(path / NOTE, _ConversionNote), model)
    return folder


class _ConversionNote(TypedDict):
    tokenizer_sha256: str
    files: dict[str, str]


def _check_note(path: Path, note: _ConversionNote, model: Path) -> None:
    if storage.sha256_of(model) != note["tokenizer_sha256"]:
        raise SourceError(
            f"{path}: written with tokenizer {note['tokenizer_sha256'][:16]}, {model} is another; "
            f"leave out --tokenizer to use the folder's own"
        )
    for name, digest in note["files"].items():
        file = storage.inside(path, name)
        if not file.is_file() or storage.sha256_of(file) != digest:
            what = "missing" if not file.is_file() else "other content than was written"
            raise SourceError(f"{file}: {what}; run `textmill convert` on the shards again")


@dataclass(frozen=True)
class ImportConfig:
    """What the other format does not say; `shard` splits where it has no validation file."""

    source: str = "imported"
    lang: str = UNKNOWN_LANGUAGE
    shard: ShardConfig = field(default_factory=ShardConfig)

    def __post_init__(self) -> None:
        if self.shard.measures:
            raise ConfigError(
                f"shard.measures: {', '.join(self.shard.measures)}, but token files have no text "
                f"to measure; leave it out, or make shards of the text with `textmill shard`"
            )


@dataclass(frozen=True)
class _Range:
    """Some documents of a split: number of the first, where its ids begin, where each ends."""

    split: str
    path: Path
    dtype: str
    first: int
    begin: int
    ends: np.ndarray


def run(job: Job[ImportConfig]) -> None:
    """Make shards of the first parent, a TokenFolder."""
    folder: TokenFolder = job.parents[0]
    tokenizer = load_tokenizer(folder.tokenizer)
    tasks: list[_Range] = []
    for split in SPLITS:
        token_map = folder.map(split, tokenizer.eos_id)
        if token_map is not None:
            tasks += _ranges(split, token_map)
    work = functools.partial(_import_range, job.config, folder)
    results = job.map(work, tasks, contracts={MAIN: shard_contract(tokenizer.vocab_size)})
    record(job, [result.value for result in results], tokenizer, folder.tokenizer)


def _ranges(split: str, token_map: TokenMap) -> Iterator[_Range]:
    """Yield ranges of documents of about TOKENS_AT_ONCE."""
    cuts = np.flatnonzero(np.diff(token_map.ends // TOKENS_AT_ONCE)) + 1
    begin, first = 0, 0
    for ends in np.split(token_map.ends, cuts):
        if len(ends):
            yield _Range(split, token_map.path, token_map.dtype, first, begin, ends)
            begin, first = int(ends[-1]), first + len(ends)


def _import_range(
    config: ImportConfig, folder: TokenFolder, task: _Range, sink: Sink
) -> dict[str, Any]:
    tokenizer = load_tokenizer(folder.tokenizer)
    sink.saw(len(task.ends))
    lists, inside_D = _documents(folder, task, tokenizer)
    length_D = lists.value_lengths().to_numpy()
    kept = _kept(config, folder, task, lists, tokenizer)
    for rule, value_D in ((NO_TOKENS, (length_D == 0) * 1.0), (CONTROL_INSIDE, inside_D)):
        sink.write(REJECTS, _rejects(kept, rule, value_D))
    own_split = not folder.files(VALIDATION)[0].exists()
    shard = config.shard
    of_split = pa.array([task.split] * len(length_D))
    table = pa.table(
        {
            **{name: kept[name] for name in KEPT},
            "split": splits(kept["id"], shard.salt, shard.bound) if own_split else of_split,
            "tokens": lists,
        }
    ).filter(pa.array((length_D > 0) & (inside_D == 0)))
    length_D = length_D[(length_D > 0) & (inside_D == 0)]
    offset_D = np.cumsum(length_D, dtype=np.int64) - length_D
    for group in row_groups(
        table.append_column("offset", pa.array(offset_D)), shard.row_group_tokens
    ):
        sink.write(MAIN, group)
    return count(table)


def _documents(
    folder: TokenFolder, task: _Range, tokenizer: Tokenizer
) -> tuple[pa.ListArray, np.ndarray]:
    """Return the documents without the controls around them, and the controls inside each."""
    token_map = TokenMap(task.path, task.dtype, task.ends)
    ids = np.asarray(token_map.ids()[task.begin : int(task.ends[-1])])
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < tokenizer.vocab_size:
        raise SourceError(
            f"{task.path}: ids {ids.min()} to {ids.max()}, the tokenizer {folder.tokenizer} has "
            f"{tokenizer.vocab_size} pieces; give the one the tokens were made with"
        )
    end_D = task.ends - task.begin
    start_D = np.concatenate([[0], end_D[:-1]])
    filled_D = end_D > start_D
    text = np.ones(len(ids), bool)
    first, last = start_D[filled_D], end_D[filled_D] - 1
    text[first] &= ids[first] != tokenizer.bos_id
    text[last] &= ids[last] != tokenizer.eos_id
    before = np.concatenate([[0], np.cumsum(text)])
    control = np.concatenate([[0], np.cumsum(text & (ids < len(CONTROLS)))])
    offsets = np.append(before[start_D], before[end_D[-1]]) if len(end_D) else before[:1]
    lists = token_lists(ids[text], offsets, tokenizer.vocab_size)
    return lists, (control[end_D] - control[start_D]).astype(np.float64)


def _kept(
    config: ImportConfig,
    folder: TokenFolder,
    task: _Range,
    lists: pa.ListArray,
    tokenizer: Tokenizer,
) -> pa.Table:
    """Return id, source, lang and bytes of a range: as `export` kept them, or made anew."""
    path = folder.path / f"documents-{task.split}.parquet"
    rows = len(lists)
    if path.exists():
        rows_between = _rows_between(path, task.first, task.first + rows)
        if rows_between.num_rows != rows:
            raise SourceError(
                f"{path}: no rows for documents {task.first} to {task.first + rows}; "
                f"it belongs to other token files, remove it"
            )
        return rows_between
    sizes = [len(tokenizer.decode(tokens.values.to_numpy()).encode()) for tokens in lists]
    return pa.table(
        {
            "id": [f"{config.source}/{task.split}-{task.first + n}" for n in range(rows)],
            "source": [config.source] * rows,
            "lang": [config.lang] * rows,
            "bytes": pa.array(sizes, pa.int64()),
        }
    )


def _rows_between(path: Path, first: int, last: int) -> pa.Table:
    """Read rows `first` to `last - 1` of a file, and no other row groups than theirs."""
    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        groups = np.flatnonzero((ends > first) & (ends - sizes < last)).tolist()
        table = file.read_row_groups(groups, columns=KEPT)
        before = int(ends[groups[0]] - sizes[groups[0]]) if groups else 0
    return table.slice(first - before, last - first)


def _rejects(kept: pa.Table, rule: str, value_D: np.ndarray) -> pa.Table:
    threshold = 0.0
    columns = {
        "id": kept["id"],
        "source": kept["source"],
        "rule": pa.array([rule] * kept.num_rows, pa.string()),
        "value": pa.array(value_D),
        "threshold": np.full(kept.num_rows, threshold),
    }
    return pa.table(columns).filter(pa.array(value_D > threshold))


STAGE = Stage(
    name="shard",
    contract=shard_contract(1 << 16),  # wider ids for a larger vocabulary, by `run`
    run=run,
    module="pipeline.conversion.importing",
    libraries=("numpy", "pyarrow", "sentencepiece"),
)
