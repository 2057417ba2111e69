"""How a setting that an error names is changed: the line to type."""

import re
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_type_hints

from flows.config import Recipe

KEY = re.compile(r"(?<![\w.`/-])[a-z_]+(?:\.[a-z_]+)+")
SHOWN = 3


def set_line(message: str) -> str | None:
    """Return `--set KEY=VALUE` for the recipe's keys in a message that gives no such line."""
    if "--set " in message:
        return None
    keys = [key for key in dict.fromkeys(KEY.findall(message)) if _is_setting(key)]
    if not keys:
        return None
    return "change it with " + " or ".join(f"--set {key}=VALUE" for key in keys[:SHOWN])


def _is_setting(key: str) -> bool:
    kind: Any = Recipe
    for name in key.split("."):
        if not is_dataclass(kind) or name not in {field.name for field in fields(kind)}:
            return False
        hint = get_type_hints(kind)[name]
        options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        kind = next(filter(is_dataclass, options), hint)
    return not is_dataclass(kind)
