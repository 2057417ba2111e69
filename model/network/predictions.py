"""What networks of a family predict: the objective each is trained on, its logits of a text.

A batch of plain text is windows of context + 1 ids, as the loader gives them. Whatever is random
(which tokens are masked, where a text is cut) is drawn from a seed alone.
Shapes: B batch, T time, S source positions, D width, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.network.batch import Batch
from model.network.counts import Prior
from model.network.networks import GPT, BidirectionalEncoder, EncoderDecoder, padding_mask
from pipeline.tokenizer import CONTROLS, Tokenizer

# Byte fallback leaves <|unk|> without a use in text, so it stands for a masked token.
MASK_ID = Tokenizer.unk_id
BEFORE, AFTER = slice(None, -1), slice(1, None)  # of places: those read, those predicted
PASSES = 7  # one in seven is about the share that is masked in training
MASKED_SHARE, SHOWN_MASK, SHOWN_RANDOM = 0.15, 0.8, 0.1  # Devlin et al. 2019, section 3.1


@dataclass(frozen=True)
class Predictions:
    """Vectors (..., D) from which the head predicts `targets` (...), each with its weight."""

    hidden: Tensor
    targets: Tensor
    weights: Tensor | None = None
    prior: Prior | None = None  # what counts say of the targets

    @property
    def weight(self) -> Tensor:
        """The weight of all targets together, a scalar."""
        if self.weights is None:
            return self.hidden.new_full((), self.targets.numel(), dtype=torch.float32)
        return self.weights.float().sum()


def causal_lm(network: GPT, batch: Batch, seed: int) -> Predictions:
    """Predict each token from those before it (in its document, where documents are numbered)."""
    documents_BT = None if batch.documents_BT is None else batch.documents_BT[:, :-1]
    hidden_BTD = network.hidden(batch.ids_BT[:, :-1], documents_BT=documents_BT)
    loss_weight_BT = None if batch.loss_weight_BT is None else batch.loss_weight_BT[:, 1:]
    targets_BT, prior = batch.ids_BT[:, 1:], None
    counts = network.counts
    if counts is not None and not counts.is_empty:
        with torch.no_grad():
            window_BS = network.window(batch.ids_BT)
            found = counts.grams(window_BS, batch.ids_BT.shape[1], batch.documents_BT)
            contexts, grams = ([g[:, part] for g in found] for part in (BEFORE, AFTER))
            prior = counts.prior(contexts[:-1], targets_BT, grams[1:])
    return Predictions(hidden_BTD, targets_BT, loss_weight_BT, prior)


def masked_lm(network: BidirectionalEncoder, batch: Batch, seed: int) -> Predictions:
    """Predict 15 % of the tokens from both sides (Devlin et al. 2019), but for a row's last id.

    Where a batch has weights, all that has one is masked and predicted, and nothing else.
    """
    ids_BT = batch.ids_BT[:, :-1]
    attention_mask_BT = None if batch.attention_mask_BT is None else batch.attention_mask_BT[:, :-1]
    if batch.loss_weight_BT is None:
        shown_BT, chosen_BT = corrupt(ids_BT, attention_mask_BT, network.vocab_size, seed)
    else:
        chosen_BT = batch.loss_weight_BT[:, :-1].bool()
        shown_BT = ids_BT.masked_fill(chosen_BT, MASK_ID)
    documents_BT = None if batch.documents_BT is None else batch.documents_BT[:, :-1]
    hidden_BTD = network.hidden(
        shown_BT, allowed_BTS=padding_mask(attention_mask_BT), documents_BT=documents_BT
    )
    return Predictions(hidden_BTD[chosen_BT], ids_BT[chosen_BT])


def corrupt(
    ids_BT: Tensor, attention_mask_BT: Tensor | None, vocab_size: int, seed: int
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
    if attention_mask_BT is not None:
        draw_BT = draw_BT.masked_fill(~attention_mask_BT, 3.0)
    chosen_BT = (draw_BT < MASKED_SHARE).scatter(1, draw_BT.argmin(dim=1, keepdim=True), True)
    shown_BT = torch.where(chosen_BT & (kind_BT < SHOWN_MASK), MASK_ID, ids_BT)
    swapped_BT = chosen_BT & (kind_BT >= SHOWN_MASK) & (kind_BT < SHOWN_MASK + SHOWN_RANDOM)
    return torch.where(swapped_BT, random_BT.to(ids_BT.device), shown_BT), chosen_BT


def seq2seq_lm(network: EncoderDecoder, batch: Batch, seed: int) -> Predictions:
    """Predict a target from its source; without one, the rest of a window from its beginning."""
    ids_BT, source_BS = batch.ids_BT, batch.source_BS
    loss_weight_BT = batch.loss_weight_BT
    if source_BS is None:
        cut = _source_length(ids_BT.shape[1], seed)
        bos_B1 = torch.full_like(ids_BT[:, :1], Tokenizer.bos_id)
        source_BS, ids_BT = ids_BT[:, :cut], torch.cat((bos_B1, ids_BT[:, cut:]), dim=1)
        loss_weight_BT = None if loss_weight_BT is None else loss_weight_BT[:, cut - 1 :]
    source = network.encode(source_BS, batch.source_attention_mask_BS)
    hidden_BTD = network.hidden(ids_BT[:, :-1], source=source)
    return Predictions(
        hidden_BTD, ids_BT[:, 1:], None if loss_weight_BT is None else loss_weight_BT[:, 1:]
    )


def _source_length(length: int, seed: int) -> int:
    """Return how many ids of a window are source: 1 to length - 1, any as likely."""
    generator = torch.Generator().manual_seed(seed)
    return int(torch.randint(1, length, (1,), generator=generator))


def causal_logits(network: GPT, ids_BT: Tensor) -> Tensor:
    """Return the logits (B, T, V) of each id of (B, T + 1) but the first, from those before it."""
    return network(ids_BT[:, :-1])


def seq2seq_logits(network: EncoderDecoder, ids_BT: Tensor) -> Tensor:
    """Return the same with the first id as the source and the text as its target."""
    bos_B1 = torch.full_like(ids_BT[:, :1], Tokenizer.bos_id)
    return network(ids_BT[:, :1], torch.cat((bos_B1, ids_BT[:, 1:-1]), dim=1))


def masked_logits(network: BidirectionalEncoder, ids_BT: Tensor) -> Tensor:
    """Return the same from both sides of each id, the first left out.

    Each is masked once, in one of PASSES runs, which gives the pseudo-likelihood of Salazar et al.
    2020.
    """
    ids_BT = ids_BT[:, 1:]
    attention_mask_BT = ids_BT != Tokenizer.pad_id
    pass_T = torch.arange(ids_BT.shape[1], device=ids_BT.device) % PASSES
    logits_BTV = ids_BT.new_empty(0, dtype=torch.float32)
    for number in range(PASSES):
        masked_T = pass_T == number
        pass_BTV = network(ids_BT.masked_fill(masked_T, MASK_ID), attention_mask_BT).float()
        logits_BTV = torch.where(masked_T[:, None], pass_BTV, logits_BTV) if number else pass_BTV
    return logits_BTV


def causal_vectors(network: GPT, ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
    """Return the last vectors (B, T, D); what comes later, padding included, is not seen."""
    return network.hidden(ids_BT)


def masked_vectors(
    network: BidirectionalEncoder, ids_BT: Tensor, attention_mask_BT: Tensor
) -> Tensor:
    """Return the last vectors (B, T, D) with padding unseen."""
    return network.hidden(ids_BT, allowed_BTS=padding_mask(attention_mask_BT))


def source_vectors(network: EncoderDecoder, ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
    """Return the last vectors (B, T, D) of the encoder with padding unseen."""
    return network.encoder.hidden(ids_BT, allowed_BTS=padding_mask(attention_mask_BT))
