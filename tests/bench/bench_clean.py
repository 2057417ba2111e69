"""`textmill clean` from Parquet to artifact against datatrove's pipeline, CPU seconds, one thread.

`python tests/bench/bench_clean.py [--megabytes 8]` prints MB/s of both and their ratio for English
and Chinese, net of start-up, and exits 1 below the bar. Ours is the stage with profile `web`:
reading and checking the input, all repairs, edits, measures and rules, writing what is kept,
dropped, changed and measured, hashes and manifest. Theirs is a reader, the filters of Gopher, C4
and FineWeb and writers of what is kept and dropped; it repairs nothing, keeps no measures, and a
document leaves at the first filter that drops it. The same texts on both sides; they take turns.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]
os.environ["POLARS_MAX_THREADS"] = "1"

import bench_filters
import peers
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import clean, ingest
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage
from pipeline.store.artifact import Artifact

BARS = {"en": 35, "zh": 25}  # times datatrove; wanted are 100
ROUNDS = 2


def raw_artifact(texts: list[str], language: str, folder: Path) -> Artifact:
    """Make the input: an artifact of ingest, and the same documents as a file for the peer."""
    ids = [f"{language}-{number}" for number in range(len(texts))]
    table = pa.table({"id": ids, "text": texts, "lang": [language] * len(texts)})
    source = folder / "source"
    source.mkdir(parents=True)
    pq.write_table(table, source / "texts.parquet")
    pq.write_table(table.slice(0, 20).drop_columns("lang"), folder / "warm.parquet")
    pq.write_table(table.drop_columns("lang"), folder / "texts.parquet")
    sources = SourceSet.open([Source(str(source))], source, memory=folder / "hashes.db")
    return run_stage(ingest.STAGE, ingest.IngestConfig(), [sources], folder / "raw").artifact


def ours(raw: Artifact, place: Path) -> float:
    """CPU seconds of the stage, when all that a process loads once is loaded."""
    began = time.process_time()
    run_stage(clean.STAGE, clean.CleanConfig(), [raw], place)
    return time.process_time() - began


def compare(language: str, megabytes: float, folder: Path) -> float:
    """Print one line for a language; return how many times faster ours is."""
    texts = peers.sample_texts(bench_filters.SOURCES[language], megabytes)
    size = sum(len(text.encode()) for text in texts) / 1e6
    raw = raw_artifact(texts, language, folder)
    script, source = Path(__file__).parent / "peer_clean.py", str(folder / "texts.parquet")
    ours(raw, folder / "warm")
    mine, theirs = [], []
    for turn in range(ROUNDS):
        mine += [ours(raw, folder / f"clean-{turn}-{again}") for again in range(2)]
        out = str(folder / f"peer-{turn}")
        found = peers.run_in_env(bench_filters.ENV, script, source, language, out)
        theirs.append(found["seconds"])
    my_rate, their_rate = size * len(mine) / sum(mine), size * len(theirs) / sum(theirs)
    ratio = my_rate / their_rate
    print(
        f"{language}: {len(texts)} documents, {size:.2f} MB; textmill {my_rate:.1f} MB/s, "
        f"datatrove 0.10.1 {their_rate:.3f} MB/s, ratio {ratio:.0f} (bar {BARS[language]})",
        flush=True,
    )
    return ratio


def main() -> int:
    """Compare both languages; return 1 if one is below its bar."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=float, default=8.0)
    options = parser.parse_args()
    peers.ensure_env(bench_filters.ENV, bench_filters.PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        ratios = {
            language: compare(language, options.megabytes, Path(name) / language)
            for language in BARS
        }
    return int(any(ratio < BARS[language] for language, ratio in ratios.items()))


if __name__ == "__main__":
    raise SystemExit(main())
