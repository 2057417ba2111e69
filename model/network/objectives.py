"""The loss of a network on a batch, in nats per predicted token, whatever its family.

Whatever is random (which tokens are masked, where a text is cut, dropout) is drawn from the step's
seed alone. Shapes: B batch, T time, D width, N predicted tokens, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.kernels import linear_cross_entropy
from model.kernels.row_kernels import ALONE
from model.network.batch import Batch
from model.network.counts import LEAST, Prior
from model.network.distillation import Distillation, kl_divergence
from model.network.families import AnyNetwork, family_of
from model.network.networks import GPT
from model.network.predictions import Predictions
from pipeline.errors import ConfigError
from pipeline.hashing import hash64


def loss(
    network: AnyNetwork,
    batch: Batch,
    *,
    seed: int = 0,
    label_smoothing: float = 0.0,
    z_loss: float | None = None,
) -> Tensor:
    """Return the mean cross-entropy in nats of what the network's family predicts."""
    return mean_nats(network, predictions(network, batch, seed), label_smoothing, z_loss)


def mean_nats(
    network: AnyNetwork,
    predicted: Predictions,
    label_smoothing: float = 0.0,
    z_loss: float | None = None,
) -> Tensor:
    """Return the mean cross-entropy of what the head makes of vectors, the faster way there is.

    On a CPU head and loss are one pass (`model.kernels.linear_cross_entropy`); a compiler fuses
    them by itself.
    """
    mixed = _mixed(network, predicted)
    if (
        not linear_cross_entropy.is_supported(network.lm_head, predicted.hidden)
        or network.config.head_transform
    ):
        return cross_entropy(
            network.logits(predicted.hidden), predicted, label_smoothing, z_loss, mixed
        )
    weights_N = None if predicted.weights is None else predicted.weights.flatten()
    return linear_cross_entropy.linear_cross_entropy(
        predicted.hidden.flatten(0, -2),
        network.lm_head.weight,
        predicted.targets.flatten(),
        weights_N,
        linear_cross_entropy.LossTerms(label_smoothing, z_loss),
        mixed,
    )


def _mixed(network: AnyNetwork, predicted: Predictions) -> linear_cross_entropy.Mixed | None:
    prior = predicted.prior
    if prior is None:
        return None
    assert isinstance(network, GPT)
    assert network.counts is not None
    share = network.counts.share(predicted.hidden, prior.features)
    return linear_cross_entropy.Mixed(prior.probability.flatten().float(), share.flatten())


def predictions(network: AnyNetwork, batch: Batch, seed: int = 0) -> Predictions:
    """Run the network up to its head; `seed` decides all that is random."""
    if network.training and network.config.dropout > 0:
        torch.manual_seed(seed)
    return _drop_unweighted(family_of(network).objective(network, batch, seed))


def _drop_unweighted(predicted: Predictions) -> Predictions:
    """Leave out what has no weight: the head is the dearest layer, and answers are short."""
    if predicted.weights is None:
        return predicted
    weighted, prior = predicted.weights > 0, predicted.prior
    return Predictions(
        predicted.hidden[weighted],
        predicted.targets[weighted],
        predicted.weights[weighted],
        prior and Prior(prior.probability[weighted], prior.features[weighted]),
    )


def cross_entropy(
    logits: Tensor,
    predicted: Predictions,
    label_smoothing: float = 0.0,
    z_loss: float | None = None,
    mixed: linear_cross_entropy.Mixed | None = None,
) -> Tensor:
    """Return the mean over targets; smoothing mixes in the uniform distribution.

    Szegedy et al. 2016, section 7; the 2017 Transformer uses 0.1. `z_loss` times the mean square
    of log Z, the logarithm of the softmax's sum, keeps logits near the origin (Chowdhery et al.
    2022, section 5).
    """
    flat, targets_N = logits.float().flatten(0, -2), predicted.targets.flatten()
    if predicted.weights is None and z_loss is None and mixed is None:
        return F.cross_entropy(flat, targets_N, label_smoothing=label_smoothing)
    nats_N = F.cross_entropy(flat, targets_N, label_smoothing=label_smoothing, reduction="none")
    nats_N = _with_counts(nats_N, mixed)
    if z_loss is not None:
        nats_N = nats_N + z_loss * flat.logsumexp(-1).square()
    if predicted.weights is None:
        return nats_N.mean()
    weights_N = predicted.weights.flatten().to(nats_N.dtype)
    return (nats_N * weights_N).sum() / weights_N.sum().clamp(min=1e-9)


def _with_counts(nats_N: Tensor, mixed: linear_cross_entropy.Mixed | None) -> Tensor:
    if mixed is None:
        return nats_N
    share_N, other_N = mixed.share_N, mixed.probability_N
    both_N = (1 - share_N) * torch.exp(-nats_N) + share_N * other_N
    alone_N = float(ALONE) * (nats_N - nats_N.detach())  # a gradient without a value
    return alone_N - torch.log(both_N + LEAST)


def token_nats(network: AnyNetwork, predicted: Predictions) -> Tensor:
    """Return the nats (N,) of each target, with what counts say where the network has any."""
    logits_NV = network.logits(predicted.hidden).float().flatten(0, -2)
    nats_N = F.cross_entropy(logits_NV, predicted.targets.flatten(), reduction="none")
    return _with_counts(nats_N, _mixed(network, predicted))


def target_logits(network: AnyNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return logits (N, V) of all that a batch of examples asks for, and the targets (N,).

    What counts say is in the logits, where the network has any.
    """
    predicted = predictions(network, batch)
    contexts = None
    if isinstance(network, GPT):
        documents_BT = None if batch.documents_BT is None else batch.documents_BT[:, :-1]
        contexts = network.contexts(batch.ids_BT[:, :-1], documents_BT=documents_BT)
    if contexts is None:
        return network.logits(predicted.hidden), predicted.targets
    assert isinstance(network, GPT)
    assert batch.loss_weight_BT is not None
    asked_BT = batch.loss_weight_BT[:, 1:] > 0
    return network.logits(predicted.hidden, [c[asked_BT] for c in contexts]), predicted.targets


def step_seed(seed: int, step: int, row: int = 0) -> int:
    """Return 63 bits that depend on a run's seed, the step and the batch's row, for `loss`."""
    return hash64(f"{seed}/{step}/{row}") >> 1


def text_logits(network: AnyNetwork, ids_BT: Tensor) -> Tensor:
    """Return the logits (B, T, V) by which a network predicts each id of (B, T + 1) but the first.

    A decoder sees what is before; an encoder-decoder has the first id as its source and the text
    as its target; an encoder sees both sides of an id, which gives a pseudo-likelihood.
    """
    return family_of(network).text_logits(network, ids_BT)


class Objective(nn.Module):
    """A network and what it is to predict, as one module: what wrappers and compilers see.

    Label smoothing, z-loss and what a teacher says count in training alone.
    """

    def __init__(
        self,
        network: AnyNetwork,
        label_smoothing: float = 0.0,
        z_loss: float | None = None,
        distillation: Distillation | None = None,
    ):
        super().__init__()
        if network.config.count_order is not None and (label_smoothing or distillation):
            raise ConfigError(
                "model.count_order: counts are mixed in by what the text itself says, without "
                "train.label_smoothing and without a teacher; leave these out, or the counts"
            )
        self.network, self.label_smoothing, self.z_loss = network, label_smoothing, z_loss
        self.distillation = distillation

    def forward(self, batch: Batch, seed: int) -> tuple[Tensor, Tensor]:
        """Return the mean loss in nats over what is predicted, and the weight of all of it."""
        predicted = predictions(self.network, batch, seed)
        smoothing, z_loss = (self.label_smoothing, self.z_loss) if self.training else (0.0, None)
        if self.training and self.distillation is not None:
            with torch.no_grad():  # the same seed: the same tokens are predicted
                taught = predictions(self.distillation.teacher, batch, seed)
            loss = self._distilled(self.distillation, predicted, taught, smoothing, z_loss)
            return loss, predicted.weight
        return mean_nats(self.network, predicted, smoothing, z_loss), predicted.weight

    def _distilled(
        self,
        distillation: Distillation,
        predicted: Predictions,
        taught: Predictions,
        label_smoothing: float,
        z_loss: float | None,
    ) -> Tensor:
        """Return (1 - w) times the text's loss plus w times the teacher's term, of one softmax."""
        logits = self.network.logits(predicted.hidden)
        with torch.no_grad():
            teacher_logits = distillation.teacher.logits(taught.hidden)
        weights_N = None if predicted.weights is None else predicted.weights.flatten().float()
        divergence = kl_divergence(
            logits.flatten(0, -2),
            teacher_logits.flatten(0, -2),
            distillation.temperature,
            weights_N,
        )
        nats = cross_entropy(logits, predicted, label_smoothing, z_loss)
        return (1 - distillation.weight) * nats + distillation.weight * divergence
