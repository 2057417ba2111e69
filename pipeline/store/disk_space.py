"""A full disk is one error, whatever library meets it: OSError ENOSPC that names the place."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CODES = (errno.ENOSPC, errno.EDQUOT)
# What libraries make of it that keep no code: Rust's, SQLite's, NumPy's words.
WORDS = re.compile(
    r"no space left on device|os error 28\b|disk quota exceeded|(database or )?disk is full|"
    r"\d requested and \d+ written",
    re.IGNORECASE,
)


def is_full(error: BaseException) -> bool:
    """Tell whether an error, or what it came of, is that no space is left."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in CODES:
            return True
        if WORDS.search(str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Raise OSError ENOSPC with `path` where something in the block finds no space left."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # Polars panics past Exception
        if not is_full(error):
            raise
        if isinstance(error, OSError) and error.errno in CODES and error.filename:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
