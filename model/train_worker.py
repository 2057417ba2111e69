"""One of the processes that train a model together, as torchrun starts it on every host.

    torchrun ... -m model.train_worker FOLDER

`model/distributed/launch.py` writes `FOLDER/job.json`, builds that line and reads what the first
process leaves in the folder. What loads torch is imported late, after `spin_briefly`.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from model.distributed.launch import END_WITH_STDIN, FIRST_PID, JOB, OUTCOME, Launch
from model.openmp import spin_briefly
from pipeline.errors import ConfigError, Interrupted, TrainingError
from pipeline.stage import Progress, silent
from pipeline.store import storage

if TYPE_CHECKING:
    from model.distributed.world import World


def main(arguments: list[str]) -> int:
    """Be one of the processes; torchrun says which in the environment."""
    spin_briefly()
    from model.distributed.world import destroy_process_group, init_process_group

    folder = Path(arguments[0])
    if END_WITH_STDIN in arguments:
        threading.Thread(target=_leave_with_parent, daemon=True).start()
    job = storage.read_json(folder / JOB)
    launch = Launch(**job.pop("launch"))
    world = init_process_group(os.environ, launch.parallel)
    if world.is_rank_zero:
        storage.write_bytes(folder / FIRST_PID, str(os.getpid()).encode())
    outcome: dict[str, Any] = {"done": True}
    try:
        resume(**job, world=world, progress=_print_progress)
    except (Interrupted, TrainingError, ConfigError) as error:
        outcome = {"error": type(error).__name__, "message": str(error)}
    if world.is_rank_zero:
        storage.write_json(folder / OUTCOME, outcome)
    destroy_process_group()
    return 0


def resume(
    config: dict[str, Any],
    inputs: dict[str, Any],
    scratch: str,
    *,
    world: "World",
    progress: Progress,
) -> None:
    """Take part in a training as one of several processes; the last checkpoint is the result."""
    from model.planning import usage
    from model.planning.usage_meter import UsageMeter
    from model.training.build import build_training
    from model.training.config import TrainConfig
    from model.training.continuation import TrainingInputs
    from model.training.loop import fit

    train_config = pydantic.TypeAdapter(TrainConfig).validate_python(config)
    report = progress if world.is_rank_zero else silent
    started = TrainingInputs.from_json(inputs)
    meter = UsageMeter(world.device)
    training = build_training(train_config, started, Path(scratch), report, world=world)
    fit(training)
    if world.is_rank_zero:
        usage.write(meter.read(training, Path(scratch)), Path(scratch))


def _print_progress(what: str, done: int, total: int) -> None:
    print(json.dumps({"progress": [what, done, total]}), flush=True)


def _leave_with_parent() -> None:
    """End this process when the one that started torchrun ends: its side of the pipe closes."""
    os.read(0, 1)  # not sys.stdin, whose lock a thread must not hold when Python ends
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
