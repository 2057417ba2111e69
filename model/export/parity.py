"""Does an exported file say what the model says? Log-probabilities, choices, tokens, time.

Shapes: T positions of a row that are predicted, V vocabulary.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from model.network.families import AnyNetwork, family_of
from pipeline.tokenizer import Tokenizer

ROW_TOKENS = 32  # llama.cpp is asked once per position
CHOICES = 8  # tokens chosen greedily after each row
TIMED_ROUNDS = 5
TOLERANCE = 1e-3  # of natural-log probabilities, where weights are kept as they are
TEXTS = (
    "The bridge was closed in March 2019, and since then the ferry has carried everybody: school "
    "children, two doctors, and a man who sells bread.",
    "雨停了以后，街上的人慢慢多起来。卖豆腐的老人把伞收好，说今天的河水比昨天高了一尺。",
    "def area(width, height):\n    return width * height\n\nprint(area(3, 4.5))  # 13.5",
    "她在邮件里写道：please call me at 9 a.m.，如果会议改到 10:30，就不用回电话了。",
)


@dataclass(frozen=True)
class Row:
    """What a network reads: ids, and for an encoder-decoder what it has written so far."""

    ids: tuple[int, ...]
    target: tuple[int, ...] | None = None

    def followed_by(self, token: int) -> "Row":
        """Return the row with one more token at its end."""
        if self.target is None:
            return Row((*self.ids, token))
        return Row(self.ids, (*self.target, token))

    @property
    def predicted(self) -> int:
        """Count the positions with a prediction (T)."""
        return len(self.ids if self.target is None else self.target)


# A row to natural-log probabilities (T, V) of the token after, or for an encoder at, each position
# from the given one on.
Reader = Callable[[Row, int], np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """How a program with an exported file compares with the model; times are milliseconds."""

    program: str
    positions: int
    log_prob_difference: float  # largest over positions and vocabulary
    divergence: float  # mean Kullback-Leibler divergence from the model, nats per position
    same_choices: int  # greedy tokens equal to the model's, of `choices`
    choices: int
    same_texts: int | None  # texts with equal token ids, of `texts`; None: it has no tokenizer
    texts: int
    row_ms: float
    own_row_ms: float  # the model itself, in the same minute

    def disagreement(self, tolerance: float) -> str | None:
        """Return in which way another program does not say the same, None if it does.

        Where log-probabilities agree, a greedy choice that differs was a tie.
        """
        if not self.log_prob_difference <= tolerance:  # no number is no agreement either
            return f"log-probabilities differ by {self.log_prob_difference:.1e}"
        if self.same_texts is not None and self.same_texts < self.texts:
            return f"{self.texts - self.same_texts} of {self.texts} texts are cut into other tokens"
        return None


def rows_of(network: AnyNetwork, tokenizer: Tokenizer, texts: Sequence[str]) -> list[Row]:
    """Return what is read of each text: its first tokens, for an encoder-decoder cut in two."""
    size = min(ROW_TOKENS, network.config.context - CHOICES)
    rows = []
    for text in texts:
        ids = tokenizer.encode(text)[: size - 1]
        if family_of(network).reads_source:
            half = max(1, len(ids) // 2)
            rows.append(Row(tuple(ids[:half]), (tokenizer.bos_id, *ids[half:])))
        else:
            rows.append(Row((tokenizer.bos_id, *ids)))
    return rows


def own_reader(network: AnyNetwork) -> Reader:
    """Return the model itself as a reader."""

    def read(row: Row, start: int) -> np.ndarray:
        ids = [torch.tensor([list(part)]) for part in (row.ids, row.target) if part is not None]
        with torch.no_grad():
            return log_softmax(network(*ids)[0, start:].numpy())

    return read


def log_softmax(logits_TV: np.ndarray) -> np.ndarray:
    """Return natural-log probabilities in float64."""
    shifted_TV = logits_TV.astype(np.float64)
    shifted_TV -= shifted_TV.max(axis=-1, keepdims=True)
    return shifted_TV - np.log(np.exp(shifted_TV).sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Opened:
    """A program with a file open: how it reads rows, cuts text, and how long it takes for a row."""

    program: str
    read: Reader
    encode: Callable[[str], list[int]] | None = None
    row_ms: Callable[[Row], float] | None = None  # where a call of `read` is not one reading


def compare(
    network: AnyNetwork, tokenizer: Tokenizer, other: Opened, texts: Sequence[str] = TEXTS
) -> Comparison:
    """Read the same rows with the model and with the other program."""
    own, rows = own_reader(network), rows_of(network, tokenizer, texts)
    largest, divergences = 0.0, []
    for row in rows:
        mine_TV, other_TV = own(row, 0), other.read(row, 0)
        largest = float(np.maximum(largest, np.abs(mine_TV - other_TV).max()))
        divergences += (np.exp(mine_TV) * (mine_TV - other_TV)).sum(axis=-1).tolist()
    writes = family_of(network).generates
    mine, theirs = (
        [token for row in rows for token in greedy(read, row)] if writes else []
        for read in (own, other.read)
    )
    same = None
    if other.encode is not None:
        same = sum(other.encode(text) == tokenizer.encode(text) for text in texts)
    return Comparison(
        program=other.program,
        positions=sum(row.predicted for row in rows),
        log_prob_difference=largest,
        divergence=max(0.0, statistics.fmean(divergences)),  # rounding can bring it below
        same_choices=sum(a == b for a, b in zip(mine, theirs, strict=True)),
        choices=len(mine),
        same_texts=same,
        texts=len(texts),
        row_ms=least(other.row_ms or timed(other.read), rows[0]),
        own_row_ms=least(timed(own), rows[0]),
    )


def greedy(read: Reader, row: Row, count: int = CHOICES) -> list[int]:
    """Return the likeliest next token, `count` times, each read with what was chosen before."""
    chosen: list[int] = []
    for _ in range(count):
        chosen.append(int(read(row, row.predicted - 1)[-1].argmax()))
        row = row.followed_by(chosen[-1])
    return chosen


def timed(read: Reader) -> Callable[[Row], float]:
    """Return a function that reads a row once and gives the milliseconds it took."""

    def once(row: Row) -> float:
        started = time.perf_counter()
        read(row, 0)
        return (time.perf_counter() - started) * 1e3

    return once


def least(once: Callable[[Row], float], row: Row) -> float:
    """Return the least of a few measurements."""
    return min(once(row) for _ in range(TIMED_ROUNDS))
