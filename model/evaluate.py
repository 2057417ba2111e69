"""The stage `evaluate`: how well a model predicts held-out documents, by language and source."""

from model.contracts import CALIBRATION, DOCUMENT_SCORE, EVALUATION, EXAMPLE, FIGURE, POSITION
from model.evaluation.config import EvaluateConfig
from pipeline.stage import Job, Stage


def run(job: Job[EvaluateConfig]) -> None:
    """Score the shards' validation documents with the model of the first parent.

    A third parent, the champion's model folder, is scored on the same documents; a fourth, the
    shards it was trained on, says which of them are old. The account is kept in validation
    documents; those over the limits are dropped.
    """
    from model.evaluation.evaluation import evaluate

    evaluate(job)


STAGE = Stage(
    name="evaluate",
    contract=EVALUATION,
    run=run,
    module="model.evaluate",
    libraries=("torch", "numpy", "pyppmd", "sacrebleu", "scipy"),
    tables={
        "calibration": CALIBRATION,
        "positions": POSITION,
        "figures": FIGURE,
        "examples": EXAMPLE,
        "documents": DOCUMENT_SCORE,
    },
    counts_rows=False,
)
