"""Held-out loss by size and tokens seen: the measurements behind `model/planning/scaling.py`.

`python tests/bench/bench_scaling.py --family decoder --seconds 60` trains networks of three widths
at a constant rate on shared text for so many CPU seconds each, prints the loss in bits per byte
along the way, and fits E, A, B of L(N, D) = E + A / N^p + B / D^p to what was measured after the
warm-up (Hoffmann et al. 2022, section 3.3). The power p of their tokens is taken for both: so short
runs do not tell it, and by it best sizes and tokens grow alike, as they find. It exits 1 if the fit
misses a measurement by more than `BAR` on average.
"""

import argparse
import gzip
import io
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import peers
import sentencepiece
import torch

from flows import config as recipes
from model.network import families
from model.network.architecture import CHOICES, preset
from model.optim.optimizers import build_optimizer
from model.planning.cost import size_of
from model.planning.plan import shapes
from model.training.loop import validation_loss
from model.training.state import Training
from model.training.step import train_step

BAR = 0.03  # bits per byte
POWER, WARMUP_STEPS = 0.28, 20
SOURCES, CHARACTERS = ("en_20news", "en_sotu", "zh_lctt", "zh_classical_modern"), 3_000_000
WIDTHS, CONTEXT, BATCH, VOCAB_SIZE = (64, 128, 192), 128, 16, 4096
HELD_OUT, LOOKS = 48, 10  # windows; looks at the loss, at ever more tokens
DESIGNS = {
    "decoder": "qwen",
    "encoder": "modern_encoder",
    "encoder_decoder": "modern_encoder_decoder",
}


class Windows:
    """Windows of a long row of ids, drawn by the step."""

    def __init__(self, ids: np.ndarray) -> None:
        self.ids, self.batch_size, self.context = ids, BATCH, CONTEXT

    def batch(self, step: int) -> np.ndarray:
        """Return (BATCH, CONTEXT + 1) ids."""
        starts = np.random.default_rng(step).integers(0, len(self.ids) - CONTEXT - 1, BATCH)
        return np.stack([self.ids[start : start + CONTEXT + 1] for start in starts])


def texts() -> list[str]:
    """The first texts of each source, documents of all sources in turn."""
    by_source = []
    for name in SOURCES:
        own, size = [], 0
        with gzip.open(peers.DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                own.append(json.loads(line)["text"][:8000])
                size += len(own[-1].encode())
                if size > CHARACTERS:
                    break
        by_source.append(own)
    return [text for own in by_source for text in own]


def encoded() -> tuple[np.ndarray, np.ndarray, float]:
    """Training ids, held-out ids, bytes per held-out token."""
    documents, made = texts(), io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text[:4000] for text in documents[::4]), model_writer=made,
        model_type="bpe", vocab_size=VOCAB_SIZE, byte_fallback=True, character_coverage=0.99,
        pad_id=3, minloglevel=2, num_threads=1, normalization_rule_name="identity",
        max_sentence_length=20000,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    rows = [np.array([1, *processor.encode(text)], np.int64) for text in documents]
    held, train = rows[::25], [row for number, row in enumerate(rows) if number % 25]
    per_token = sum(len(text.encode()) for text in documents[::25]) / sum(map(len, held))
    return np.concatenate(train), np.concatenate(held), per_token


def curve(family: str, width: int, seconds: float, data) -> list[tuple[int, int, float]]:
    """(parameters multiplied, tokens seen, bits per byte) of a training at a constant rate."""
    train, held, per_token = data
    base = recipes.load("quickstart").train
    design = {**preset(DESIGNS[family]), "context": CONTEXT, "count_order": None}
    model = replace(base.model, **design)
    model = next(shape for shape in shapes(model) if shape.width == width)
    config = replace(
        base, model=model, batch_size=BATCH, schedule="constant", warmup_steps=WARMUP_STEPS,
        steps=10**6, precision="fp32",
    )  # fmt: skip
    torch.manual_seed(1)
    network = families.build(model, VOCAB_SIZE)
    held = Windows(held)
    with tempfile.TemporaryDirectory() as folder:
        training = Training(
            network=network,
            optimizer=build_optimizer(network, config.optimizer, config.hyperparameters),
            loader=Windows(train), validation=[held.batch(i) for i in range(HELD_OUT // BATCH)],
            precision="fp32", checkpoints=Path(folder), progress=lambda *_: None, config=config,
        )  # fmt: skip
        rows, began, look = [], time.process_time(), seconds / 2 ** (LOOKS / 2)
        while (spent := time.process_time() - began) < seconds:
            train_step(training, stop_requested=False)
            training.state.step += 1
            if spent > look:
                look *= 2**0.5
                loss = validation_loss(training)
                tokens = training.state.step * config.tokens_per_step
                rows.append(
                    (size_of(model, VOCAB_SIZE).multiplied, tokens, loss / np.log(2) / per_token)
                )
                print(family, width, *rows[-1], f"{spent:.0f} s", flush=True)
    return rows


def fitted(rows: list[tuple[int, int, float]]) -> tuple[float, float, float]:
    """E, A, B of least squares, none below zero."""
    from scipy.optimize import nnls

    size_R, tokens_R, loss_R = np.array(rows).T
    columns = np.stack([np.ones_like(loss_R), size_R**-POWER, tokens_R**-POWER], axis=1)
    return tuple(map(float, nnls(columns, loss_R)[0]))


def main() -> int:
    """Measure, fit, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--family", choices=CHOICES["family"], default="decoder")
    parser.add_argument("--seconds", type=float, default=60.0, help="of CPU time, each width")
    options = parser.parse_args()
    data = encoded()
    print(f"{len(data[0]):,} tokens, {data[2]:.2f} bytes each", flush=True)
    rows = [row for width in WIDTHS for row in curve(options.family, width, options.seconds, data)]
    rows = [row for row in rows if row[1] >= WARMUP_STEPS * BATCH * CONTEXT]
    least, of_size, of_tokens = fitted(rows)
    said = [least + of_size / size**POWER + of_tokens / tokens**POWER for size, tokens, _ in rows]
    off = float(np.mean([abs(x - row[2]) for x, row in zip(said, rows, strict=True)]))
    print(f"E {least:.3f}, A {of_size:.2f}, B {of_tokens:.2f}; {len(rows)} losses off by {off:.4f}")
    return 1 if off > BAR else 0


if __name__ == "__main__":
    sys.exit(main())
