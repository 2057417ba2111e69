"""`textmill forget --purge`: no byte of what is forgotten stays in the store but in weights.

An artifact that holds it ceases to be one: the files that name it are removed and so is the
manifest; what it holds of other units stays for the next run to link, so that this costs what was
touched. Evaluations on shards that hold it are removed whole. Pages, verdicts and records that
quote it go, too. Killed at any instant the same command goes on: a folder that is being purged is
marked first, and the artifacts from which texts are known go last.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.provenance.quotations import Quoted, quoting_files, take_out
from flows.settings import Settings
from flows.steps import tracking_settings
from flows.upkeep.prune import STORE_LOCK
from model.registry.quoting_records import take_out_of_records
from pipeline.forgetting.matching import Looked, Matcher
from pipeline.forgetting.reading_again import address_of
from pipeline.reading.source_file import SOURCE_FILES
from pipeline.store import storage
from pipeline.store.artifact import MAIN, MANIFEST, Artifact
from pipeline.store.holds import ARTIFACTS
from pipeline.store.loading import reading
from pipeline.store.removal import TRASH, remove_aside
from pipeline.store.sink import DROPPED, QUARANTINE
from pipeline.store.tombstones import Tombstones
from pipeline.store.units import UNITS
from pipeline.tracing.catalog import PURGING, Catalog, parents_of
from pipeline.tracing.documents import source_files
from pipeline.tracing.following import name_of

ORDER = ("evaluate", "shard", "dedup", "clean", "ingest")
WITH_TEXT = ("ingest", "clean", "dedup")
NAMES = ("id", "partner", "earlier_id")  # columns that name a document
ENDED = r"#([0-9]{1,9}|[0-9a-f]{20})$"  # of a block, of a later copy
INDEX, REPRODUCED = "trace", "reproduced"


@dataclass
class Gone:
    """Documents that are to leave no byte: their ids, texts, and files that go as a whole."""

    ids: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    files: set[str] = field(default_factory=set)  # paths in sources


@dataclass
class Purge:
    """A purge of one store: what is to go, found before anything goes."""

    settings: Settings
    tombstones: Tombstones

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.settings.store

    def run(self, receipt: str, begin: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Take all that fits the tombstones out of the store; return what went, what is left.

        `begin` hears what is to go before anything does.
        """
        with storage.locked(self.store / STORE_LOCK):
            catalog = Catalog.open(self.store, with_purged=True)
            gone = _gone(catalog, self.tombstones)
            quoted = Quoted(sorted({*gone.texts}))
            affected = list(_affected(catalog, gone))
            files = quoting_files(quoted, self._places()) if gone.texts else []
            told: dict[str, Any] = {"time": None, "records": [], "left": []}
            told["artifacts"] = sorted(name_of(artifact) for artifact in affected)
            told["files"] = sorted(str(path.relative_to(self.store)) for path in files)
            begin(told)
            for path in files:
                take_out(quoted, path)
            if gone.texts:
                instead = f"taken out: it quoted text that was forgotten (receipt {receipt})"
                where = tracking_settings(self.settings)
                told["records"] = take_out_of_records(where, quoted.is_in, instead)
            for artifact in affected:
                _strip(artifact, gone, self.store)
            _remove_leftovers(self.store)
            left = _left(self.store, quoted) if gone.texts else []
        return {**told, "time": datetime.now(UTC).isoformat(timespec="seconds"), "left": left}

    def _places(self) -> list[Path]:
        return [self.store / name for name in ("runs", "logs", "mlflow", ARTIFACTS)]


def _gone(catalog: Catalog, tombstones: Tombstones) -> Gone:
    """Look through all texts of the store."""
    matcher, gone = Matcher(tombstones), Gone()
    files = [stone["file"] for _, stone in tombstones.entries if "file" in stone]
    for artifact in catalog.of("ingest") if files else ():
        listed = source_files(artifact)
        if listed is not None and (artifact.path / SOURCE_FILES).exists():
            own = listed.filter(pl.col("sha256").is_in(files)).select("path").collect()
            gone.files |= {*own["path"].to_list()}
    seen: set[str] = set()
    for stage in WITH_TEXT:
        for artifact in catalog.of(stage):
            for table in (MAIN, DROPPED):
                for digest, part in zip(
                    artifact.part_digests(table), artifact.parts(table), strict=True
                ):
                    if digest not in seen and part.exists():
                        seen.add(digest)
                        _look(part, matcher, gone)
    return gone


def _look(part: Path, matcher: Matcher, gone: Gone) -> None:
    with reading(part, "a Parquet file"), pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=["id", "text", "meta"]).to_pylist()
            looked = [Looked(r["id"], r["text"], address_of(r["meta"])) for r in rows]
            for row, match in zip(rows, matcher.matches(looked), strict=True):
                if match is not None:
                    gone.ids.add(row["id"])
                    gone.texts.append(row["text"])


def _affected(catalog: Catalog, gone: Gone) -> Iterator[Artifact]:
    """Yield artifacts to be looked at, those that texts are known from last."""
    shards = {a.fingerprint for a in catalog.of("shard") if any(_naming(a, gone))}
    shards |= {a.fingerprint for a in catalog.of("shard") if (a.path / PURGING).exists()}
    others = sorted(stage for stage in catalog.artifacts if stage not in ORDER)
    for stage in (*others, *ORDER):
        for artifact in catalog.of(stage):
            whole = stage == "evaluate" and {*parents_of(artifact, "shard")} & shards
            if whole or (artifact.path / PURGING).exists() or any(_naming(artifact, gone)):
                yield artifact


def _naming(artifact: Artifact, gone: Gone) -> Iterator[str]:
    """Yield the paths of an artifact's Parquet files that name any of the documents."""
    for table, entries in artifact.manifest["tables"].items():
        for entry in entries:
            path = artifact.path / entry["path"]
            if path.exists() and _names_any(path, gone, is_quarantine=table == QUARANTINE):
                yield entry["path"]


def _names_any(path: Path, gone: Gone, *, is_quarantine: bool) -> bool:
    with reading(path, "a Parquet file"), pq.ParquetFile(path) as file:
        columns = [name for name in NAMES if name in file.schema_arrow.names]
        strings = [n for n in columns if pa.types.is_string(file.schema_arrow.field(n).type)]
        if is_quarantine and gone.files:
            rows = file.read(columns=["path", "sample"])
            shown = rows.filter(pc.not_equal(rows["sample"], ""))["path"]
            paths = pc.replace_substring_regex(shown, r"!.*$", "")
            if pc.any(pc.is_in(paths, pa.array(sorted(gone.files)))).as_py():
                return True
        if not strings or not gone.ids:
            return False
        table, ids = file.read(columns=strings), pa.array(sorted(gone.ids), pa.string())
        if "detail" in file.schema_arrow.names:  # may name whose copy a document was
            details = file.read(columns=["detail"])["detail"]
            if any(pc.any(pc.match_substring(details, name)).as_py() for name in gone.ids):
                return True
        for column in table.columns:
            bare = pc.replace_substring_regex(column, ENDED, "")
            found = pc.or_kleene(pc.is_in(column, ids), pc.is_in(bare, ids))
            if pc.any(found).as_py():
                return True
    return False


def _strip(artifact: Artifact, gone: Gone, store: Path) -> None:
    """Take an artifact apart: what names a document goes, the rest stays for others to link."""
    folder = artifact.path
    verdict = folder.with_name(f"{folder.name}.gate.json")
    if artifact.stage == "evaluate" or not (folder / UNITS).is_file():
        remove_aside([folder, verdict], store)
        return
    storage.write_bytes(folder / PURGING, b"")
    naming = {*_naming(artifact, gone)}
    units = storage.read_json(folder / UNITS, dict[str, Any])
    kept = {
        digest: unit
        for digest, unit in units.items()
        if not any(
            entry["path"] in naming or not (folder / entry["path"]).exists()
            for entries in unit["files"].values()
            for entry in entries
        )
    }
    if len(kept) < len(units):
        storage.write_json(folder / UNITS, kept, indent=None)
    listed = {
        entry["path"] for unit in kept.values() for t in unit["files"].values() for entry in t
    }
    for entry in artifact.entries():
        if entry["path"] not in listed and entry["path"] != UNITS:
            (folder / entry["path"]).unlink(missing_ok=True)
    verdict.unlink(missing_ok=True)
    (folder / MANIFEST).unlink()
    storage.sync(folder)
    (folder / PURGING).unlink()


def _remove_leftovers(store: Path) -> None:
    """Remove what damage and kills left, and what is made again: the index, reproduced models."""
    shutil.rmtree(store / INDEX, ignore_errors=True)
    shutil.rmtree(store / REPRODUCED, ignore_errors=True)
    storage.remove(store / TRASH)
    for path in (store / ARTIFACTS).glob("*/*"):
        if ".damaged-" in path.name:
            storage.remove(path)


def _left(store: Path, quoted: Quoted) -> list[str]:
    """Return files that still quote: databases of servers, what is being made meanwhile."""
    return [str(path.relative_to(store)) for path in _plain_files(store) if quoted.bytes_in(path)]


def _plain_files(store: Path) -> Iterable[Path]:
    for path in sorted(store.rglob("*")):
        if path.is_file() and path.suffix not in (".parquet", ".safetensors", ".npy"):
            yield path
