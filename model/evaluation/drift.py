"""Has new text drifted from what the champion knows? Languages, the tokenizer's fit, the loss.

Old text is what the champion's shards had, new text what they had not (`seen_documents`). Three
figures, each with a bound in the recipe's section `[drift]`:

- language_shift: total variation distance between the languages' shares of the bytes of old and of
  new text; 0: the same mixture, 1: no language in common.
- tokens_per_byte: by language, how much more tokens the champion's tokenizer needs for new text.
- bits_per_byte: by language, how much more bits the champion needs for new text than for old text
  that was held out from its training.

The last two are measured on documents drawn by the hash of their ids. What counts is the least
rise that the 95 % intervals of both sides leave (bootstrap over documents), so a few odd documents
are no drift. Shapes: N documents.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.evaluation.config import DriftConfig
from model.evaluation.held_out import documents, recode
from model.evaluation.intervals import interval, ratio
from model.evaluation.scoring import HeldOutDocument, score
from model.formats import model_folder
from pipeline.batching.seen_documents import NEW, OLD, SeenDocuments, growth_of, with_ages
from pipeline.hashing import hash64
from pipeline.shard import TRAIN, VALIDATION
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import Tokenizer, load_tokenizer

LANGUAGE_SHIFT, TOKENS, BITS = "language_shift", "tokens_per_byte", "bits_per_byte"
ALL = "all"
BATCH_SIZE = 16
TINY = 1e-12  # where a resample has drawn no old document


@dataclass(frozen=True)
class DriftFigure:
    """One comparison of new text with old."""

    name: str
    lang: str
    old: float | None  # None of shares
    new: float | None
    change: float  # a share: 0.1 is a tenth more
    sure_change: float  # the least that the intervals leave
    bound: float | None  # None: not judged

    @property
    def is_past(self) -> bool:
        """Tell whether it asks for retraining."""
        return self.bound is not None and self.sure_change > self.bound

    def sentence(self) -> str:
        """Say what was found and what was wanted."""
        wanted = "not judged" if self.bound is None else f"wanted at most {self.bound:g}"
        change = f"{self.change:+.3f}, surely {self.sure_change:+.3f}"
        return f"{self.name} of {self.lang}: {change}, {wanted}"


@dataclass(frozen=True)
class DriftReport:
    """How much is new and what it is like."""

    new_documents: int
    new_bytes: int
    figures: tuple[DriftFigure, ...]

    @property
    def reasons(self) -> list[str]:
        """Return what is past its bound, in words."""
        return [figure.sentence() for figure in self.figures if figure.is_past]


def measure_drift(
    shards: Artifact, champion: Path, champion_shards: Artifact, config: DriftConfig
) -> DriftReport:
    """Compare the text of `shards` that the champion's shards had not with the text they had.

    `champion` is its model folder. In memory are hashes of ids and the documents that are scored.
    """
    rows = growth_of(shards, champion_shards).rows
    new, old = (_bytes_by_language(rows, age) for age in (NEW, OLD))
    documents_new = sum(row["documents"] for row in rows if row["age"] == NEW)
    if not new:
        return DriftReport(0, 0, ())
    shift = _total_variation(new, old)
    figures = [DriftFigure(LANGUAGE_SHIFT, ALL, None, None, shift, shift, config.language_shift)]
    figures += _rises(shards, champion, SeenDocuments.of(champion_shards), config)
    return DriftReport(documents_new, new.total(), tuple(figures))


def _bytes_by_language(rows: Sequence[dict[str, object]], age: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        if row["age"] == age:
            counts[str(row["lang"])] += int(str(row["bytes"]))
    return counts


def _total_variation(new: Counter[str], old: Counter[str]) -> float:
    if not old:
        return 1.0
    shares = (new[lang] / new.total() - old[lang] / old.total() for lang in new | old)
    return sum(abs(share) for share in shares) / 2


def _rises(
    shards: Artifact, champion: Path, seen: SeenDocuments, config: DriftConfig
) -> list[DriftFigure]:
    """Return tokens and bits per byte by language, of the languages that old and new text have."""
    own = load_tokenizer(shards.path)
    theirs = load_tokenizer(champion / model_folder.TOKENIZER)
    network = model_folder.read(champion)
    costs: dict[str, dict[str, np.ndarray]] = {}
    for age, splits in ((NEW, (TRAIN, VALIDATION)), (OLD, (VALIDATION,))):
        chosen = _choose(shards, seen, age, splits, config.tokens_max)
        texts = [_in_tokens_of(theirs, own, text) for text in _read(shards, splits, chosen)]
        bits_N = score(network, theirs, texts, batch_size=BATCH_SIZE).nats_N / math.log(2)
        costs[age] = _by_language(texts, bits_N)
    total = sum(parts[:, 2].sum() for parts in costs[NEW].values())
    figures = []
    for lang in sorted(costs[NEW].keys() & costs[OLD].keys()):
        new_N3, old_N3 = costs[NEW][lang], costs[OLD][lang]
        if new_N3[:, 2].sum() < config.least_share * total:
            continue
        for column, name, bound in (
            (0, TOKENS, config.tokens_per_byte_rise),
            (1, BITS, config.bits_per_byte_rise),
        ):
            pair = (new_N3[:, [column, 2]], old_N3[:, [column, 2]])
            figures.append(_rise(name, lang, pair, bound, config.seed))
    return figures


def _choose(
    shards: Artifact, seen: SeenDocuments, age: str, splits: Sequence[str], tokens_max: int
) -> set[int]:
    """Return the id hashes of one document at least, in the order of the hashes, up to a limit."""
    sizes: list[tuple[int, int]] = []
    for split in splits:
        for batch, is_old_N in with_ages(shards, seen, ["id", "tokens"], split):
            lengths = batch.column("tokens").value_lengths().to_pylist()
            ids = batch.column("id").to_pylist()
            wanted_N = is_old_N if age == OLD else ~is_old_N
            sizes += [(hash64(ids[i]), lengths[i]) for i in np.flatnonzero(wanted_N)]
    sizes.sort()
    totals = np.cumsum([length for _, length in sizes])
    return {name for (name, _), total in zip(sizes, totals, strict=True) if total <= tokens_max} | {
        name for name, _ in sizes[:1]
    }


def _read(shards: Artifact, splits: Sequence[str], chosen: set[int]) -> Iterator[HeldOutDocument]:
    for split in splits:
        yield from documents(shards, split, chosen)


def _in_tokens_of(
    tokenizer: Tokenizer, shards_tokenizer: Tokenizer, text: HeldOutDocument
) -> HeldOutDocument:
    if tokenizer.fingerprint == shards_tokenizer.fingerprint:
        return text
    return recode(text, shards_tokenizer, tokenizer)


def _by_language(texts: Sequence[HeldOutDocument], bits_N: np.ndarray) -> dict[str, np.ndarray]:
    """Return tokens, bits and bytes of each document (N, 3), by language."""
    parts: dict[str, list[tuple[float, float, float]]] = {}
    for text, bits in zip(texts, bits_N.tolist(), strict=True):
        parts.setdefault(text.lang, []).append((len(text.ids), bits, text.text_bytes))
    return {lang: np.array(rows, np.float64) for lang, rows in parts.items()}


def _rise(
    name: str, lang: str, pair: tuple[np.ndarray, np.ndarray], bound: float | None, seed: int
) -> DriftFigure:
    """Compare two ratios of sums; without two documents on each side, any rise is possible."""
    new_N2, old_M2 = pair
    parts_N4 = np.zeros((len(new_N2) + len(old_M2), 4))
    parts_N4[: len(new_N2), :2], parts_N4[len(new_N2) :, 2:] = new_N2, old_M2
    enough = min(len(new_N2), len(old_M2)) >= 2
    between = interval(parts_N4, _rises_of, seed) if enough else None
    new, old = (float(ratio(parts_N2.sum(0)[None])[0]) for parts_N2 in pair)
    return DriftFigure(name, lang, old, new, new / old - 1, between[0] if between else -1.0, bound)


def _rises_of(sums_R4: np.ndarray) -> np.ndarray:
    return ratio(sums_R4[:, :2]) / np.maximum(ratio(sums_R4[:, 2:]), TINY) - 1
