"""The stage `train`: shards to a model folder with its training curve."""

from collections.abc import Mapping
from typing import Any

from model.contracts import CURVE
from model.distributed.launch import Launch
from model.training.config import TrainConfig
from pipeline.stage import Job, Stage

HERE = Launch()


def run(
    job: Job[TrainConfig], launch: Launch = HERE, choices: Mapping[str, Any] | None = None
) -> None:
    """Train on the shards' train split; the shards carry their tokenizer.

    Further parents are the champion, an artifact of this stage or a BaseModel, and the shards it
    was trained on: with a RetrainedConfig the training may go on from it. `choices` are those that
    an earlier training made by measuring, to be made again as they were.
    The account is kept in tokens: those that fill no window, that no share of the mixture takes or
    that lie in skipped shards are dropped.
    """
    from model.training_run import train

    train(job, launch, choices or {})


STAGE = Stage(
    name="train",
    contract=CURVE,
    run=run,
    module="model.train",
    libraries=("torch", "numpy", "safetensors"),
    counts_rows=False,
    skips_damaged_parts=True,
)
