"""Recipes as TOML: files read as plain tables, those that come along by name; tables written."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pipeline.config_checks import nearest
from pipeline.errors import ConfigError
from pipeline.inputs import small_text
from pipeline.store import storage


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
        near = nearest(name_or_path, recipe_names())
        hint = f"did you mean {near!r}? " if near else ""
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


def recipe_path(name_or_path: str) -> Path | None:
    """Return the file of a recipe, None for one that comes along."""
    return None if name_or_path in recipe_names() else Path(name_or_path)


def keep_section(path: Path, section: str, values: dict[str, Any]) -> None:
    """Write a section such as 'promotion.seed_spread' into a recipe's file, the rest as it was."""
    import tomlkit

    document = tomlkit.parse(small_text(path))
    table: Any = document
    *above, last = section.split(".")
    for name in above:
        table = table.setdefault(name, tomlkit.table())
    table[last] = tomlkit.table()
    _enter(table[last], values)
    storage.write_bytes(path, tomlkit.dumps(document).encode())


def to_toml(values: dict[str, Any]) -> str:
    """Return a table of values as TOML; keys whose value is None are comments."""
    import tomlkit  # late: one flag of one command writes TOML

    document = tomlkit.document()
    _enter(document, values)
    return tomlkit.dumps(document).strip() + "\n"


def _enter(table: Any, values: dict[str, Any]) -> None:
    """Enter values into a table of TOML, those of sections last."""
    import tomlkit

    for key, value in values.items():
        if value is None:
            table.add(tomlkit.comment(f"{key} is off"))
        elif not isinstance(value, dict):
            table.add(key, _item(value))
    if not table:
        table.add(tomlkit.nl())
    for key, value in values.items():
        if isinstance(value, dict):
            section = tomlkit.table(is_super_table=False)
            _enter(section, value)
            table.add(key, section)


def _item(value: Any) -> Any:
    """Return a setting's value on one line; a table in a list leaves out what is off."""
    import tomlkit

    if isinstance(value, list | tuple):
        array = tomlkit.array()
        for entry in value:
            array.append(_item(entry))
        return array
    if isinstance(value, dict):
        inline = tomlkit.inline_table()
        for key, entry in value.items():
            if entry is not None:
                inline.append(key, _item(entry))
        return inline
    return tomlkit.item(value)
