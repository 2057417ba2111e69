"""Run a module as `python -m` does, and end with the process that started this one.

`python -m flows.orchestration.attended PID MODULE ARGUMENTS...`: a `textmill up` that is killed
leaves no server behind that holds its port, and no worker that goes on.
"""

import os
import runpy
import signal
import sys
import threading
import time

LOOK_SECONDS = 1.0
STOP_SECONDS = 20.0


def main() -> None:
    """Watch the parent and run the module."""
    parent = int(sys.argv[1])
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)  # a worker does not end while its server is gone


if __name__ == "__main__":
    main()
