"""Arguments of commands that have many, as data for the command line."""

from typing import Any


def argument(*flags: str, **keywords: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return what `add_argument` is called with."""
    return flags, keywords


# written out: importing `model.tasks.table` for `--help` would cost a second
EVALUATION_TASKS = (
    "sentiment", "topic", "qa", "translate_en_zh", "translate_zh_en", "summarisation", "arithmetic",
    "code",
)  # fmt: skip
EVALUATE = (
    argument("shards", nargs="?", metavar="SHARDS",
              help="the artifact of `shard`: score its held-out documents too"),
    argument("--tasks", metavar="NAMES",
              help=f"comma-separated, or all: {', '.join(EVALUATION_TASKS)}"),
    argument("--shots", type=int, default=0, metavar="K", help="solved examples in a prompt (0)"),
    argument("--examples", type=int, default=100, metavar="N", help="questions per task (100)"),
    argument("--data", action="append", default=[], metavar="TASK=FILE",
              help="JSON lines to ask instead of the few that come along (repeatable)"),
    argument("--seed", type=int, help="what is drawn: rows, shots, samples, resamples (0)"),
    argument("--recipe", metavar="FILE", help="take [evaluate] from this recipe"),
    argument("--out", metavar="DIR", help="also write report.md, figures and examples there"),
    argument("--lm-eval", metavar="DIR",
              help="write the questions as tasks for EleutherAI's lm-eval, ask nothing"),
)  # fmt: skip
