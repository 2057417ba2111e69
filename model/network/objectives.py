"""What each family learns to predict, as one loss in nats per predicted token.

A batch of plain text is windows of context + 1 ids, as the loader gives them. Whatever is random
(which tokens are masked, where a text is cut, dropout) is drawn from the step's seed alone.
Shapes: B batch, T time, S source positions, D width, N predicted tokens, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.kernels import linear_cross_entropy
from model.network.architecture import DECODER, ENCODER, ENCODER_DECODER
from model.network.batch import Batch
from model.network.families import AnyNetwork, Encoder, EncoderDecoder, visible
from pipeline.hashing import hash64
from pipeline.tokenizer import CONTROLS, Tokenizer

# Byte fallback leaves <|unk|> without a use in text, so it stands for a masked token.
MASK_ID = Tokenizer.unk_id
PASSES = 7  # one in seven is about the share that is masked in training
MASKED_SHARE, SHOWN_MASK, SHOWN_RANDOM = 0.15, 0.8, 0.1  # Devlin et al. 2019, section 3.1


@dataclass(frozen=True)
class Predictions:
    """Vectors (..., D) from which the head predicts `targets` (...), each with its weight."""

    hidden: Tensor
    targets: Tensor
    weights: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """The weight of all targets together, a scalar."""
        if self.weights is None:
            return self.hidden.new_full((), self.targets.numel(), dtype=torch.float32)
        return self.weights.float().sum()


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
    found: Predictions,
    label_smoothing: float = 0.0,
    z_loss: float | None = None,
) -> Tensor:
    """Return the mean cross-entropy of what the head makes of `found`, by the faster way there is.

    On a CPU head and loss are one pass (`model.kernels.linear_cross_entropy`); a compiler fuses
    them by itself.
    """
    if (
        not linear_cross_entropy.suits(network.lm_head, found.hidden)
        or network.config.head_transform
    ):
        return cross_entropy(network.logits(found.hidden), found, label_smoothing, z_loss)
    weights_N = None if found.weights is None else found.weights.flatten()
    return linear_cross_entropy.linear_cross_entropy(
        found.hidden.flatten(0, -2), network.lm_head.weight, found.targets.flatten(), weights_N,
        linear_cross_entropy.Terms(label_smoothing, z_loss),
    )  # fmt: skip


def predictions(network: AnyNetwork, batch: Batch, seed: int = 0) -> Predictions:
    """Run the network up to its head; `seed` decides all that is random."""
    if network.training and network.config.dropout > 0:
        torch.manual_seed(seed)
    return _asked_for(OBJECTIVES[network.config.family](network, batch, seed))


def _asked_for(found: Predictions) -> Predictions:
    """Leave out what has no weight: the head is the dearest layer, and answers are short."""
    if found.weights is None:
        return found
    asked = found.weights > 0
    return Predictions(found.hidden[asked], found.targets[asked], found.weights[asked])


def cross_entropy(
    logits: Tensor, found: Predictions, label_smoothing: float = 0.0, z_loss: float | None = None
) -> Tensor:
    """Return the mean over targets; smoothing mixes in the uniform distribution.

    Szegedy et al. 2016, section 7; the 2017 Transformer uses 0.1. `z_loss` times the mean square
    of log Z, the logarithm of the softmax's sum, keeps logits near the origin (Chowdhery et al.
    2022, section 5).
    """
    flat, targets_N = logits.float().flatten(0, -2), found.targets.flatten()
    if found.weights is None and z_loss is None:
        return F.cross_entropy(flat, targets_N, label_smoothing=label_smoothing)
    nats_N = F.cross_entropy(flat, targets_N, label_smoothing=label_smoothing, reduction="none")
    if z_loss is not None:
        nats_N = nats_N + z_loss * flat.logsumexp(-1).square()
    if found.weights is None:
        return nats_N.mean()
    weights_N = found.weights.flatten().to(nats_N.dtype)
    return (nats_N * weights_N).sum() / weights_N.sum().clamp(min=1e-9)


def step_seed(seed: int, step: int, row: int = 0) -> int:
    """Return 63 bits that depend on a run's seed, the step and the batch's row, for `loss`."""
    return hash64(f"{seed}/{step}/{row}") >> 1


def autoregressive(network: Any, batch: Batch, seed: int) -> Predictions:
    """Each token from those before it (in its document, where documents are numbered)."""
    documents_BT = None if batch.documents_BT is None else batch.documents_BT[:, :-1]
    hidden_BTD = network.hidden(batch.ids_BT[:, :-1], documents_BT=documents_BT)
    counted_BT = None if batch.counted_BT is None else batch.counted_BT[:, 1:]
    return Predictions(hidden_BTD, batch.ids_BT[:, 1:], counted_BT)


def masked(network: Encoder, batch: Batch, seed: int) -> Predictions:
    """15 % of the tokens from both sides (Devlin et al. 2019); the row's last id is left out.

    Where a batch says what counts, all of that is masked and predicted, and nothing else.
    """
    ids_BT = batch.ids_BT[:, :-1]
    real_BT = None if batch.real_BT is None else batch.real_BT[:, :-1]
    if batch.counted_BT is None:
        shown_BT, chosen_BT = corrupt(ids_BT, real_BT, network.vocab_size, seed)
    else:
        chosen_BT = batch.counted_BT[:, :-1].bool()
        shown_BT = ids_BT.masked_fill(chosen_BT, MASK_ID)
    documents_BT = None if batch.documents_BT is None else batch.documents_BT[:, :-1]
    hidden_BTD = network.hidden(shown_BT, allowed_BTS=visible(real_BT), documents_BT=documents_BT)
    return Predictions(hidden_BTD[chosen_BT], ids_BT[chosen_BT])


def corrupt(
    ids_BT: Tensor, real_BT: Tensor | None, vocab_size: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Return the ids to show and where they are to be predicted, at least one place per row.

    Of the places chosen 80 % show the mask, 10 % a random token, 10 % the token itself.
    """
    generator = torch.Generator().manual_seed(seed)
    draw_BT = torch.rand(ids_BT.shape, generator=generator).to(ids_BT.device)
    kind_BT = torch.rand(ids_BT.shape, generator=generator).to(ids_BT.device)
    random_BT = torch.randint(len(CONTROLS), vocab_size, ids_BT.shape, generator=generator)
    may_BT = ids_BT >= len(CONTROLS)
    draw_BT = draw_BT.masked_fill(~may_BT, 2.0)  # controls are chosen only where nothing else is
    if real_BT is not None:
        draw_BT = draw_BT.masked_fill(~real_BT, 3.0)
    chosen_BT = (draw_BT < MASKED_SHARE).scatter(1, draw_BT.argmin(dim=1, keepdim=True), True)
    shown_BT = torch.where(chosen_BT & (kind_BT < SHOWN_MASK), MASK_ID, ids_BT)
    swapped_BT = chosen_BT & (kind_BT >= SHOWN_MASK) & (kind_BT < SHOWN_MASK + SHOWN_RANDOM)
    return torch.where(swapped_BT, random_BT.to(ids_BT.device), shown_BT), chosen_BT


def sequence_to_sequence(network: EncoderDecoder, batch: Batch, seed: int) -> Predictions:
    """A target from its source; without one, the rest of a window from its beginning."""
    ids_BT, source_BS = batch.ids_BT, batch.source_BS
    counted_BT = batch.counted_BT
    if source_BS is None:
        cut = _cut(ids_BT.shape[1], seed)
        bos_B1 = torch.full_like(ids_BT[:, :1], Tokenizer.bos_id)
        source_BS, ids_BT = ids_BT[:, :cut], torch.cat((bos_B1, ids_BT[:, cut:]), dim=1)
        counted_BT = None if counted_BT is None else counted_BT[:, cut - 1 :]
    source = network.encode(source_BS, batch.source_real_BS)
    hidden_BTD = network.hidden(ids_BT[:, :-1], source=source)
    return Predictions(hidden_BTD, ids_BT[:, 1:], None if counted_BT is None else counted_BT[:, 1:])


def _cut(length: int, seed: int) -> int:
    """Return how many ids of a window are source: 1 to length - 1, any as likely."""
    generator = torch.Generator().manual_seed(seed)
    return int(torch.randint(1, length, (1,), generator=generator))


OBJECTIVES: dict[str, Callable[[Any, Batch, int], Predictions]] = {
    DECODER: autoregressive,
    ENCODER: masked,
    ENCODER_DECODER: sequence_to_sequence,
}


def text_logits(network: AnyNetwork, ids_BT: Tensor) -> Tensor:
    """Return the logits (B, T, V) by which a network predicts each id of (B, T + 1) but the first.

    A decoder sees what is before; an encoder-decoder has the first id as its source and the text
    as its target. An encoder sees both sides of an id (the first left out): each is masked once, in
    one of PASSES runs, which gives the pseudo-likelihood of Salazar et al. 2020.
    """
    if isinstance(network, Encoder):
        return _both_sides(network, ids_BT[:, 1:])
    if isinstance(network, EncoderDecoder):
        bos_B1 = torch.full_like(ids_BT[:, :1], Tokenizer.bos_id)
        return network(ids_BT[:, :1], torch.cat((bos_B1, ids_BT[:, 1:-1]), dim=1))
    return network(ids_BT[:, :-1])


def _both_sides(network: Encoder, ids_BT: Tensor) -> Tensor:
    real_BT = ids_BT != Tokenizer.pad_id
    places_T = torch.arange(ids_BT.shape[1], device=ids_BT.device) % PASSES
    logits_BTV = ids_BT.new_empty(0, dtype=torch.float32)
    for turn in range(PASSES):
        found_BTV = network(ids_BT.masked_fill(places_T == turn, MASK_ID), real_BT).float()
        here_T1 = (places_T == turn)[:, None]
        logits_BTV = torch.where(here_T1, found_BTV, logits_BTV) if turn else found_BTV
    return logits_BTV


class Objective(nn.Module):
    """A network and what it is to predict, as one module: what wrappers and compilers see.

    Label smoothing and z-loss count in training alone.
    """

    def __init__(
        self, network: AnyNetwork, label_smoothing: float = 0.0, z_loss: float | None = None
    ):
        super().__init__()
        self.network, self.label_smoothing, self.z_loss = network, label_smoothing, z_loss

    def forward(self, batch: Batch, seed: int) -> tuple[Tensor, Tensor]:
        """Return the mean loss in nats over what is predicted, and the weight of all of it."""
        found = predictions(self.network, batch, seed)
        smoothing, z_loss = (self.label_smoothing, self.z_loss) if self.training else (0.0, None)
        return mean_nats(self.network, found, smoothing, z_loss), found.weight
