"""What a training leaves beside its weights: the curve, the speed, what was measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from model.contracts import CURVE
from model.training.compilation import NOTE
from pipeline.store import storage
from pipeline.store.sink import Sink

SPEED_FILE = "speed.json"  # tokens per second; not part of the artifact's identity
MEASURED_FILE = "measured.json"  # what was chosen by measuring, and why; nor is this


def choices_measured(folder: Path) -> dict[str, Any]:
    """Return the notes of choices made by measuring, by what was chosen."""
    names = {"precision": "precision.json", "compile": NOTE}
    files = {what: folder / name for what, name in names.items()}
    found = {what: storage.recall_json(file) for what, file in files.items()}
    return {what: noted for what, noted in found.items() if noted is not None}


def write_curve(
    kept: int, unused: Mapping[str, int], curve: list[dict[str, Any]], sink: Sink
) -> None:
    """Write the curve; the account is of what was trained on, `kept`, and what was not, by why."""
    sink.saw(kept + sum(unused.values()))
    sink.kept(kept)
    for reason, count in unused.items():
        sink.dropped(reason, count)
    sink.write("main", pa.Table.from_pylist(curve, schema=CURVE.schema))
