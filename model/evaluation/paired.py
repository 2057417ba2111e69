"""Two models on the same held-out documents: by how much one differs, as a whole and by slice.

Each document is its own control: differences are resampled, not scores, so that what makes a text
hard for both cancels out. What is not independent is drawn together, as a cluster (Cameron, Gelbach
& Miller 2008): a source where a slice has many of them, else a document with all its blocks and
copies. Of a group of near-duplicates dedup leaves one document, so that it is a cluster too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.evaluation.config import ALL
from model.evaluation.figures import bits
from model.evaluation.intervals import clustered_interval
from pipeline.splitting import document_of

Row = Mapping[str, Any]
SOURCES_MIN = 20  # of a slice, from which its sources are its clusters
DOCUMENTS_MIN = 5  # of a slice; below it rows are, as where one long text was cut into blocks
NATS_PER_BIT = math.log(2)


@dataclass(frozen=True)
class DocumentCost:
    """A held-out document, its UTF-8 bytes and the bits that a model needs for them."""

    id: str
    text_bytes: int
    bits: float


@dataclass(frozen=True)
class SliceDifference:
    """What a slice of held-out text costs two models, in bits per byte; negative is better.

    `share` is of all held-out bytes; `low` and `high` are the 95 % interval of `difference`,
    challenger less champion, None for fewer than two clusters.
    """

    kind: str  # 'all', 'lang' or 'source'
    name: str
    documents: int
    clusters: int
    share: float
    champion: float
    challenger: float
    difference: float
    low: float | None
    high: float | None

    @property
    def key(self) -> str:
        """How settings name the slice: all, lang.zh, source.news."""
        return ALL if self.kind == ALL else f"{self.kind}.{self.name}"


def differences(
    challenger: Sequence[Row], champion: Sequence[DocumentCost], seed: int = 0
) -> list[SliceDifference]:
    """Return the differences over all text, then by language, then by source.

    `challenger` holds rows of DOCUMENT_SCORE; documents count that both models were scored on, with
    the challenger's count of bytes. Empty if there are none.
    """
    theirs = {cost.id: cost.bits for cost in champion}
    rows = [row for row in challenger if row["id"] in theirs]
    champion_N = np.array([theirs[row["id"]] for row in rows], np.float64)
    challenger_N = np.array([row["bits"] for row in rows], np.float64)
    bytes_N = np.array([row["bytes"] for row in rows], np.int64)
    scored = _Scored(rows, champion_N, challenger_N, bytes_N)
    return [
        scored.slice(kind, name, numbers, seed) for (kind, name), numbers in _members(rows).items()
    ]


def bits_per_byte(costs: Sequence[DocumentCost]) -> float:
    """Return bits per byte of all documents together."""
    return sum(cost.bits for cost in costs) / max(sum(cost.text_bytes for cost in costs), 1)


@dataclass(frozen=True)
class _Scored:
    """Documents that both were scored on, side by side."""

    rows: Sequence[Row]
    champion_N: np.ndarray
    challenger_N: np.ndarray
    bytes_N: np.ndarray

    def slice(self, kind: str, name: str, numbers: np.ndarray, seed: int) -> SliceDifference:
        bytes_M, more_M = self.bytes_N[numbers], (self.challenger_N - self.champion_N)[numbers]
        clusters = _clusters([self.rows[number] for number in numbers])
        low, high = clustered_interval(np.stack((more_M, bytes_M), axis=1), clusters, seed) or (
            None,
            None,
        )
        text_bytes = int(bytes_M.sum())
        champion, challenger, more = (
            bits(float(bits_M.sum()) * NATS_PER_BIT, text_bytes)
            for bits_M in (self.champion_N[numbers], self.challenger_N[numbers], more_M)
        )
        return SliceDifference(
            kind=kind,
            name=name,
            documents=len(numbers),
            clusters=len(set(clusters)),
            share=text_bytes / max(int(self.bytes_N.sum()), 1),
            champion=champion,
            challenger=challenger,
            difference=more,
            low=low,
            high=high,
        )


def _members(rows: Sequence[Row]) -> dict[tuple[str, str], np.ndarray]:
    by_slice: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows):
        for key in ((ALL, ALL), ("lang", row["lang"]), ("source", row["source"])):
            by_slice.setdefault(key, []).append(number)
    return {key: np.array(numbers, np.int64) for key, numbers in sorted(by_slice.items())}


def _clusters(rows: Sequence[Row]) -> list[str]:
    sources = [row["source"] for row in rows]
    if len(set(sources)) >= SOURCES_MIN:
        return sources
    documents = [document_of(row["id"]) for row in rows]
    return documents if len(set(documents)) >= DOCUMENTS_MIN else [row["id"] for row in rows]
