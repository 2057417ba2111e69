"""What a training leaves beside its weights: the curve, the speed, what was measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from model.contracts import CURVE
from pipeline.store import storage
from pipeline.store.sink import Sink

SPEED_FILE = "speed.json"  # tokens per second; not part of the artifact's identity
MEASURED_FILE = "measured.json"  # what was chosen by measuring, and why; nor is this
PRECISION_NOTE, COMPILE_NOTE = "precision.json", "compile.json"  # among a run's scratch files
CHOICES = {"precision": PRECISION_NOTE, "compile": COMPILE_NOTE}
MACHINE = "machine"  # in what was measured: what the sums depend on
NOTES = "precision"  # their folder there


def choices_measured(folder: Path) -> dict[str, Any]:
    """Return the notes of choices made by measuring, by what was chosen."""
    notes = {choice: storage.recall_json(folder / name) for choice, name in CHOICES.items()}
    return {choice: note for choice, note in notes.items() if note is not None}


def note_choices(folder: Path, choices: Mapping[str, Any]) -> None:
    """Write notes, as `choices_measured` returned them, for a run that is to choose the same."""
    for choice in CHOICES.keys() & choices.keys():
        storage.write_json(folder / CHOICES[choice], choices[choice])


def write_curve(
    kept: int, unused: Mapping[str, int], curve: list[dict[str, Any]], sink: Sink
) -> None:
    """Write the curve; the account is of what was trained on, `kept`, and what was not, by why."""
    sink.saw(kept + sum(unused.values()))
    sink.kept(kept)
    for reason, count in unused.items():
        sink.dropped(reason, count)
    sink.write("main", pa.Table.from_pylist(curve, schema=CURVE.schema))
