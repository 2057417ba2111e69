"""How long threads of torch's OpenMP wait for one another before they let their core go."""

import os

VARIABLE = "GOMP_SPINCOUNT"
SPINS = 1000


def spin_briefly() -> None:
    """Let waiting threads spin for microseconds only, unless the environment says how long.

    An entry point calls this before it imports what loads torch: OpenMP reads its environment then.
    GNU's OpenMP, the one in torch's Linux wheels, spins for about a millisecond. Where another
    process holds a core, every wait lasts that long: about 15 times as slow with two threads
    (`model/LOG.md`). No loss was seen with the quickstart's network alone.
    """
    os.environ.setdefault(VARIABLE, str(SPINS))
