"""What a setting may hold: the type hints of the config dataclasses, followed key by key."""

from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from types import NoneType
from typing import Any, get_args, get_type_hints

REPORT_LANGUAGES = ("en", "zh")  # of a run's page


def configs_within(config: type) -> Iterator[type]:
    """Yield a dataclass and every dataclass its fields can hold, each once."""
    seen: set[type] = set()
    waiting = [config]
    while waiting:
        kind = waiting.pop()
        if kind in seen:
            continue
        seen.add(kind)
        yield kind
        for hint in get_type_hints(kind).values():
            kinds = (part for part in _parts(hint) if isinstance(part, type))
            waiting += filter(is_dataclass, kinds)


def held_config(hint: Any) -> type | None:
    """Return the dataclass that a setting of this type holds, itself or as entries of a list."""
    kinds = (part for part in _parts(hint) if isinstance(part, type))
    return next(filter(is_dataclass, kinds), None)


def hint_at(config: type, path: Sequence[str | int]) -> Any:
    """Return the type of the setting at a path of keys; None where no dataclass has the key.

    Numbers in the path, which choose an entry of a list, are passed over.
    """
    hint: Any = config
    for key in path:
        if isinstance(key, str):
            holder = held_config(hint)
            hint = get_type_hints(holder).get(key) if holder else None
    return hint


def may_be_off(hint: Any) -> bool:
    """Tell whether a setting of this type may be none; one without a type of its own may."""
    return hint is None or NoneType in get_args(hint)


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for argument in get_args(hint):
        yield from _parts(argument)
