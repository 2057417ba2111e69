"""Tokens per CPU second of training, one thread, against plain loops over other networks.

`python tests/bench/bench_train.py` prints ours, transformers' Llama and GPT-2 and litgpt's Llama at
one shape, each in the better of float32 and bfloat16, and exits 1 if ours is not `BAR` times the
best of them. Ours is the step that `textmill train` takes. They take turns; the best turn counts.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]
os.environ["OMP_NUM_THREADS"] = "1"

import peers
import torch

from model.network.architecture import ModelConfig
from model.planning import measure
from model.training import step
from model.training.allocation import keep_freed_memory
from model.training.config import TrainConfig

BAR = 1.3
ENV = "train"
PACKAGES = ("torch==2.13.0", "litgpt==0.5.13", "transformers==5.3.0")
NAMES = ("llama", "gpt2", "litgpt")
ROUNDS = 2
STEPS = 9
VOCAB_SIZE = 4096
SHAPES = {
    "2.6M": ModelConfig(layers=4, width=192, heads=4, kv_heads=4, hidden=512, context=128),
    "13M": ModelConfig(layers=6, width=384, heads=6, kv_heads=6, hidden=1024, context=256),
}
BATCH_SIZE = 8


def ours(model: ModelConfig) -> float:
    """CPU seconds of a step, precision measured as in training."""
    config = TrainConfig(steps=10_000, batch_size=BATCH_SIZE, spike_nats=None, model=model)
    with tempfile.TemporaryDirectory() as folder:
        training = measure.build_trial(
            config, measure.TrialSetup(VOCAB_SIZE, torch.device("cpu"), Path(folder))
        )
        taken = []
        for _ in range(STEPS + 2):
            began = time.process_time()
            step.train_step(training, stop_requested=False)
            taken.append(time.process_time() - began)
    return sorted(taken[2:])[STEPS // 2]


def compare(name: str, model: ModelConfig) -> float:
    """Print a shape's rates; return how many times the best of the others ours is."""
    shape = {"vocab_size": VOCAB_SIZE, "batch_size": BATCH_SIZE, **vars(model)}
    script = Path(__file__).parent / "peer_train.py"
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        turns = {"textmill": ours(model)}
        for peer in NAMES:
            by_type = peers.run_in_env(ENV, script, peer, json.dumps(shape), str(STEPS))
            turns |= {f"{peer} {kind}": seconds for kind, seconds in by_type.items()}
        best = {who: min(seconds, best.get(who, seconds)) for who, seconds in turns.items()}
    tokens = BATCH_SIZE * model.context
    for who, seconds in best.items():
        print(f"{name}: {who:<12} {tokens / seconds:8,.0f} tokens per CPU second")
    ratio = min(seconds for who, seconds in best.items() if who != "textmill") / best["textmill"]
    print(f"{name}: {ratio:.2f} times the best of the others (bar {BAR})", flush=True)
    return ratio


def main() -> int:
    """Compare the shapes named, all by default; return 1 if one is below the bar."""
    torch.set_num_threads(1)
    keep_freed_memory()
    peers.ensure_env(ENV, PACKAGES)
    chosen = sys.argv[1:] or list(SHAPES)
    return int(min([compare(name, SHAPES[name]) for name in chosen]) < BAR)


if __name__ == "__main__":
    raise SystemExit(main())
