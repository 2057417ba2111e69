"""The networks, their training, evaluation, registry and serving."""

import os

# A thread that waits for another spins for about a millisecond before it lets the core go (GNU's
# OpenMP, the one in torch's Linux wheels). Where another process holds a core, every wait lasts
# that long: about 15 times as slow with two threads (`model/LOG.md`). So it spins for a few
# microseconds only; no loss was seen with quickstart's network alone. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
