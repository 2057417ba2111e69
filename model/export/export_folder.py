"""The folder of an export: formats appear in it one by one, each whole, and stay after a stop.

Beside a format's files lies NOTE: what was asked for and what came of it. The same request finds
its finished formats by it; REPORT and CARD at the top list those that are there.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pydantic

from model.export.export_card import Exported
from pipeline.errors import ConfigError
from pipeline.store import integrity, storage
from pipeline.store.fingerprint import code_version

REPORT, CARD, NOTE = "export.json", "README.md", ".export.json"


class _FormatNote(pydantic.BaseModel):
    request: str
    files: list[Exported]
    sizes: dict[str, int]  # bytes of all files, below the format's folder


def request_of(model_folder: Path, settings: Mapping[str, Any]) -> str:
    """Return a hash of the model's files, what is asked of the export, and the code that makes it.

    Equal requests make equal files.
    """
    files = sorted(path for path in model_folder.iterdir() if path.is_file())
    hashes = [sha256 for _, sha256 in integrity.hashed(files, model_folder)]
    names = [file.name for file in files]
    code = code_version("model.export.export")
    return storage.sha256_text(storage.canonical_json([names, hashes, dict(settings), code]))


def refuse_other_files(out: Path) -> None:
    """Raise ConfigError if `out` holds anything but an export; what a killed one left may go."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; give a new folder, or an earlier export")
    own = (out / REPORT).exists() or (out / NOTE).exists()
    if out.is_dir() and not own and any(not _is_unfinished(path) for path in out.iterdir()):
        raise ConfigError(f"{out} holds other files; give a new folder, or an earlier export")


def _is_unfinished(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(storage.UNFINISHED)


@contextmanager
def whole(destination: Path, out: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes the format's; no trace is left if that fails."""
    existed = out.exists()
    try:
        with storage.whole_folder(destination) as folder:
            yield folder
    except BaseException:
        if not existed and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        raise


def note(folder: Path, request: str, files: Sequence[Exported]) -> None:
    """Note beside a format's files what they are, for `recall`."""
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files(folder)}
    noted = _FormatNote(request=request, files=list(files), sizes=sizes)
    storage.write_json(folder / NOTE, noted.model_dump(mode="json"))


def recall(destination: Path, out: Path, request: str) -> list[Exported] | None:
    """Return what is noted of a finished format; None unless it is of this request and whole."""
    found = storage.recall_json(destination / NOTE, _FormatNote)
    if found is None:
        return None
    noted = _FormatNote.model_validate(found)
    whole_files = all(
        (destination / name).is_file() and (destination / name).stat().st_size == size
        for name, size in noted.sizes.items()
    )
    own = all((out / exported.file).parent == destination for exported in noted.files)
    return noted.files if noted.request == request and whole_files and own else None


def report(out: Path, files: Sequence[Exported], card: str) -> None:
    """Write REPORT and CARD of the formats that are there."""
    storage.write_json(out / REPORT, [asdict(exported) for exported in files])
    storage.write_bytes(out / CARD, card.encode())


def remove_others(out: Path, files: Sequence[Exported]) -> None:
    """Remove what an earlier export left beside this one."""
    if any("/" not in exported.file for exported in files):
        return  # one format fills the folder, which was replaced
    kept = {REPORT, CARD, *(exported.file.split("/")[0] for exported in files)}
    for path in out.iterdir():
        if path.name not in kept:
            storage.remove(path)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
