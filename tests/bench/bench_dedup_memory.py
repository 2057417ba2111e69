"""Peak memory of deduplicating a corpus and one ten times larger; the bar is 10 % more.

    python tests/bench/bench_dedup_memory.py FOLDER [--megabytes 500] [--workers 2]

The corpora are real text of ../shared/data with every third word or character moved, so that all
documents differ, and one in fifty repeated once in another part: exactly, or with one word in a
hundred moved. Also told: how many of the repeated ones were found. Needs about twice the larger
corpus on disk; everything written is removed again.
"""

import argparse
import functools
import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.dedup import STAGE, DedupConfig
from pipeline.engine.local import LocalEngine
from pipeline.schema import CLEAN
from pipeline.stage import Stage, run_stage
from pipeline.store.artifact import load_artifact

BAR = 1.10
TIMES = 10
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SOURCES = ("en_20news", "en_ewt", "zh_lctt", "zh_laws", "zh_dureader_web", "enzh_paddlex")
PART_MEGABYTES = 25.0
REPEATED_EVERY = 50
CHARACTERS_MAX = 20_000
Pieces = tuple[np.ndarray, str]  # words or characters, and what joins them


@dataclass(frozen=True)
class Corpus:
    """How much text, in parts of PART_MEGABYTES."""

    megabytes: float


def make_part(task: tuple[int, int], sink: Any) -> None:
    """Write part `part` of `parts`; each repeats some documents of the part before it."""
    part, parts = task
    texts, rows, size, number = _texts(), [], 0, 0
    while size < PART_MEGABYTES * 1e6:
        pieces = texts[number % len(texts)]
        rows.append((f"{part}-{number}", _varied(pieces, part, number)))
        if number % REPEATED_EVERY == 0 and len(pieces[0]) > 200:
            rows.append(_repeated(pieces, (part - 1) % parts, number))
        size += len(rows[-1][1].encode())
        number += 1
    rows.sort(key=lambda row: hash_of(row[0]))
    for start in range(0, len(rows), 1000):
        ids, values = zip(*rows[start : start + 1000], strict=True)
        count = len(ids)
        plain = {"source": ["bench"] * count, "path": ["b"] * count, "lang": ["und"] * count}
        columns = {"id": ids, "text": values, "position": range(count), **plain}
        sink.saw(count)
        sink.write("main", pa.table({name: list(column) for name, column in columns.items()}))


def hash_of(text: str) -> int:
    """A number that scatters ids, the same in every process."""
    return int.from_bytes(text.encode()[::-1], "big") * 0x9E3779B97F4A7C15 % (1 << 61)


def _varied(pieces: Pieces, part: int, number: int) -> str:
    return _moved(pieces, 3, np.random.default_rng((part, number)))


def _repeated(pieces: Pieces, part: int, number: int) -> tuple[str, str]:
    text = _varied(pieces, part, number)
    if number % (2 * REPEATED_EVERY):
        return f"{part}-{number}-exact", text
    words = np.array(text.split(" ") if pieces[1] else list(text), object)
    return f"{part}-{number}-near", _moved((words, pieces[1]), 100, np.random.default_rng(number))


def _moved(pieces: Pieces, every: int, random: np.random.Generator) -> str:
    words, joint = pieces[0].copy(), pieces[1]
    count = max(1, len(words) // every)
    words[random.integers(0, len(words), count)] = words[random.integers(0, len(words), count)]
    return joint.join(words)


@functools.cache  # a process makes many parts
def _texts() -> list[Pieces]:
    texts: list[Pieces] = []
    for name in SOURCES:
        with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            for row in map(json.loads, file):
                text, spaced = row["text"][:CHARACTERS_MAX], not row["lang"].startswith("zh")
                words = text.split(" ") if spaced else list(text)
                texts.append((np.array(words, object), " " if spaced else ""))
    return texts


def _make(job: Any) -> None:
    parts = max(2, round(job.config.megabytes / PART_MEGABYTES))
    job.map(make_part, [(part, parts) for part in range(parts)])


MADE = Stage("clean", CLEAN, _make, "pipeline.schema", ())


def measure(clean: Path, out: Path, workers: int) -> None:
    """Deduplicate here; print peak RSS in MiB of the largest process and what was found."""
    parent = load_artifact(clean)
    started = time.monotonic()
    watch = Watch()
    run_stage(STAGE, DedupConfig(), [parent], out, engine=LocalEngine(workers))
    seconds = time.monotonic() - started
    main_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({
        "main_mib": main_mib, "workers_mib": watch.peak_mib,
        "mb_per_s": parent.text_bytes / 1e6 / seconds,
        "documents": parent.rows, **_found(load_artifact(out)),
    }))  # fmt: skip


def _found(deduped: Any) -> dict[str, int]:
    """Removed documents, and per kind how many repeats there were and how many are left."""
    kept = deduped.scan().select("id").collect()["id"]
    gone = deduped.scan("rejects").select("id").collect()["id"]
    found = {"removed": len(gone)}
    for kind in ("exact", "near"):
        repeats = pl.concat([kept, gone]).filter(pl.concat([kept, gone]).str.ends_with(f"-{kind}"))
        left = kept.filter(kept.str.ends_with(f"-{kind}")).str.strip_suffix(f"-{kind}")
        found[f"{kind}_repeats"] = len(repeats)
        found[f"{kind}_left"] = int(left.is_in(kept.implode()).sum())
    return found


class Watch(threading.Thread):
    """Notes the peak resident memory of this process's children, in MiB (Linux)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mib = 0.0
        self.start()

    def run(self) -> None:
        """Look every tenth of a second."""
        me = Path(f"/proc/{os.getpid()}")
        while True:
            for task in me.glob("task/*/children"):
                for pid in task.read_text().split():
                    self.peak_mib = max(self.peak_mib, _peak_mib(pid))
            time.sleep(0.1)


def _peak_mib(pid: str) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0].split()[1]) / 1024 if found else 0.0


def main() -> int:
    """Measure both sizes; return 1 where the larger one takes more than BAR times the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.folder, options.workers)
        return 0
    found = []
    for size in (options.megabytes, TIMES * options.megabytes):
        clean, out = options.folder / f"clean-{size:g}", options.folder / f"dedup-{size:g}"
        run_stage(MADE, Corpus(size), [], clean, engine=LocalEngine(options.workers))
        command = [sys.executable, __file__, str(out), "--measure", str(clean)]
        command += ["--workers", str(options.workers)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"{size:g} MB: {found[-1]}")
        for folder in (clean, out):
            shutil.rmtree(folder)
    ratios = [found[1][name] / found[0][name] for name in ("main_mib", "workers_mib")]
    print(f"memory at ten times the text: main x{ratios[0]:.3f}, workers x{ratios[1]:.3f}")
    return int(max(ratios) > BAR)


if __name__ == "__main__":
    sys.exit(main())
