"""An argument parser that names the nearest command, flag or choice to a misspelt one."""

import argparse
import re
from typing import Any, NoReturn

from pipeline.config_checks import nearest

CHOICE = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """argparse's, with a hint in front of what it says; parsers of subcommands are of it too."""

    def error(self, message: str) -> NoReturn:
        """Print usage and the message, with the nearest name, and exit with 2."""
        choice = CHOICE.search(message)
        if choice:
            near = nearest(choice[1], re.findall(r"'(.*?)'", choice[2]))
            if near:
                message = f"{message[: choice.start()]}no {choice[1]!r}; did you mean {near!r}?"
        super().error(message)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and where flags are left over, name the nearest that the command has."""
        options, left = self.parse_known_args(args, namespace)
        if not left:
            return options
        command = self._command(options)
        known = [flag for action in command._actions for flag in action.option_strings]
        names = [argument.partition("=")[0] for argument in left if argument.startswith("-")]
        hints = [
            f"did you mean {near}?" for argument in names if (near := nearest(argument, known))
        ]
        command.error(" ".join([f"unrecognized arguments: {' '.join(left)};", *hints]).rstrip(";"))

    def _command(self, options: argparse.Namespace) -> argparse.ArgumentParser:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return action.choices.get(getattr(options, "command", ""), self)
        return self
