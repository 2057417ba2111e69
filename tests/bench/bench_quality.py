"""Bits per byte at equal CPU time: the quickstart's settings against a GPT-2 as usually trained.

`python tests/bench/bench_quality.py` shards real text once (or takes `--shards`), then trains both
for as many steps as `--seconds` of one thread's CPU time hold by a measurement of each, over three
seeds, scores held-out documents, and exits 1 if ours is not lower by `BAR` for every seed.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]
os.environ["OMP_NUM_THREADS"] = "1"

import peers
import torch

from flows import config as recipes
from flows.cli import main as textmill
from model import train
from model.evaluation import evaluation
from model.evaluation.config import EvaluateConfig
from model.evaluation.paired import bits_per_byte
from model.network.architecture import ModelConfig, preset
from model.planning import measure
from model.training import step
from model.training.allocation import keep_freed_memory
from model.training.config import TrainConfig
from pipeline.stage import run_stage
from pipeline.store.artifact import Artifact, load_artifact
from pipeline.tokenizer import load_tokenizer

BAR = 0.1  # bits per byte
SEEDS = (1, 2, 3)
SECONDS = 180.0
SOURCES = ("en_20news", "en_sotu", "zh_lctt", "zh_classical_modern", "enzh_pydocs")
VOCAB_SIZE = 4096
STEPS_TIMED = 7
SIZES = {"layers": 4, "width": 128, "heads": 4, "kv_heads": 4, "context": 128}


def settings() -> dict[str, TrainConfig]:
    """The two ways to train a network of 1.3 million parameters."""
    quickstart = recipes.load("quickstart").train
    ours = replace(quickstart, model=replace(quickstart.model, **SIZES, hidden=352))
    classic = ModelConfig(**{**preset("gpt2"), **SIZES, "hidden": 512})
    theirs = TrainConfig(
        batch_size=ours.batch_size, optimizer="adamw", learning_rate=1e-3, weight_decay=0.1,
        schedule="cosine", final_learning_rate_share=0.1, model=classic,
    )  # fmt: skip
    return {"gpt2": theirs, "quickstart": ours}


def shards(folder: Path) -> Artifact:
    """Clean, deduplicated, tokenised text of five real sources."""
    raw = [str(peers.DATA / f"{name}.jsonl.gz") for name in SOURCES]
    place = {name: str(folder / name) for name in ("ingest", "clean", "dedup", "tok", "shards")}
    commands = (
        ["ingest", *raw, "--out", place["ingest"]],
        ["clean", place["ingest"], "--out", place["clean"]],
        ["dedup", place["clean"], "--out", place["dedup"]],
        ["tokenizer", place["dedup"], "--out", place["tok"], "--vocab-size", str(VOCAB_SIZE)],
        ["shard", place["dedup"], "--tokenizer", place["tok"], "--out", place["shards"]],
    )
    for command in commands:
        if textmill(command):
            raise SystemExit(f"textmill {' '.join(command)} failed")
    return load_artifact(Path(place["shards"]))


def cpu_seconds_per_step(config: TrainConfig) -> float:
    """CPU seconds of a step on random tokens, the median of a few."""
    endless = replace(config, spike_nats=None)
    with tempfile.TemporaryDirectory() as folder:
        training = measure.build_trial(
            endless, measure.TrialSetup(VOCAB_SIZE, torch.device("cpu"), Path(folder))
        )
        taken = []
        for _ in range(STEPS_TIMED + 2):
            began = time.process_time()
            step.train_step(training, stop_requested=False)
            taken.append(time.process_time() - began)
    return sorted(taken[2:])[STEPS_TIMED // 2]


def score(config: TrainConfig, made: Artifact, folder: Path) -> float:
    """Train, score held-out documents; return bits per byte."""
    model = run_stage(train.STAGE, config, [made], folder).artifact
    own = load_tokenizer(made.file("tokenizer.model"))
    return bits_per_byte(evaluation.document_scores(model.path, made, own, EvaluateConfig()))


def main() -> int:
    """Compare over the seeds; return 1 if ours is not clearly lower for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--shards", type=Path, help="an artifact with a vocabulary of VOCAB_SIZE")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    gains = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = load_artifact(asked.shards) if asked.shards else shards(folder)
        for seed in asked.seeds:
            found = {}
            for who, config in settings().items():
                steps = max(20, int(asked.seconds / cpu_seconds_per_step(config)))
                sized = replace(config, seed=seed, steps=steps, warmup_steps=steps // 20)
                found[who] = score(sized, made, folder / f"{who}-{seed}")
                print(
                    f"seed {seed}: {who:<10} {steps} steps, {found[who]:.3f} bits per byte",
                    flush=True,
                )
            gains.append(found["gpt2"] - found["quickstart"])
            print(f"seed {seed}: {gains[-1]:.3f} lower (bar {BAR})", flush=True)
    return int(min(gains) < BAR)


if __name__ == "__main__":
    raise SystemExit(main())
