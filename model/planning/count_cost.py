"""What counting a corpus's n-grams takes, measured on a sample of it (`model.count_order`)."""

import functools
import math
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from model.counts import count_table
from model.network.architecture import ModelConfig
from model.network.counts import NgramCounts
from model.planning.corpus_sample import CorpusSample
from model.training.counting import COUNTED_TOKENS_MAX
from pipeline.tokenizer import Tokenizer

GROWTH = (0.5, 1.3)  # of what a corpus takes with its size: between n-grams repeated and sorting


@dataclass(frozen=True)
class CountCost:
    """Counting of a whole corpus: time, the most memory meanwhile, and that of the tables."""

    seconds: float
    peak_bytes: int
    table_bytes: int


@functools.lru_cache(maxsize=1)
def count_sample(
    sample: CorpusSample, model: ModelConfig, vocab_size: int
) -> tuple[dict[str, torch.Tensor], CountCost] | None:
    """Count a sample for a network that mixes n-grams in: its tables, and what all of it will take.

    It is counted twice, the second time whole, to see how each figure grows. None where nothing
    will be counted.
    """
    counted = model.count_order is not None and sample.tokens <= COUNTED_TOKENS_MAX
    if not counted or not sample.documents:
        return None
    sizes: list[int] = []
    costs: list[dict[str, float]] = []
    tables: dict[str, torch.Tensor] = {}
    for documents in (sample.documents[::2], sample.documents):
        sizes.append(max(1, sum(map(len, documents))))
        tables, cost = _counted(NgramCounts(model, vocab_size), documents)
        costs.append(asdict(cost))
    grown = {
        name: _grown(sizes, [cost[name] for cost in costs], sample.tokens) for name in costs[0]
    }
    peak, table = int(grown["peak_bytes"]), int(grown["table_bytes"])
    return tables, CountCost(grown["seconds"], peak, table)


def _counted(
    counts: NgramCounts, documents: Sequence[np.ndarray]
) -> tuple[dict[str, torch.Tensor], CountCost]:
    began = time.perf_counter()
    tracemalloc.start()
    try:
        table = count_table.count(
            documents, counts.vocab_size, Tokenizer.bos_id, Tokenizer.eos_id, counts.order
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    arrays = count_table.arrays_of(table)
    tables = {name: torch.from_numpy(array) for name, array in arrays.items()}
    counts.fill(tables)
    held = sum(buffer.nbytes for buffer in counts.buffers())
    return tables, CountCost(time.perf_counter() - began, peak, held)


def _grown(sizes: Sequence[int], values: Sequence[float], wanted: int) -> float:
    """Return what a power law through two measurements says of `wanted` tokens."""
    growth = 1.0
    if sizes[0] < sizes[1] and min(values) > 0:
        growth = math.log(values[1] / values[0]) / math.log(sizes[1] / sizes[0])
    low, high = GROWTH
    return values[1] * (wanted / sizes[1]) ** min(max(growth, low), high)
