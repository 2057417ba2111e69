"""Batches per second against litdata's and mosaicml-streaming's on the same tokens; resuming.

`python tests/bench/bench_loader.py` takes the tokens of shared documents and prints tokens per
second of all three for shuffled batches of int64 rows of 1,025, taking turns; ours prepares steps
ahead in a thread, as training has it. The bar is on CPU time of one process, all its threads: what
training loses, and what a shared machine disturbs least. Then the seconds
from a checkpoint to the next batch at steps near and far. Exits 1 below the bars.
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

from model.data.loader import Loader
from model.data.training_data import STEPS_AHEAD
from pipeline.batching.token_file import TokenFile, framed
from pipeline.shard import token_lists
from pipeline.tokenizer import Tokenizer
from pipeline.tokenizer_training import SEGMENT, TokenizerConfig, train

BAR = 10.0
RESUME_SECONDS = 1.0
ENV = "loader"
PACKAGES = ("litdata==0.2.76", "mosaicml-streaming==0.13.0", "torch")
CONTEXT, BATCH = 1024, 32
ROUNDS = 3
SECONDS = 3.0
WORKERS = 2
SOURCES: dict[str, str | None] = dict.fromkeys(
    ("en_20news", "en_sotu", "zh_lctt", "zh_laws", "enzh_pydocs", "enzh_paddlex", "code_cpython")
)
VOCAB_SIZE = 16384
TRAINED_ON = 16  # every such text trains the tokenizer
BYTES_PER_TOKEN = 6.0  # at most, and some sources are shorter than their share
SCRIPT = Path(__file__).parent / "peer_loader.py"


def real_tokens(path: Path, count: int) -> TokenFile:
    """Write the first `count` ids of shared documents as a token file of their shard holds them."""
    texts = peers.sample_texts(SOURCES, count * BYTES_PER_TOKEN / 1e6)
    lines = (line.group() for text in texts[::TRAINED_ON] for line in SEGMENT.finditer(text))
    tokenizer = Tokenizer(train(lines, TokenizerConfig(vocab_size=VOCAB_SIZE)))
    ids, offsets = tokenizer.encode_batch(texts)
    tokens = framed(token_lists(ids, offsets, VOCAB_SIZE), np.dtype(np.uint16))
    if len(tokens) < count:
        raise SystemExit(f"the texts have {len(tokens)} tokens, wanted {count}; ask for fewer")
    tokens[:count].tofile(path)
    return TokenFile(path, tokens.dtype)


def ours(loader: Loader, first: int) -> tuple[dict[str, float], int]:
    """Return tokens per second and per CPU second from step `first` on, and the step reached."""
    torch.from_numpy(loader.batch(first))
    began, busy, step = time.perf_counter(), time.process_time(), first + 1
    while time.perf_counter() - began < SECONDS:
        torch.from_numpy(loader.batch(step))
        step += 1
    tokens = (step - first - 1) * BATCH * (CONTEXT + 1)
    rates = {
        "per_cpu_second": tokens / (time.process_time() - busy),
        "per_second": tokens / (time.perf_counter() - began),
    }
    return rates, step


def theirs(name: str, folder: Path, workers: int) -> dict[str, float]:
    """Return a peer's rates."""
    arguments = (str(folder), str(CONTEXT + 1), str(BATCH), str(workers), str(SECONDS))
    return peers.run_in_env(ENV, SCRIPT, name, *arguments)


def resume_seconds(source: TokenFile, step: int) -> float:
    """Return seconds from opening the loader to the batch of a checkpoint's step."""
    began = time.perf_counter()
    Loader(source, CONTEXT, BATCH * 2, seed=1, world_size=4, rank=3).batch(step)
    return time.perf_counter() - began


def _note(
    name: str, rates: dict[str, float], alone: dict[str, float], wall: dict[str, float]
) -> None:
    alone[name] = max(alone.get(name, 0.0), rates["per_cpu_second"])
    wall[name] = max(wall.get(name, 0.0), rates["per_second"])


def _report(what: str, best: dict[str, float]) -> float:
    """Print tokens per second of all and return ours as a multiple of the faster peer's."""
    ratio = best["textmill"] / max(best["litdata"], best["mosaic"])
    rates = ", ".join(f"{name} {rate / 1e6:.1f} M" for name, rate in best.items())
    print(f"tokens {what}: {rates}; ratio {ratio:.1f} (bar {BAR:.0f})", flush=True)
    return ratio


def main() -> int:
    """Compare; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--million-tokens", type=int, default=16)
    options = parser.parse_args()
    peers.ensure_env(ENV, PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = real_tokens(folder / "bench.tokens", options.million_tokens * 1_000_000)
        peers.run_in_env(ENV, SCRIPT, "prepare", str(source.path), str(folder), str(CONTEXT + 1))
        alone: dict[str, float] = {}  # per CPU second, one process
        wall: dict[str, float] = {}  # per second, with or without workers
        step = 0
        for _ in range(ROUNDS):
            rates, step = ours(Loader(source, CONTEXT, BATCH, seed=1, ahead=STEPS_AHEAD), step)
            _note("textmill", rates, alone, wall)
            for peer in ("litdata", "mosaic"):
                _note(peer, theirs(peer, folder, 0), alone, wall)
                _note(peer, theirs(peer, folder, WORKERS), {}, wall)
        slowest = max(resume_seconds(source, step) for step in (0, 12_345, 10**9))
    ratio = _report("per CPU second, one process", alone)
    _report("per second, the peers with up to two workers", wall)
    print(f"resume to the first batch: {slowest:.3f} s (bar {RESUME_SECONDS:.0f})")
    return int(ratio < BAR or slowest > RESUME_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
