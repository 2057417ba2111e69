"""Make the parts of one phase: each in a sink of its own, noted when its files are on the disk."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.engine import Engine
from pipeline.observing import Timed, at_work, ended, now_ns
from pipeline.schema import Contract
from pipeline.store import commit, storage
from pipeline.store.artifact import sealed
from pipeline.store.sink import PartResult, Sink

PartFunction = Callable[[Any, Sink], Any]  # (task, sink) -> JSON value, module-level or a partial
# (tasks, sinks) -> the JSON value of each: may work on all of them at once, in any way that leaves
# each sink what the task alone would leave
BatchFunction = Callable[[Sequence[Any], Sequence[Sink]], Iterable[Any]]
BATCH_BYTES = 4 << 20  # of small parts that are worked on together
BATCH_PARTS = 32  # each has some files open


@dataclass(frozen=True)
class Part:
    """A part to be made: its number, its task, and its identity if it has one."""

    index: int
    task: Any
    unit: str | None


@dataclass(frozen=True)
class PartMaker:
    """How the parts of a phase are made, and where their files and notes go."""

    function: BatchFunction
    contracts: dict[str, Contract]
    counts_rows: bool
    files: Path
    notes: Path
    shared: bool  # the files are the artifact's own

    def __call__(self, batch: Sequence[Part]) -> tuple[list[tuple[int, dict[str, Any]]], Timed]:
        """Make some parts; return (index, `PartResult.to_json()`) of each, and when that was."""
        began = now_ns()
        name = "-".join(dict.fromkeys(str(part.index) for part in (batch[0], batch[-1])))
        with at_work("part", name):
            made = self._make_some(batch)
        return made, Timed("part", name, began, now_ns(), {"parts": len(batch)})

    def _make_some(self, batch: Sequence[Part]) -> list[tuple[int, dict[str, Any]]]:
        sinks = [
            Sink(self.files, part.index, self.contracts, counts_rows=self.counts_rows)
            for part in batch
        ]
        try:
            values = self.function([part.task for part in batch], sinks)
            for sink, value in zip(sinks, values, strict=True):
                sink.close()
                sink.result.value = value
        except BaseException:
            for sink in sinks:
                sink.abort()
            raise
        return [self._note(part, sink.result) for part, sink in zip(batch, sinks, strict=True)]

    def make(
        self,
        parts: Sequence[Part],
        weights: Sequence[int],
        engine: Engine,
        recall: Callable[[Part], PartResult | None] | None,
        report: Callable[[int], None],
    ) -> tuple[list[PartResult], int]:
        """Return what comes of all parts, in order, and how many `recall` knew.

        Made are those that neither an interrupted run has finished nor `recall` knows; `report`
        hears how many are done.
        """
        results: dict[int, PartResult] = {}
        todo, todo_weights, recalled = [], [], 0
        for part, weight in zip(parts, weights, strict=True):
            result = self._finished(part)
            if result is None and recall is not None:
                result = recall(part)
                recalled += result is not None
            if result is not None:
                results[part.index] = result
            else:
                todo.append(part)
                todo_weights.append(weight)
        report(len(results))
        for _, (made, timed) in engine.imap(self, batches(todo, todo_weights)):
            ended(timed)
            results |= {index: PartResult.from_json(result) for index, result in made}
            report(len(results))
        return [results[part.index] for part in parts], recalled

    def _finished(self, part: Part) -> PartResult | None:
        """Return what an interrupted run made of a part, if that stands."""
        files = self.files if self.shared else None
        return commit.finished(self.notes, part.index, part.unit, files)

    def _note(self, part: Part, result: PartResult) -> tuple[int, dict[str, Any]]:
        value = result.to_json()
        note = {**value, "unit": part.unit, "shared": self.shared and part.unit is not None}
        # A power cut may leave it without its files, or half of them: their hashes are in it.
        path = commit.note_of(self.notes, part.index)
        storage.write_json(path, sealed(note), indent=None, flush=False)
        return part.index, value


def one_by_one(
    function: PartFunction, tasks: Sequence[Any], sinks: Sequence[Sink]
) -> Iterator[Any]:
    """Make each part by itself: a `PartFunction` as a `BatchFunction`."""
    for task, sink in zip(tasks, sinks, strict=True):
        yield function(task, sink)


def batches(parts: Sequence[Part], weights: Sequence[int]) -> list[list[Part]]:
    """Put parts together that follow each other until they weigh `BATCH_BYTES`."""
    result: list[list[Part]] = []
    room = 0
    for part, weight in zip(parts, weights, strict=True):
        if not result or weight > room or len(result[-1]) == BATCH_PARTS:
            result.append([])
            room = BATCH_BYTES
        result[-1].append(part)
        room -= weight
    return result
