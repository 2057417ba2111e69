"""What a training took, noted beside its artifact: the other half of a plan."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

from typing_extensions import TypedDict

from pipeline.store import storage
from pipeline.store.artifact import Artifact

SPENT = "spent.json"  # not part of the artifact's identity


@dataclass(frozen=True)
class ResourceUsage:
    """Figures under the names that a plan has for them; memory is what training added."""

    device: str
    precision: str
    parameters: int
    steps: int
    tokens: int
    flops: float
    seconds: float
    tokens_per_second: float
    utilisation: float
    ceiling_flops: float
    memory_bytes: int
    disk_bytes: int
    energy_joules: float | None  # of the machine's processors; None: it does not tell
    energy_seconds: float | None  # over which it was counted: of a resumed run, its last part


# Earlier versions noted fewer figures.
Noted = TypedDict("Noted", get_type_hints(ResourceUsage), total=False)  # type: ignore[misc] # one list of fields


def step_seconds(speed: list[tuple[int, float, float]]) -> float:
    """Return the time in steps from (tokens seen, tokens per second, ...) at each row."""
    before, total = 0, 0.0
    for tokens, rate, _ in speed:
        total += (tokens - before) / rate
        before = tokens
    return total


def write(usage: ResourceUsage, folder: Path) -> None:
    """Note it in an artifact's folder."""
    storage.write_json(folder / SPENT, asdict(usage))


def read(training: Artifact) -> dict[str, Any] | None:
    """Return what was noted beside a train artifact, or None."""
    return storage.recall_json(training.path / SPENT, Noted)
