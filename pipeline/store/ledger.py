"""The account of every row: in = kept + dropped by a named rule + quarantined for a reason.

Beside it stands what was changed in rows, kept or dropped, by the name of the change.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import LedgerError


@dataclass
class Ledger:
    """Counts of rows entering a stage and of where each one went."""

    seen: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Ledger") -> None:
        """Add the counts of another part of the same stage."""
        self.seen += other.seen
        self.kept += other.kept
        self.dropped.update(other.dropped)
        self.quarantined.update(other.quarantined)
        self.changed.update(other.changed)

    def check(self, where: str) -> None:
        """Raise LedgerError unless every row that came in is accounted for."""
        out = self.kept + self.dropped.total() + self.quarantined.total()
        if out != self.seen:
            raise LedgerError(
                f"{where}: {self.seen} rows in, {self.kept} kept + {self.dropped.total()} dropped "
                f"+ {self.quarantined.total()} quarantined = {out}; this is a bug, please report it"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the form stored in manifests."""
        return {
            "in": self.seen,
            "kept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "quarantined": dict(sorted(self.quarantined.items())),
            "changed": dict(sorted(self.changed.items())),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Ledger":
        """Read the form stored in manifests."""
        return cls(
            value["in"],
            value["kept"],
            Counter(value["dropped"]),
            Counter(value["quarantined"]),
            Counter(value.get("changed", {})),  # manifests of the first format have none
        )
