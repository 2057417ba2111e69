"""What a setting may be, and the one sentence that refuses it: `section.key: found, wanted ...`.

A config checks itself when it is made:

    def __post_init__(self) -> None:
        require(self, "dedup", neighbours=AtLeast(1), threshold=Between(0, 1, above_low=True))
"""

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.errors import ConfigError

NEAR_MIN = 0.5  # how alike a known name is to be named for a misspelt one, as difflib counts


class Check(Protocol):
    """What a value is held against; `str` of it follows the word `wanted`."""

    def holds(self, value: Any) -> bool:
        """Tell whether the value may be used."""
        ...


@dataclass(frozen=True)
class AtLeast:
    """A number of `low` or more."""

    low: float

    def __str__(self) -> str:
        return f"at least {self.low}"

    def holds(self, value: Any) -> bool:
        """Tell whether the value may be used; NaN may not."""
        return bool(value >= self.low)


@dataclass(frozen=True)
class Above:
    """A number greater than `low`."""

    low: float

    def __str__(self) -> str:
        return f"above {self.low}"

    def holds(self, value: Any) -> bool:
        """Tell whether the value may be used; NaN may not."""
        return bool(value > self.low)


@dataclass(frozen=True)
class Between:
    """A number from `low` to `high`, without the ends that are named as left out."""

    low: float
    high: float
    above_low: bool = False
    below_high: bool = False

    def __str__(self) -> str:
        low = f"above {self.low}" if self.above_low else f"from {self.low}"
        return f"{low} to {'below ' if self.below_high else ''}{self.high}"

    def holds(self, value: Any) -> bool:
        """Tell whether the value may be used; NaN may not."""
        if (self.above_low and value == self.low) or (self.below_high and value == self.high):
            return False
        return bool(self.low <= value <= self.high)


@dataclass(frozen=True)
class OneOf:
    """One of some names."""

    names: Collection[Any]

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.names))}"

    def holds(self, value: Any) -> bool:
        """Tell whether the value may be used."""
        return value in self.names


@dataclass(frozen=True)
class OrOff:
    """What another check allows, or None."""

    check: Check

    def __str__(self) -> str:
        return f"{self.check}, or off"

    def holds(self, value: Any) -> bool:
        """Tell whether the value may be used."""
        return value is None or self.check.holds(value)


def require(config: object, section: str, advice: str = "", **checks: Check) -> None:
    """Refuse a config one of whose fields does not hold; a field's path is `section.field`.

    Raises ConfigError: `section.field: found, wanted ...; advice`, for the first such field.
    """
    for name, check in checks.items():
        value = getattr(config, name)
        if not check.holds(value):
            where = f"{section}.{name}" if section else name
            raise refused(where, value, check, advice)


def refused(where: str, found: Any, wanted: object, advice: str = "") -> ConfigError:
    """Return the error for a setting that cannot be used, in the one form of sentence."""
    shown = repr(found) if isinstance(found, str) else found
    near = nearest(found, wanted.names) if isinstance(wanted, OneOf) else None
    hints = [f"did you mean {near!r}?" if near else "", advice]
    return ConfigError("; ".join([f"{where}: {shown}, wanted {wanted}", *filter(None, hints)]))


def unknown_name(where: str, name: str, known: Collection[str], what: str = "name") -> ConfigError:
    """Return the error for a name that is none of the known ones; it names the nearest."""
    near = nearest(name, known)
    hint = f"did you mean {near!r}? " if near else ""
    return ConfigError(f"{where}: unknown {what} {name!r}; {hint}known: {', '.join(known)}")


def require_name(where: str, name: str, known: Collection[str]) -> None:
    """Raise the error of `unknown_name` unless the name is one of the known ones."""
    if name not in known:
        raise unknown_name(where, name, known)


def nearest(name: Any, known: Collection[Any]) -> str | None:
    """Return the known name that is most like this one, if one is like it."""
    words = [word for word in known if isinstance(word, str)]
    matches = difflib.get_close_matches(name, words, 1, NEAR_MIN) if isinstance(name, str) else []
    return matches[0] if matches else None
