"""How a setting that an error names is changed: the line to type."""

import re
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_type_hints

from flows.config import Recipe

KEY = re.compile(r"(?<![\w.`/-])[a-z_]+(?:\.[a-z_]+)+")
SHOWN = 3


def set_line(message: str) -> str | None:
    """Return `--set KEY=VALUE` for the recipe's keys that a message names and does not yet give."""
    keys = [key for key in dict.fromkeys(KEY.findall(message)) if _is_setting(key)]
    missing = [key for key in keys if not re.search(rf"--set ['\"]?{re.escape(key)}=", message)]
    if not missing or len(missing) < len(keys):
        return None
    return "change it with " + " or ".join(f"--set {key}=VALUE" for key in missing[:SHOWN])


def _is_setting(key: str) -> bool:
    kind: Any = Recipe
    for name in key.split("."):
        if not is_dataclass(kind) or name not in {field.name for field in fields(kind)}:
            return False
        hint = get_type_hints(kind)[name]
        options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        kind = next(filter(is_dataclass, options), hint)
    return not is_dataclass(kind)
