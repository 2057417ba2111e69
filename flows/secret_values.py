"""Values of secrets that settings name as ${NAME}: of the environment, or of a file."""

import os
import re
import stat
from pathlib import Path

from pipeline.errors import ConfigError

REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def secret_value(name: str, what: str, file: Path | None) -> str:
    """Return the value of a name; raise ConfigError, which begins with `what`, without one."""
    value = os.environ.get(name) or (_read(file).get(name) if file is not None else None)
    if value:
        return value
    where = "TEXTMILL_SECRETS names no file" if file is None else f"it is not in {file}"
    raise ConfigError(
        f"{what}: {name} is not set in the environment, and {where}; set it where the run "
        f"works, or put a line {name}=... into a file (chmod 600) and its path into "
        f"TEXTMILL_SECRETS"
    )


def _read(file: Path) -> dict[str, str]:
    """Return the NAME=value lines of a file that is its owner's alone."""
    try:
        if file.stat().st_mode & OTHERS:
            raise ConfigError(
                f"TEXTMILL_SECRETS: others than its owner can read {file}; chmod 600 {file}"
            )
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"TEXTMILL_SECRETS: {file} cannot be read ({error})") from error
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}
