"""llama.cpp's server as a process of ours: `python -m model.serve.engines.llama_process`.

It reads its settings as one line of JSON and then stands until its input ends, so that it never
outlives the process that started it, however that one ends. It listens on a socket file in a folder
that only its user may enter, asks for a key made for this one start, and writes `READY` when it
answers. It imports next to nothing: its memory is llama.cpp's.
"""

import json
import os
import sys
from typing import Any

from model.openmp import spin_briefly

READY = "ready"


def main() -> None:
    """Serve until standard input ends."""
    spin_briefly()  # its threads are OpenMP's, as torch's are: on busy cores they never end a token
    settings = json.loads(sys.stdin.readline())
    server = start(settings)
    print(READY, flush=True)
    sys.stdin.read()
    del server
    # The server's own end waits for its clients; nothing here is worth that.
    os._exit(0)


def start(settings: dict[str, Any]) -> Any:
    """Return a running server; it stops when it is no longer referred to."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.hostnames, params.api_keys = [settings["socket"]], [settings["key"]]
    slots = settings["slots"]
    # The context is shared out among the slots; one pool for all would abort every text when full.
    params.n_parallel, params.n_ctx, params.kv_unified = slots, settings["context"] * slots, False
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.n_threads_http = slots + 2  # a thread per text under way, one more to cancel
    params.ctx_shift = True  # a text that passes the context goes on without its beginning
    params.ui, params.endpoint_slots, params.verbosity = False, False, -1
    params.cache_ram_mib = 0  # a prompt's cache stays in its slot; no copies beside it
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
