"""The networks, their training, evaluation, registry and serving."""

import os

# A thread that waits for another spins for about a millisecond before it lets the core go (GNU's
# OpenMP, the one in torch's Linux wheels). Where another process holds a core, every wait lasts
# that long: 10 to 30 times as slow with two threads (`model/README.md`, Log). So it spins for a few
# microseconds only, which costs nothing on a machine of its own. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
