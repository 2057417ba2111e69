"""llama.cpp's own server as others run it: `peer_serve.py GGUF CONTEXT SLOTS THREADS`.

Prints its port and stands until its input ends.
"""

import os
import sys

import xllamacpp


def main() -> None:
    """Serve on a free port of this machine."""
    file, context, slots, threads = sys.argv[1], *map(int, sys.argv[2:5])
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.n_parallel, params.n_ctx = slots, context * slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_threads_http = slots + 2
    params.verbosity, params.port, params.cache_ram_mib = -1, 0, 0
    server = xllamacpp.Server(params)
    print(server.listening_address.rpartition(":")[2], flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
