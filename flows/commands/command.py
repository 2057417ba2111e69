"""What a command is: a row of the table, from which the command line is built."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Argument:
    """One argument, as `ArgumentParser.add_argument` takes it."""

    flags: tuple[str, ...]
    keywords: dict[str, Any]


@dataclass(frozen=True)
class Command:
    """A command of `textmill`; its module is imported when it runs."""

    name: str
    module: str  # in flows/commands
    help: str
    arguments: tuple[Argument, ...]
    function: str = ""  # of the module; default: the command's name
    takes_set: bool = False  # --set KEY=VALUE
    takes_sources: bool = False  # --source PATH, beside a recipe's own
    out_is_file: bool = False  # --out names a file, not a folder

    @property
    def target(self) -> tuple[str, str]:
        """Module and function that run it; the function takes the parsed arguments."""
        function = self.function or self.name.replace("-", "_")
        return f"flows.commands.{self.module}", function


def argument(*flags: str, **keywords: Any) -> Argument:
    """Return an argument, written as for `add_argument`."""
    return Argument(flags, keywords)
