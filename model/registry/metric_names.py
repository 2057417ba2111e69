"""Names of figures in MLflow: those of curves, and any text made into one."""

import re

CURVES = {  # column of the CURVE table -> name of the curve
    "tokens": "train/tokens",
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "gradient_norm": "train/gradient_norm",
    "validation_loss": "validation/loss",
}
# What counts, logged under this prefix too: MLflow shows charts in the order of their prefixes.
GLANCE = "at_a_glance"
HEADLINES = ("loss", "validation_loss")  # columns of the CURVE table
SPEED = "train/tokens_per_second"
DATA_WAIT = "train/data_wait_share"


def metric_name(name: str) -> str:
    """Return `name` with what MLflow refuses in names of metrics and params replaced by '_'."""
    parts = [re.sub(r"[^\w.\- ]", "_", part).strip() for part in name.split("/")]
    return "/".join(part if part.strip(".") else "_" * max(len(part), 1) for part in parts)
