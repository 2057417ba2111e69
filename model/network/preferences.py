"""Learning which of two answers to a prompt is the better one, from pairs.

An answer has a reward under the network; the loss of a pair is -log sigmoid of beta times the
reward of the chosen answer less that of the rejected one, less a margin.
Shapes: B rows, of which 2i is a chosen answer and 2i + 1 the rejected one; P pairs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network import objectives
from model.network.batch import Batch
from model.network.families import AnyNetwork
from model.network.preference_losses import PreferenceLoss


def answer_nats(network: AnyNetwork, batch: Batch, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the nats (B,) of each row's predicted tokens together, and how many there are."""
    assert batch.loss_weight_BT is not None  # rows of examples
    predicted = objectives.predictions(network, batch, seed)
    tokens_B = batch.loss_weight_BT[:, 1:].sum(1)
    rows_N = torch.repeat_interleave(tokens_B)
    nats_N = objectives.token_nats(network, predicted)
    return nats_N.new_zeros(len(tokens_B)).index_add(0, rows_N, nats_N), tokens_B


class PreferenceObjective(nn.Module):
    """A network and pairs to learn from, as one module, in the place of `objectives.Objective`."""

    def __init__(self, network: AnyNetwork, loss: PreferenceLoss, beta: float, margin: float):
        super().__init__()
        self.network, self.loss, self.beta, self.margin = network, loss, beta, margin

    def forward(self, batch: Batch, seed: int) -> tuple[Tensor, Tensor]:
        """Return the mean loss of the pairs, and how many they are."""
        assert batch.reference_nats_B is not None  # `PairBatches` gives them
        nats_B, tokens_B = answer_nats(self.network, batch, seed)
        reward_B = self.loss.reward(nats_B, tokens_B, batch.reference_nats_B)
        ahead_P = self.beta * (reward_B[0::2] - reward_B[1::2]) - self.margin
        loss_P = -F.logsigmoid(ahead_P)
        return loss_P.mean(), loss_P.new_tensor(float(len(loss_P)))
