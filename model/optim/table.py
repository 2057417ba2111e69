"""The optimizers by name, with the settings each is run with by default; a line each.

A setting of the recipe that is left out takes the default, so that a comparison by name is a fair
one. What builds an optimizer is in `model.optim.optimizers`, by the same names.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hyperparameters:
    """What an optimizer is run with; those it has no use for are ignored."""

    learning_rate: float
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.95
    momentum: float = 0.9
    matrix_rate_share: float = 1.0  # of the learning rate, for the matrices that Muon takes


@dataclass(frozen=True)
class OptimizerSpec:
    """What an optimizer is run with and whether its states are split as its weights are (FSDP).

    `defaults` are a place to start from; rates of a given model are found with `textmill compare`.
    """

    defaults: Hyperparameters
    shards: bool = True


OPTIMIZERS: dict[str, OptimizerSpec] = {
    "sgd": OptimizerSpec(Hyperparameters(1.0)),
    "momentum": OptimizerSpec(Hyperparameters(0.1, momentum=0.9)),
    "rmsprop": OptimizerSpec(Hyperparameters(1e-3, beta2=0.99)),
    "adam": OptimizerSpec(Hyperparameters(3e-3)),
    "adamw": OptimizerSpec(Hyperparameters(3e-3, weight_decay=0.1)),
    "adafactor": OptimizerSpec(Hyperparameters(5e-2), shards=False),
    "lion": OptimizerSpec(Hyperparameters(5e-4, weight_decay=0.5, beta2=0.99)),
    "muon": OptimizerSpec(Hyperparameters(3e-3, weight_decay=0.1, momentum=0.95)),
}
