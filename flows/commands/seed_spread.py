"""What seeds alone cause, of a comparison whose trainings differ in nothing else: for promotion."""

import math
from argparse import Namespace
from collections.abc import Sequence

from flows.recipe_file import recipe_path, to_toml
from flows.reports.terminal import stdout
from model.evaluation.intervals import chance_difference
from model.reports.training_comparison import Trained
from pipeline.errors import ConfigError, TrainingError

SECTION = "promotion.seed_spread"  # of a recipe


def seed_spread(trained: Sequence[Trained]) -> dict[str, float]:
    """Return what seeds alone cause in bits per byte, by slice; empty where more than they differ.

    That is what one training is above another in one case of twenty, rounded up.
    """
    good = [training for training in trained if training.failed is None]
    if len(good) < 2 or len({training.name for training in trained}) > 1:
        return {}
    shared = [key for key in good[0].slices if all(key in training.slices for training in good)]
    return {
        key: math.ceil(1e4 * chance_difference([training.slices[key] for training in good])) / 1e4
        for key in shared
    }


def require_place(recipe: str, names: Sequence[str]) -> None:
    """Refuse, before anything is trained, to keep what cannot be kept (names: of variants)."""
    if recipe_path(recipe) is None:
        raise ConfigError(f"--keep: {recipe} comes along; save a recipe of your own and name it")
    if len(names) < 2 or len(set(names)) > 1:
        raise ConfigError("--keep: more than seeds differ; give seed=1,2,3 alone")


def require_spread(spread: dict[str, float], trained: Sequence[Trained], recipe: str) -> None:
    """Refuse to keep what could not be measured, for trainings that failed."""
    if spread:
        return
    failed = next(training for training in trained if training.failed is not None)
    raise TrainingError(
        f"--keep: nothing is kept in {recipe}, for that takes two trainings that end well; of "
        f"{len(trained)} seed {failed.seed} failed: {failed.failed}"
    )


def print_spread(spread: dict[str, float], options: Namespace) -> None:
    """Print the section that a recipe keeps, and where it is kept."""
    if not spread:
        return
    place = f"kept in {options.recipe}" if options.keep else "to keep in the recipe (or: --keep)"
    text = to_toml({"promotion": {"seed_spread": spread}})
    stdout().print(
        f"\nBits per byte that seeds alone cause in one case of twenty, {place}:\n\n{text}",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
