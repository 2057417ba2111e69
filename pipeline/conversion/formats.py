"""Token files of other tools, each document followed by its `<|eos|>`: written and mapped.

| format | files of a split | tokens | where documents end |
|---|---|---|---|
| nanogpt | train.bin, val.bin, and meta.pkl | uint16, nothing else | at the end token |
| megatron | SPLIT_text_document.bin, .idx | uint16, from 65,500 pieces on int32 | lengths in .idx |
| datatrove | SPLIT/00000.ds, .ds.index, .ds.metadata | uint16, or uint32 | .index |

Layouts: nanoGPT `data/openwebtext/prepare.py`; Megatron-LM `core/datasets/indexed_dataset.py`;
datatrove `pipeline/tokens/tokenizer.py`. Numbers are little-endian. SPLIT is train or validation.
"""

import io
import pickle
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError, SourceError
from pipeline.shard import TRAIN, VALIDATION
from pipeline.store import storage
from pipeline.tokenizer import Tokenizer

Documents = Iterator[tuple[np.ndarray, np.ndarray]]  # ids end to end, and each document's length
SCANNED_AT_ONCE = 1 << 24  # tokens
MEGATRON_MAGIC = b"MMIDIDX\x00\x00"
MEGATRON_HEADER = struct.Struct("<9sQBQQ")  # magic, version, dtype, sequences, documents + 1
MEGATRON_DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}


@dataclass(frozen=True)
class TokenMap:
    """A file of ids (N,) and where its documents end (documents,); an end counts tokens."""

    path: Path
    dtype: str
    ends: np.ndarray

    def ids(self) -> np.ndarray:
        """Map the ids into memory (N,)."""
        if self.path.stat().st_size == 0:
            return np.zeros(0, self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r")


@dataclass(frozen=True)
class Format:
    """How a split is written and mapped; `files` names those it consists of, the tokens first."""

    files: Callable[[str], tuple[str, ...]]
    write: Callable[[list[Path], Documents, int, str], None]
    map: Callable[[list[Path], int], TokenMap]
    write_vocabulary: Callable[[Path, Tokenizer], None] = lambda folder, tokenizer: None


def write_nanogpt(files: list[Path], documents: Documents, vocab_size: int, name: str) -> None:
    """Write uint16 ids; raises ConfigError for a vocabulary that they do not hold."""
    if vocab_size > 1 << 16:
        raise ConfigError(
            f"nanogpt: ids are 16 bits wide and the vocabulary has {vocab_size} pieces; "
            f"use megatron or datatrove"
        )
    _write_ids(files[0], documents, "<u2")


def write_nanogpt_vocabulary(folder: Path, tokenizer: Tokenizer) -> None:
    """Write meta.pkl, from which nanoGPT's train.py and sample.py take the vocabulary.

    Without it train.py builds a model of 50,304 pieces. It is a dict of `vocab_size`, `itos` (the
    text of each id) and `stoi` (the id of each piece of one character, in which sample.py writes a
    prompt). Only ever written: nothing here loads a pickle, which would run what is in it.
    """
    itos = {number: tokenizer.text_of(number) for number in range(tokenizer.vocab_size)}
    stoi = {text: number for number, text in itos.items() if len(text) == 1 and text != "\ufffd"}
    stored = io.BytesIO()
    pickler = pickle.Pickler(stored, protocol=4)
    pickler.fast = True  # no references between equal objects: equal vocabularies are equal bytes
    pickler.dump({"vocab_size": tokenizer.vocab_size, "itos": itos, "stoi": stoi})
    storage.write_bytes(folder / "meta.pkl", stored.getvalue())


def map_nanogpt(files: list[Path], eos_id: int) -> TokenMap:
    """Find the documents by their end token; what follows the last one is a document too."""
    token_map = TokenMap(files[0], "<u2", np.zeros(0, np.int64))
    return TokenMap(token_map.path, token_map.dtype, ends_by_token(token_map.ids(), eos_id))


def write_megatron(files: list[Path], documents: Documents, vocab_size: int, name: str) -> None:
    """Write one sequence per document."""
    code = 8 if vocab_size < 65500 else 4
    length_D = _write_ids(files[0], documents, MEGATRON_DTYPES[code])
    width = np.dtype(MEGATRON_DTYPES[code]).itemsize
    pointer_D = np.cumsum(length_D, dtype=np.int64) - length_D
    header = MEGATRON_HEADER.pack(MEGATRON_MAGIC, 1, code, len(length_D), len(length_D) + 1)
    with storage.whole_file(files[1]) as temporary, temporary.open("wb") as file:
        file.write(header)
        file.write(length_D.astype("<i4").tobytes())
        file.write((pointer_D * width).astype("<i8").tobytes())
        file.write(np.arange(len(length_D) + 1, dtype="<i8").tobytes())


def map_megatron(files: list[Path], eos_id: int) -> TokenMap:
    """Read the index; a document may be several sequences. Raises SourceError if it is none."""
    index = files[1].read_bytes()
    if len(index) < MEGATRON_HEADER.size or not index.startswith(MEGATRON_MAGIC):
        raise SourceError(f"{files[1]}: not a Megatron index; give the .idx that goes with .bin")
    _, version, code, sequences, documents = MEGATRON_HEADER.unpack_from(index)
    wanted = MEGATRON_HEADER.size + 12 * sequences + 8 * documents
    if version != 1 or code not in MEGATRON_DTYPES or len(index) < wanted:
        raise SourceError(
            f"{files[1]}: version {version}, dtype {code}, {len(index)} bytes; wanted version 1, "
            f"integers and at least {wanted} bytes for {sequences} sequences; is it whole?"
        )
    at = MEGATRON_HEADER.size
    length_S = np.frombuffer(index, "<i4", sequences, at).astype(np.int64)
    pointer_S = np.frombuffer(index, "<i8", sequences, at + 4 * sequences)
    last_D = np.frombuffer(index, "<i8", documents, at + 12 * sequences)[1:]
    dtype = MEGATRON_DTYPES[code]
    end_S = np.cumsum(length_S)
    if not np.array_equal(pointer_S, (end_S - length_S) * np.dtype(dtype).itemsize):
        raise SourceError(
            f"{files[1]}: sequences do not lie end to end; write them anew with Megatron's tools"
        )
    return TokenMap(files[0], dtype, end_S[last_D - 1] if len(last_D) else end_S[:0])


def write_datatrove(files: list[Path], documents: Documents, vocab_size: int, name: str) -> None:
    """Write ids, the documents' ends and what datatrove's readers look up about them."""
    dtype = "<u2" if vocab_size <= 1 << 16 else "<u4"
    end_D = np.cumsum(_write_ids(files[0], documents, dtype), dtype=np.uint64)
    total = int(end_D[-1]) if len(end_D) else 0
    storage.write_bytes(files[1], end_D.astype("<u8").tobytes())
    width = np.dtype(dtype).itemsize
    text = f"{name}|{width}\n{total}\n{_short(total)}"
    storage.write_bytes(files[2], text.encode())


def map_datatrove(files: list[Path], eos_id: int) -> TokenMap:
    """Read the documents' ends; the width of an id is in the metadata, 2 bytes where it is not."""
    first = files[2].read_text("utf-8").split("\n")[0] if files[2].exists() else ""
    dtype = "<u4" if first.endswith("|4") else "<u2"
    if files[1].exists():
        return TokenMap(files[0], dtype, np.fromfile(files[1], "<u8").astype(np.int64))
    token_map = TokenMap(files[0], dtype, np.zeros(0, np.int64))
    return TokenMap(token_map.path, dtype, ends_by_token(token_map.ids(), eos_id))


def ends_by_token(ids_N: np.ndarray, eos_id: int) -> np.ndarray:
    """Return where documents end that are told by their last token."""
    ends = [
        first + 1 + np.flatnonzero(ids_N[first : first + SCANNED_AT_ONCE] == eos_id)
        for first in range(0, len(ids_N), SCANNED_AT_ONCE)
    ]
    all_ends = np.concatenate([np.zeros(0, np.int64), *ends])
    cut_short = len(ids_N) and (not len(all_ends) or all_ends[-1] < len(ids_N))
    return np.append(all_ends, len(ids_N)) if cut_short else all_ends


def _write_ids(path: Path, documents: Documents, dtype: str) -> np.ndarray:
    """Write ids end to end; return the documents' lengths (documents,)."""
    lengths = [np.zeros(0, np.int64)]
    with storage.whole_file(path) as temporary, temporary.open("wb") as file:
        for ids, length_D in documents:
            file.write(ids.astype(dtype).tobytes())
            lengths.append(length_D)
    return np.concatenate(lengths)


def _short(count: int) -> str:
    """Return 1234567 as '1.23 MT', T for tokens."""
    for power, letter in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {letter}T"
    return f"{count} T"


FORMATS = {
    "nanogpt": Format(
        lambda split: ({TRAIN: "train.bin", VALIDATION: "val.bin"}[split],),
        write_nanogpt,
        map_nanogpt,
        write_nanogpt_vocabulary,
    ),
    "megatron": Format(
        lambda split: (f"{split}_text_document.bin", f"{split}_text_document.idx"),
        write_megatron,
        map_megatron,
    ),
    "datatrove": Format(
        lambda split: tuple(f"{split}/00000.ds{end}" for end in ("", ".index", ".metadata")),
        write_datatrove,
        map_datatrove,
    ),
}
