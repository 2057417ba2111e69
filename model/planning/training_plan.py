"""A plan of training as data: what is kept of it, shown and compared with what training took."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingPlan:
    """What training is expected to take; `money` is in the currency of the price."""

    device: str
    precision: str
    parameters: int
    steps: int
    tokens: int
    epochs: float | None
    flops: float
    seconds: float
    tokens_per_second: float
    utilisation: float
    ceiling_flops: float
    memory_bytes: int
    disk_bytes: int
    money: float | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return {**asdict(self), "warnings": list(self.warnings)}


def gigabytes(count: float) -> str:
    """Return bytes in words: 12.3 GB, 45 MB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
