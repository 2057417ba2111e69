"""Ranges of a corpus: chunks whose pairs are verified together, spans that fit into memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.duplicates.corpus import CorpusPart
from pipeline.errors import ConfigError
from pipeline.stage import ConfigT, Stage
from pipeline.store.artifact import Artifact
from pipeline.store.fingerprint import changed_inputs

CHUNK_ROWS = 1 << 13  # a larger part is cut in quarters
CHUNKS_PER_PART = 4
SPAN_ROWS = 1 << 20


@dataclass(frozen=True)
class Chunk:
    """Documents `first` to `end` of a part, whose pairs with earlier ones are verified together."""

    number: int
    part: CorpusPart
    first: int
    end: int

    @property
    def name(self) -> list[object]:
        """What it is wherever its part stands: the part's content and the rows in it."""
        return [self.part.sha256, self.first - self.part.first, self.end - self.part.first]


def chunks_of(parts: Sequence[CorpusPart]) -> list[Chunk]:
    """Cut the documents in order; no chunk is empty."""
    chunks: list[Chunk] = []
    for part in parts:
        count = CHUNKS_PER_PART if part.rows > CHUNK_ROWS else min(1, part.rows)
        bounds = [part.first + part.rows * number // max(1, count) for number in range(count + 1)]
        chunks += [
            Chunk(len(chunks) + at, part, *bounds[at : at + 2]) for at in range(len(bounds) - 1)
        ]
    return chunks


def spans_of(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """Yield runs of chunks of about SPAN_ROWS documents."""
    span: list[Chunk] = []
    for chunk in chunks:
        if span and chunk.end - span[0].first > SPAN_ROWS:
            yield span
            span = []
        span.append(chunk)
    if span:
        yield span


def refuse_changed_inputs(old: Artifact, stage: Stage[ConfigT], config: ConfigT) -> None:
    """Raise ConfigError unless `old` is what this stage makes under this config, parents aside."""
    before = {**old.manifest["inputs"], "parents": []}
    if changes := changed_inputs(before, stage.fingerprint(config, []).inputs):
        raise ConfigError(
            f"{old.path}: not what would be made of its text now ({'; '.join(changes)}), so "
            f"nothing can be taken over from it; give the same settings, or leave it out"
        )
    if not old.manifest["inputs"]["config"]["keep_index"]:
        raise ConfigError(
            f"{old.path}: carries no index (dedup.keep_index = false), so nothing can be taken "
            f"over from it; leave it out"
        )
