"""How good an answer is: 1 perfect, 0 worthless; and corpus figures with intervals of their own.

Units of Chinese are characters, of other scripts words in lower case without punctuation, so that
one definition serves both languages.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from model.evaluation.tasks import sandbox
from model.evaluation.tasks.item import Item
from pipeline.characters import UNSPACED_RANGES
from pipeline.compiled import njit

RESAMPLES = 300  # of whole-corpus metrics, which cost more than a mean
_UNSPACED = "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSPACED_RANGES)
_UNIT = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "，。！？、；：“”‘’（）《》【】…—")


def units(text: str) -> list[str]:
    """Return what is compared: each unspaced character, each other word in lower case."""
    return _UNIT.findall(text.lower())


def exact(got: str, item: Item) -> float:
    """1 if the answer is one of those wanted, but for case, spaces and punctuation."""
    return float(_plain(got) in {_plain(answer) for answer in item.answers})


def _plain(text: str) -> str:
    return " ".join(text.lower().translate(_PUNCTUATION).split())


def f1(got: str, item: Item) -> float:
    """Overlap of units with the best of the answers (Rajpurkar et al. 2016; CMRC for Chinese)."""
    return max(_overlap(Counter(units(got)), Counter(units(answer))) for answer in item.answers)


def _overlap(got: Counter, wanted: Counter) -> float:
    if not got or not wanted:
        return float(got == wanted)
    both = (got & wanted).total()
    return 2 * both / (got.total() + wanted.total())


def rouge1(got: str, item: Item) -> float:
    """ROUGE-1 F1 over units (Lin 2004)."""
    return max(_ngram_f1(got, answer, 1) for answer in item.answers)


def rouge2(got: str, item: Item) -> float:
    """ROUGE-2 F1 over units (Lin 2004)."""
    return max(_ngram_f1(got, answer, 2) for answer in item.answers)


def _ngram_f1(got: str, wanted: str, n: int) -> float:
    got_ngrams, wanted_ngrams = (
        Counter(tuple(u[i : i + n]) for i in range(len(u) - n + 1))
        for u in (units(got), units(wanted))
    )
    return _overlap(got_ngrams, wanted_ngrams) if got_ngrams and wanted_ngrams else 0.0


def rouge_l(got: str, item: Item) -> float:
    """ROUGE-L F1: the longest common subsequence of units (Lin 2004)."""
    return max(_longest_f1(units(got), units(answer)) for answer in item.answers)


def _longest_f1(got: list[str], wanted: list[str]) -> float:
    if not got or not wanted:
        return 0.0
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys([*got, *wanted]))}
    got_T, wanted_T = (np.array([numbers[u] for u in side], np.int64) for side in (got, wanted))
    return 2 * int(_longest_common(got_T, wanted_T)) / (len(got) + len(wanted))


@njit(nogil=True)
def _longest_common(first: np.ndarray, second: np.ndarray) -> int:
    row = np.zeros(len(second) + 1, np.int64)
    for unit in first:
        diagonal = 0
        for index in range(len(second)):
            above = row[index + 1]
            row[index + 1] = diagonal + 1 if unit == second[index] else max(above, row[index])
            diagonal = above
    return row[-1]


def compiles(got: str, item: Item) -> float:
    """1 if prompt and answer are a Python program."""
    return float(sandbox.compiles(item.prompt + got))


def passes(got: str, item: Item) -> float:
    """1 if the program runs through its checks in the sandbox."""
    program = sandbox.Program(item.prompt + got, item.check, item.function, item.prompt)
    return float(sandbox.run(program) == sandbox.PASSED)


Metric = Callable[[str, Item], float]
METRICS: dict[str, Metric] = {
    "exact": exact,
    "f1": f1,
    "rouge1": rouge1,
    "rouge2": rouge2,
    "rougeL": rouge_l,
    "compiles": compiles,
    "passes": passes,
}

Bounded = tuple[float, float | None, float | None]  # value, interval


def bleu(got: Sequence[str], wanted: Sequence[str], lang: str, seed: int) -> Bounded:
    """BLEU (Papineni et al. 2002) as sacrebleu counts it: characters in Chinese, 13a words else."""
    from sacrebleu.metrics import BLEU

    return _bootstrapped(BLEU(tokenize="zh" if lang == "zh" else "13a"), got, wanted, seed)


def chrf(got: Sequence[str], wanted: Sequence[str], lang: str, seed: int) -> Bounded:
    """ChrF2 (Popovic 2015) as sacrebleu counts it."""
    from sacrebleu.metrics import CHRF

    return _bootstrapped(CHRF(), got, wanted, seed)


def _bootstrapped(metric, got: Sequence[str], wanted: Sequence[str], seed: int) -> Bounded:
    def score(numbers: np.ndarray) -> float:
        ours = [got[number] for number in numbers]
        return metric.corpus_score(ours, [[wanted[number] for number in numbers]]).score / 100

    value = score(np.arange(len(got)))
    if len(got) < 2:
        return value, None, None
    generator = np.random.Generator(np.random.PCG64(seed))
    draws = [score(generator.integers(len(got), size=len(got))) for _ in range(RESAMPLES)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return value, float(low), float(high)


CORPUS_METRICS: dict[str, Callable[[Sequence[str], Sequence[str], str, int], Bounded]] = {
    "bleu": bleu,
    "chrf": chrf,
}
