"""Shards to token files of other tools.

`export` writes a folder; `documents-SPLIT.parquet` keeps what the other format has no place for
(id, source, language, bytes), and reading the folder back uses it. `textmill.json` lists all files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.conversion.formats import FORMATS, Documents
from pipeline.errors import ConfigError
from pipeline.schema import shard_contract
from pipeline.shard import TRAIN, VALIDATION, iter_documents
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import MODEL_FILE, Tokenizer, load_tokenizer

SPLITS = (TRAIN, VALIDATION)
NOTE = "textmill.json"
KEPT = ["id", "source", "lang", "bytes"]


def export(shards: Artifact, name: str, out: Path) -> dict[str, Any]:
    """Write the shards to folder `out` in the format `name`; return what its note says.

    The folder appears when it is complete: a killed export leaves nothing that stops the next.
    Raises ConfigError for an unknown format, or a folder that holds other files.
    """
    if name not in FORMATS:
        raise ConfigError(f"format {name!r}, wanted one of {', '.join(FORMATS)}")
    if others := _files_of_others(out):
        raise ConfigError(
            f"{out}: holds other files ({', '.join(others[:3])}); "
            f"choose a folder that is empty or new"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with storage.whole_folder(out) as folder:
        note = _write(shards, name, folder)
        storage.write_json(folder / NOTE, note)
    return note


def _write(shards: Artifact, name: str, out: Path) -> dict[str, Any]:
    """Write all files but the note; return the note."""
    tokenizer = load_tokenizer(shards.path)
    storage.write_bytes(out / MODEL_FILE, shards.file(MODEL_FILE).read_bytes())
    FORMATS[name].write_vocabulary(out, tokenizer)
    for split in SPLITS:
        files = [out / file for file in FORMATS[name].files(split)]
        writing = _Exporting(shards, split, tokenizer, out / f"documents-{split}.parquet")
        FORMATS[name].write(
            files, writing.documents(), tokenizer.vocab_size, tokenizer.fingerprint[:16]
        )
    written = sorted(file for file in out.rglob("*") if file.is_file())
    return {
        "format": name,
        "shards": shards.fingerprint,
        "tokenizer_sha256": tokenizer.fingerprint,
        "vocab_size": tokenizer.vocab_size,
        "end_of_document": tokenizer.eos_id,
        "tokens": {split: shards.stats["tokens"][split] for split in SPLITS},
        "documents": {split: shards.stats["documents"][split] for split in SPLITS},
        "files": {str(file.relative_to(out)): storage.sha256_of(file) for file in written},
    }


def _files_of_others(out: Path) -> list[str]:
    """Names of files in a folder that no export wrote there; it is replaced as a whole."""
    names = {str(file.relative_to(out)) for file in out.rglob("*") if not file.is_dir()}
    note = storage.read_json(out / NOTE) if NOTE in names else {"files": {}}
    return sorted(names - {*note["files"], NOTE})


@dataclass
class _Exporting:
    shards: Artifact
    split: str
    tokenizer: Tokenizer
    kept: Path

    def documents(self) -> Documents:
        """Yield ids with their end tokens, writing beside them what the format does not hold."""
        schema = shard_contract(self.tokenizer.vocab_size).schema
        kept = pa.schema([schema.field(name) for name in KEPT])
        with (
            storage.whole_file(self.kept) as temporary,
            pq.ParquetWriter(temporary, kept) as writer,
        ):
            for batch in iter_documents(self.shards, self.split, [*KEPT, "tokens"]):
                writer.write_batch(batch.select(KEPT).cast(kept))
                tokens = batch.column("tokens")
                length_D = tokens.value_lengths().to_numpy().astype(np.int64) + 1
                ids = np.full(int(length_D.sum()), self.tokenizer.eos_id, np.int64)
                inner = np.ones(len(ids), bool)
                inner[np.cumsum(length_D) - 1] = False
                ids[inner] = tokens.flatten().to_numpy()
                yield ids, length_D
