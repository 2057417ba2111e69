"""The files of recipes: those that come along by name, others by path; read as plain tables."""

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.inputs import small_text


def recipe_names() -> list[str]:
    """Names of the recipes that come with textmill."""
    files = resources.files("flows.recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def read_recipe(name_or_path: str) -> tuple[dict[str, Any], Path]:
    """Return a recipe's table and the folder that its relative paths start from."""
    path = Path(name_or_path)
    if name_or_path in recipe_names():
        text = resources.files("flows.recipes").joinpath(f"{name_or_path}.toml").read_text("utf-8")
        path = Path(f"{name_or_path}.toml")
    elif path.is_file():
        text = small_text(path).replace("\r\n", "\n")
    else:
        near = difflib.get_close_matches(name_or_path, recipe_names(), 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"recipe {name_or_path!r}: no such file or recipe; {hint}"
            f"recipes that come along: {', '.join(recipe_names())}"
        )
    try:
        return tomllib.loads(text), path.resolve().parent
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"recipe {name_or_path!r}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"recipe {name_or_path!r}: nested too deeply; no key needs it") from error
