"""Losses of pairs of answers, by name; no torch in here, since settings are checked by them.

DPO (Rafailov et al. 2023, arXiv:2305.18290): the reward is by how many nats an answer became
likelier than under a reference, the network before.
SimPO (Meng et al. 2024, arXiv:2405.14734): the mean log-probability of the answer's tokens; there
is no reference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PreferenceLoss:
    """A reward (B,) of answers by their nats, tokens and nats under the reference; usual values."""

    reward: "Callable[[Tensor, Tensor, Tensor], Tensor]"
    beta: float
    margin: float
    needs_reference: bool


PREFERENCE_LOSSES = {
    "dpo": PreferenceLoss(
        lambda nats_B, tokens_B, reference_B: reference_B - nats_B, 0.1, 0.0, needs_reference=True
    ),
    "simpo": PreferenceLoss(
        lambda nats_B, tokens_B, reference_B: -nats_B / tokens_B, 2.0, 1.0, needs_reference=False
    ),
}
