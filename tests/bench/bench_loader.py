"""Batches per second against litdata's and mosaicml-streaming's on the same tokens; resuming.

`python tests/bench/bench_loader.py` prints tokens per second of all three for shuffled batches of
int64 rows of 1,025, the better of the peers' runs with no worker and with two, taking turns with
ours; then the seconds from a checkpoint's state to the next batch at steps near and far. Exits 1
below the bars.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import peers
import torch

from model.loader import Loader
from pipeline.batching.token_file import TokenFile

BAR = 10.0
RESUME_SECONDS = 1.0
PACKAGES = ("litdata==0.2.76", "mosaicml-streaming==0.13.0", "torch")
CONTEXT, BATCH = 1024, 32
ROUNDS = 3
SECONDS = 3.0
WORKERS = (0, 2)
SCRIPT = Path(__file__).parent / "peer_loader.py"


def zipf_tokens(path: Path, count: int) -> TokenFile:
    """Write `count` ids spread as words are, so that nothing is constant; the same each time."""
    generator = np.random.default_rng(1)
    (generator.zipf(1.3, count) % 32_000).astype(np.uint16).tofile(path)
    return TokenFile(path, np.dtype(np.uint16))


def ours(loader: Loader, first: int) -> tuple[float, int]:
    """Return tokens per second of batches from `first` on as tensors, and the step reached."""
    torch.from_numpy(loader.batch(first))
    began, step = time.perf_counter(), first + 1
    while time.perf_counter() - began < SECONDS:
        torch.from_numpy(loader.batch(step))
        step += 1
    tokens = (step - first - 1) * BATCH * (CONTEXT + 1)
    return tokens / (time.perf_counter() - began), step


def theirs(name: str, folder: Path, workers: int) -> float:
    """Return tokens per second of a peer."""
    arguments = (str(folder), str(CONTEXT + 1), str(BATCH), str(workers), str(SECONDS))
    return peers.run_in_env(SCRIPT, name, *arguments)["tokens_per_second"]


def resume_seconds(source: TokenFile, step: int) -> float:
    """Return seconds from opening the loader at a checkpoint's state to its first batch."""
    state = Loader(source, CONTEXT, BATCH, seed=1).state(step)
    began = time.perf_counter()
    Loader(source, CONTEXT, BATCH * 2, seed=1, world_size=4, rank=3).resumed(state).batch(step)
    return time.perf_counter() - began


def main() -> int:
    """Compare; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--million-tokens", type=int, default=64)
    options = parser.parse_args()
    peers.ensure_env(PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = zipf_tokens(folder / "bench.tokens", options.million_tokens * 1_000_000)
        peers.run_in_env(SCRIPT, "prepare", str(source.path), str(folder), str(CONTEXT + 1))
        loader = Loader(source, CONTEXT, BATCH, seed=1, ahead=2)
        best: dict[str, float] = {}
        step = 0
        for _ in range(ROUNDS):
            rate, step = ours(loader, step)
            best["textmill"] = max(best.get("textmill", 0.0), rate)
            for peer in ("litdata", "mosaic"):
                rate = max(theirs(peer, folder, workers) for workers in WORKERS)
                best[peer] = max(best.get(peer, 0.0), rate)
        ratio = best["textmill"] / max(best["litdata"], best["mosaic"])
        slowest = max(resume_seconds(source, step) for step in (0, 12_345, 10**9))
    rates = ", ".join(f"{peer} {rate / 1e6:.1f} M tokens/s" for peer, rate in best.items())
    print(f"{rates}: ratio {ratio:.1f} (bar {BAR:.0f})")
    print(f"resume to the first batch: {slowest:.3f} s (bar {RESUME_SECONDS:.0f})")
    return int(ratio < BAR or slowest > RESUME_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
