"""Sources: which files a run reads, and their identity, down to the content of every file.

A source is a file, a folder, a glob pattern, an address (of a file, or of a list of paths), or one
of the corpora that come along (`quickstart:`, `builtin:`). Names that begin with a dot are left out
of folders without a word, as shells do; all else that is not read (other suffixes, links, devices)
is listed in `skipped` with its reason.
"""

import functools
import glob
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.config_checks import AtLeast, OrOff, require
from pipeline.errors import SourceError
from pipeline.reading.addresses import refuse_address, without_secrets
from pipeline.reading.encodings import require_codec
from pipeline.reading.readers import PACKED_SUFFIXES, READERS, suffix_of
from pipeline.reading.remote import RemoteFile, is_remote
from pipeline.reading.remote_lists import remote_files
from pipeline.reading.source_file import SkippedFile, SourceFile
from pipeline.sources import listing
from pipeline.sources.listing import as_utf8, relative_name, stem_of, walk
from pipeline.sources.quickstart import builtin_folder, fetch_quickstart
from pipeline.store import storage
from pipeline.store.source_hashes import hashed_files
from pipeline.store.tombstones import Tombstones

SCHEMES = {"quickstart:": fetch_quickstart, "builtin:": builtin_folder}


@dataclass(frozen=True)
class Source:
    """Where text is and what is known of all of it; records that say otherwise win."""

    path: str  # a file, a folder, a glob, an address, 'quickstart:' or 'builtin:'
    name: str | None = None  # default: name of the folder or file without its suffixes
    lang: str | None = None
    license: str | None = None
    first: int | None = None  # of a list of paths behind an address, only so many files
    encoding: str | None = None  # of its text files without a byte order mark; None: found out

    def __post_init__(self) -> None:
        refuse_address(self.path, "source", web=True)
        require(self, "sources", first=OrOff(AtLeast(1)))
        require_codec(self.encoding, "sources.encoding")


@dataclass(frozen=True)
class SourceSet:
    """The files of a run, sorted by source and relative path; pure data, picklable.

    Of `tombstones` the identity has what they touch: places in files, by the files' SHA-256.
    """

    files: tuple[SourceFile, ...]
    skipped: tuple[SkippedFile, ...]
    tombstones: Tombstones = field(default_factory=Tombstones)
    touched: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        """The name under which it is a parent of `ingest`."""
        return "sources"

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash over names, licences, relative paths, sizes and content; never absolute paths."""
        read = [
            [f.source_name, f.lang, f.license, f.relative, f.size, f.sha256]
            + ([f.encoding] if f.encoding else [])
            for f in self.files
        ]
        left = [[s.source_name, s.relative, s.reason, s.detail] for s in self.skipped]
        touched = [sorted(self.touched.items())] if self.touched else []
        return storage.sha256_text(storage.canonical_json([read, left, *touched]))

    @classmethod
    def open(
        cls,
        sources: Sequence[Source],
        base: Path,
        workers: int = 1,
        *,
        store: Path | None = None,
        memory: Path | None = None,
    ) -> "SourceSet":
        """List and hash the files of `sources`; relative paths start at `base`.

        What lies in `store` is no source. `memory` is a database of hashes (see `source_hashes`):
        unchanged files are not read again.
        Raises SourceError if a source is missing or holds no text, or two files have one name.
        """
        candidates, skipped = list_candidates(sources, base, store)
        files = _hashed(candidates, workers, memory)
        _refuse_same_names(files)
        return cls(
            tuple(sorted(files, key=lambda f: (f.source_name, f.relative))),
            tuple(sorted(skipped, key=lambda s: (s.source_name, s.relative))),
        )


def list_candidates(
    sources: Sequence[Source], base: Path, store: Path | None = None
) -> tuple[list["Candidate"], list[SkippedFile]]:
    """List what is to be read, outside of `store`, and what is not; refuses what `open` refuses."""
    if not sources:
        raise SourceError("no sources given; name a file, a folder or a glob pattern to read")
    places = [_place(source, base) for source in sources]
    names = _names(sources, places)
    candidates: list[Candidate] = []
    skipped: list[SkippedFile] = []
    for source, location, name in zip(sources, places, names, strict=True):
        files, left = _sort_out(source, location, name, store)
        if not files:
            raise SourceError(_nothing_usable(source, location, left))
        candidates += files
        skipped += left
    return candidates, skipped


def source_names(sources: Sequence[Source], base: Path) -> list[str]:
    """Return what each source is called in documents; relative paths start at `base`."""
    return _names(sources, [_place(source, base) for source in sources])


@dataclass(frozen=True)
class _Place:
    """What a source's path stands for: a root and the entries below it."""

    root: Path
    entries: tuple[Path, ...] | None  # None: walk the root
    is_file: bool = False  # one file named outright: a link is followed, its stem is the name


@dataclass(frozen=True)
class Candidate:
    """A file to read, before its size and hash are known."""

    source: Source
    name: str
    path: Path | RemoteFile
    relative: str


def _place(source: Source, base: Path) -> _Place:
    if source.path in SCHEMES:
        return _Place(SCHEMES[source.path]().resolve(), None)
    if is_remote(source.path):
        path = Path(urlsplit(source.path).path)  # only its name is used
        return _Place(path.parent, (path,), is_file=True)
    path = base / storage.expanded(source.path)
    if path.is_dir():
        return _Place(path.resolve(), None)
    if path.exists():
        return _Place(path.parent.resolve(), (path.absolute(),), is_file=True)
    if not glob.has_magic(source.path):
        raise SourceError(
            f"source {without_secrets(source.path)!r}: nothing is at {path}; "
            f"wanted a file, a folder, a glob pattern, {' or '.join(sorted(SCHEMES))}"
        )
    root = path  # the deepest folder that is there: its own name may hold `[` or `*`
    while not root.is_dir():
        root = root.parent
    found = (match.relative_to(root) for match in root.glob(str(path.relative_to(root))))
    matches = sorted(m for m in found if not any(part.startswith(".") for part in m.parts))
    if not matches:
        raise SourceError(
            f"source {without_secrets(source.path)!r}: the pattern matches nothing below {root}"
        )
    return _Place(root.resolve(), tuple(root.resolve() / match for match in matches))


def _names(sources: Sequence[Source], places: Sequence[_Place]) -> list[str]:
    """Give each unnamed source its stem; equal ones get the folder above in front."""
    tails = []
    for source, location in zip(sources, places, strict=True):
        path = location.entries[0] if location.entries and location.is_file else location.root
        tails.append(tuple(map(as_utf8, (*path.parts[:-1], stem_of(path.name)))))
        if source.path in SCHEMES:
            tails[-1] = (source.path.removesuffix(":"),)
    length = [1] * len(tails)
    for _ in range(max(map(len, tails))):
        names = ["-".join(tail[-n:]) for tail, n in zip(tails, length, strict=True)]
        names = [s.name or name for s, name in zip(sources, names, strict=True)]
        often = Counter(names)
        length = [n + (often[name] > 1) for n, name in zip(length, names, strict=True)]
    return names


def _sort_out(
    source: Source, location: _Place, name: str, store: Path | None
) -> tuple[list[Candidate], list[SkippedFile]]:
    files, skipped = [], []
    if is_remote(source.path):
        return _sort_out_remote(source, name)
    own = (
        store if store and location.root in store.parents else None
    )  # what is named itself is read
    for path in _entries(location):
        if own and path.is_relative_to(own):
            continue
        relative = relative_name(path, location.root)
        reason, detail = listing.skip_reason(path, location.root, follow_links=location.is_file)
        if reason:
            skipped.append(SkippedFile(name, relative, reason, detail))
        else:
            files.append(Candidate(source, name, path, relative))
    return files, skipped


def _sort_out_remote(source: Source, name: str) -> tuple[list[Candidate], list[SkippedFile]]:
    files, skipped = [], []
    for relative, file in remote_files(source.path, source.first):
        if (suffix := suffix_of(file.name)) in READERS:
            files.append(Candidate(source, name, file, relative))
        else:
            skipped.append(SkippedFile(name, relative, "unknown_type", listing.not_read(suffix)))
    return files, skipped


def _entries(location: _Place) -> Iterator[Path]:
    """Paths to look at, each once: a pattern may match a folder and a file in it."""
    if location.entries is None:
        yield from walk(location.root)
        return
    seen: set[Path] = set()
    for entry in location.entries:
        walks = entry.is_dir() and not entry.is_symlink()
        for path in walk(entry) if walks else (entry,):
            if path not in seen:
                yield path
                seen.add(path)


def _nothing_usable(source: Source, location: _Place, skipped: list[SkippedFile]) -> str:
    wanted = f"read are {' '.join(READERS)}, plain or as {' '.join(PACKED_SUFFIXES)}"
    named = f"source {without_secrets(source.path)!r}"
    if not skipped:
        return f"{named}: {location.root} is empty (hidden files aside); {wanted}"
    suffixes = Counter(suffix_of(s.relative) or "(none)" for s in skipped)
    summary = f"{_counts(suffixes)} ({_counts(Counter(s.reason for s in skipped))})"
    wanted += "; convert the files or point to others"
    return f"{named}: nothing below {location.root} can be read; found suffixes {summary}; {wanted}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} x{count}" for name, count in counter.most_common(8))


def _hashed(candidates: Sequence[Candidate], workers: int, memory: Path | None) -> list[SourceFile]:
    paths = [candidate.path for candidate in candidates if isinstance(candidate.path, Path)]
    local = dict(zip(paths, hashed_files(paths, workers, memory), strict=True))
    files = []
    for candidate in candidates:
        hashed = None
        if isinstance(candidate.path, Path):
            hashed = local[candidate.path]
            size, sha256 = hashed.size, hashed.sha256
        else:
            size, sha256 = _identity(candidate.path)
        known = candidate.source.lang, candidate.source.license
        files.append(
            SourceFile(
                candidate.name,
                *known,
                candidate.path,
                candidate.relative,
                size,
                sha256,
                hashed,
                candidate.source.encoding,
            )
        )
    return files


def _identity(file: RemoteFile) -> tuple[int, str]:
    """Size of a remote file, and a hash of its address (secrets aside), size and version."""
    known = [str(file), file.size, file.version]
    return file.size, storage.sha256_text(storage.canonical_json(known))


def _refuse_same_names(files: list[SourceFile]) -> None:
    seen: dict[tuple[str, str], Path | RemoteFile] = {}
    for file in files:
        key = (file.source_name, file.relative)
        if key in seen:
            raise SourceError(
                f"{seen[key]} and {file.path} are both {file.relative!r} of source "
                f"{file.source_name!r}; give the two sources different names, or name each once"
            )
        seen[key] = file.path
