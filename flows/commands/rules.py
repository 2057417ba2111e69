"""The command rules: the tables by which text is read, changed and dropped, as documentation."""

import inspect
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from rich.markup import escape
from rich.table import Table

from flows.reports.terminal import stdout
from pipeline.cleaning.edits import EDITS
from pipeline.cleaning.normalize import REPAIRS
from pipeline.cleaning.profiles import PROFILES, describe_rules, thresholds
from pipeline.config_checks import require_name
from pipeline.reading.readers import READERS

DEFAULT_PROFILE = "web"


def rules(options: Namespace) -> dict[str, Any] | None:
    """Print profiles, the rules with one profile's bounds, repairs, edits and readers."""
    profile = options.profile or DEFAULT_PROFILE
    require_name("--profile", profile, PROFILES)
    tables = described()
    if options.json:
        return tables
    console = stdout()
    for title, columns, rows in (
        ("Profiles: --profile NAME", ("name", "rules", "edits", "for"), _profile_rows()),
        (
            f"Rules, in order, with the bounds of {profile}",
            ("rule", "what is measured", "kept if", "bound"),
            _rule_rows(tables["rules"], profile),
        ),
        ("Repairs, in order", ("repair", "what is done"), tables["repairs"].items()),
        (
            "Edits, where a profile or the config names them",
            ("edit", "what is done"),
            tables["edits"].items(),
        ),
        ("Readers, by suffix", ("suffix", "what is read"), tables["readers"].items()),
    ):
        table = Table(*columns, title=title, title_justify="left", header_style="dim", box=None)
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
        console.print()
    return None


def described() -> dict[str, Any]:
    """Every table with what each entry does, in the words of the code itself."""
    return {
        "profiles": {
            name: {"meaning": entry.meaning, "edits": list(entry.edits), "repairs": entry.repairs}
            for name, entry in PROFILES.items()
        },
        "rules": describe_rules(),
        "repairs": {name: first_sentence(repair) for name, repair in REPAIRS.items()},
        "edits": {name: first_sentence(edit) for name, edit in EDITS.items()},
        "readers": {suffix: first_sentence(reader.read) for suffix, reader in READERS.items()},
    }


def first_sentence(function: Callable[..., Any]) -> str:
    """The first sentence of a function's docstring, without the final dot."""
    paragraph = (inspect.getdoc(function) or "").partition("\n\n")[0]
    return " ".join(paragraph.split()).removesuffix(".")


def _profile_rows() -> list[tuple[str, str, str, str]]:
    return [
        (
            name,
            str(len(entry.thresholds)),
            ", ".join((*entry.edits, *(() if entry.repairs else ("no repairs",)))),
            entry.meaning,
        )
        for name, entry in PROFILES.items()
    ]


def _rule_rows(described: list[dict[str, Any]], profile: str) -> list[tuple[str, ...]]:
    bounds = thresholds(profile, {}, ())
    return [
        (row["rule"], row["meaning"], row["bound"], _bounds(bounds.get(row["rule"], {})))
        for row in described
    ]


def _bounds(by_group: dict[str, float]) -> str:
    """Write the bound most languages have and, after it, the languages that have another."""
    default = by_group.get("default")
    others = [f"{group} {value:g}" for group, value in by_group.items() if value != default]
    first = [] if default is None else [f"{default:g}"]
    return ", ".join([*first, *others]) or "off"
