"""CPU seconds of a first ingest of many small files, and of the next with one file more.

    python tests/bench/bench_ingest.py FOLDER [--files 10000] [--kilobytes 10]

The files are pieces of Python's own help, each with its number, in a hundred folders. Told are the
listing and hashing of the files (`SourceSet.open`) and the stage, of this process and one worker.
The bar: what one file changes costs at most half of a first ingest, and nearly all parts are taken
over. Everything written is removed again.
"""

import argparse
import pydoc_data.topics
import resource
import shutil
import sys
from pathlib import Path

from pipeline.ingest import STAGE, IngestConfig
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage, store_path

BAR = 0.5


def write_files(folder: Path, files: int, size: int) -> None:
    """Write pieces of `size` characters."""
    text = "\n".join(topic for _, topic in sorted(pydoc_data.topics.topics.items()))
    for number in range(files):
        begin = number * size % (len(text) - size)
        path = folder / f"{number % 100:02d}" / f"{number:06d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n{text[begin : begin + size]}", "utf-8")


def cpu_seconds() -> float:
    """CPU seconds of this process so far."""
    return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])


def ingest(folder: Path, store: Path) -> float:
    """Ingest the folder into the store; print and return what it cost."""
    began = cpu_seconds()
    sources = SourceSet.open([Source(str(folder))], folder, memory=store / "source-hashes.db")
    opened = cpu_seconds()
    digest = STAGE.fingerprint(IngestConfig(), [sources]).digest
    made = run_stage(STAGE, IngestConfig(), [sources], store_path(store, "ingest", digest))
    done = cpu_seconds()
    print(
        f"{len(sources.files)} files: listed and hashed {opened - began:.2f} CPU s, "
        f"ingest {done - opened:.2f} CPU s, {made.reason}"
    )
    return done - began


def main() -> None:
    """Measure in a folder that is made and removed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--kilobytes", type=int, default=10)
    options = parser.parse_args()
    folder, store = options.folder / "files", options.folder / "store"
    store.mkdir(parents=True)
    try:
        write_files(folder, options.files, options.kilobytes * 1000)
        first = ingest(folder, store)
        write_files(folder, 1, 500)
        again = ingest(folder, store)
    finally:
        shutil.rmtree(options.folder)
    print(f"again {again / first:.2f} of the first, bar {BAR}")
    sys.exit(again > BAR * first)


if __name__ == "__main__":
    main()
