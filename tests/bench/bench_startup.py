"""What commands cost before they do anything: CPU seconds and memory beside bare libraries.

    python tests/bench/bench_startup.py

Commands that touch no data may take twice the CPU seconds of `python -c 'import polars, pyarrow'`
in the same minutes and 150 MB, stages of data, on thirty small files, three times. Each is started
as a user starts it, once to have its bytecode, machine code and hashes of code, then TRIES times;
the least counts. `schedule list` ends at the question whether a server is there.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TRIES = 3
NOTHING_MAX, STAGE_MAX, MEGABYTES_MAX = 2.0, 3.0, 150
LIBRARIES = [sys.executable, "-c", "import polars, pyarrow"]
NOTHING = (
    "rules",
    "run smoke --source {0}/texts --dry-run",
    "explain smoke --source {0}/texts --store {0}/store",
    "schedule list --store {0}/store",
)
STAGES = (
    "ingest {0}/texts --out {0}/raw",
    "clean {0}/raw --out {0}/clean --profile none",
    "dedup {0}/clean --out {0}/deduped",
    "tokenizer {0}/deduped --out {0}/tokenizer --vocab-size 300",
    "shard {0}/deduped --out {0}/shards --tokenizer {0}/tokenizer",
)


def cost(command: list[str]) -> tuple[float, int]:
    """Run a command; return its CPU seconds and the megabytes it held at most."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def write_texts(folder: Path) -> None:
    folder.mkdir()
    for number in range(30):
        lines = [f"Line {line} of document {number} is like no other one." for line in range(40)]
        (folder / f"{number}.txt").write_text("\n".join(lines))


def measure(command: str, folder: Path) -> tuple[float, float, int]:
    """Return the least CPU seconds of a command and of the libraries, by turns, and its memory."""
    seconds, bare, megabytes = [], [], 0
    for run in range(TRIES + 1):
        words = command.format(folder).split()
        if "--out" in words:  # a stage makes its artifact each time, the last one stays
            out = Path(words[words.index("--out") + 1])
            if out.exists():
                out.rename(out.with_name(f"{out.name}.{run}"))
        taken, held = cost([sys.executable, "-m", "flows.cli", *words])
        if run:
            seconds.append(taken)
            bare.append(cost(LIBRARIES)[0])
            megabytes = max(megabytes, held)
    return min(seconds), min(bare), megabytes


def main() -> int:
    missed = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_texts(folder / "texts")
        for command in (*NOTHING, *STAGES):
            bar = NOTHING_MAX if command in NOTHING else STAGE_MAX
            taken, bare, megabytes = measure(command, folder)
            within = taken <= bar * bare and (command in STAGES or megabytes <= MEGABYTES_MAX)
            missed += not within
            print(
                f"{command.split(' --')[0].split(' {')[0]:<22} {taken:5.2f} s, libraries "
                f"{bare:4.2f} s: {taken / bare:4.2f} times (bar {bar:.0f}), {megabytes} MB "
                f"{'' if within else 'MISSED'}"
            )
    return missed


if __name__ == "__main__":
    sys.exit(main())
