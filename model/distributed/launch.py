"""Training in several processes: started here under torchrun, or by hand on further hosts.

The stage `train` stays one process. It writes `job.json` into its scratch folder, starts
`torchrun ... -m model.train_worker FOLDER` and waits; what it gets back is the last
checkpoint, which it reads as it would its own. Other hosts run the same torchrun line over the same
(shared) folder.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.config_checks import AtLeast, OneOf, refused
from pipeline.engine.process import child_environment
from pipeline.errors import ConfigError, Interrupted, TextmillError, TrainingError
from pipeline.signals import stop_requests
from pipeline.stage import Progress
from pipeline.store import storage

DDP, FSDP = "ddp", "fsdp"
PARALLEL = (DDP, FSDP)
JOB, OUTCOME, FIRST_PID, LOG = "job.json", "outcome.json", "first.pid", "torchrun.log"
END_WITH_STDIN = "--ends-with-stdin"
LOG_TAIL_CHARACTERS = 2000


@dataclass(frozen=True)
class Launch:
    """Where training runs; no part of what it computes.

    `processes` counts those of one host, `rendezvous` is host:port of the first host, needed for
    several. `ddp` holds the whole model in every process, `fsdp` a share of it.
    """

    processes: int = 1
    hosts: int = 1
    rendezvous: str | None = None
    parallel: str = DDP

    def __post_init__(self) -> None:
        if self.parallel not in PARALLEL:
            raise refused("--parallel", self.parallel, OneOf(PARALLEL))
        for flag, count in (("--processes", self.processes), ("--hosts", self.hosts)):
            if count < 1:
                raise refused(flag, count, AtLeast(1))
        if self.hosts > 1 and not self.rendezvous:
            wanted = "--rendezvous HOST:PORT beside it, an address of this host that others reach"
            raise refused("--hosts", self.hosts, wanted)

    @property
    def size(self) -> int:
        """Processes of all hosts."""
        return self.processes * self.hosts


def command(launch: Launch, folder: Path) -> list[str]:
    """Return the torchrun line that every host runs; `folder` is the job's, seen by all."""
    line = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={launch.processes}"]
    if launch.hosts == 1:
        line.append("--standalone")
    else:
        line += [
            f"--nnodes={launch.hosts}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={launch.rendezvous}",
            f"--rdzv-id={folder.parent.parent.name}",
        ]
    return [*line, "-m", "model.train_worker", str(folder)]


def train_in_processes(
    launch: Launch, folder: Path, job: dict[str, Any], progress: Progress
) -> None:
    """Run the job's training in `launch.size` processes; the last checkpoint is its result.

    `job` is what `model.train_worker.resume` is called with. Raises what the training raised, and
    TrainingError with the end of the log if a process died.
    """
    shutil.rmtree(folder, ignore_errors=True)
    storage.write_json(folder / JOB, {**job, "launch": asdict(launch)})
    if launch.hosts > 1:
        print(
            f"training waits for {launch.hosts - 1} more hosts; run there, in an environment with "
            f"textmill: {shlex.join(['python', *command(launch, folder)[1:]])}",
            file=sys.stderr,
        )
    with (folder / LOG).open("w") as log:
        processes = subprocess.Popen(
            [*command(launch, folder), END_WITH_STDIN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=_environment(launch),
            start_new_session=True,
        )
        with stop_requests(lambda: _request_stop(folder, processes)) as stop_requested:
            assert processes.stdout is not None
            for line in processes.stdout:
                if line.startswith("{"):
                    progress(*json.loads(line)["progress"])
            code = processes.wait()
            stopped = stop_requested()
    _report(folder, code, stopped)


def _environment(launch: Launch) -> dict[str, str]:
    environment = child_environment()
    environment.setdefault(
        "OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // launch.processes))
    )
    if launch.hosts == 1:  # a host's own name need not resolve
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    return environment


def _request_stop(folder: Path, processes: subprocess.Popen[str]) -> None:
    """Signal one training process: the others learn of it with the next step's sums."""
    try:
        os.kill(int((folder / FIRST_PID).read_text()), signal.SIGTERM)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        processes.terminate()  # before the first step, or after the last


def _report(folder: Path, code: int, stopped: bool) -> None:
    outcome = storage.read_json(folder / OUTCOME) if (folder / OUTCOME).exists() else {}
    error_types: dict[str, type[TextmillError]] = {
        kind.__name__: kind for kind in (Interrupted, TrainingError, ConfigError)
    }
    if "error" in outcome:
        raise error_types[outcome["error"]](outcome["message"])
    if outcome.get("done"):
        return
    if stopped:
        raise Interrupted("training stopped before its first step; run the same command again")
    tail = (folder / LOG).read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
    raise TrainingError(
        f"a training process died (torchrun's exit code {code}); the same command goes on from the "
        f"last checkpoint. The end of its log:\n{tail}"
    )
