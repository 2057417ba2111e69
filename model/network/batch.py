"""A batch: rows of token ids and what else decides the loss; and how uneven rows become one tensor.

Shapes: B rows, T time, S source positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.tokenizer import Tokenizer

Ids = Sequence[int] | np.ndarray  # of one row


@dataclass(frozen=True)
class Batch:
    """Rows of token ids (B, T + 1) and what else decides the loss.

    `loss_weight_BT` (B, T + 1) is True or a weight where the token itself is to be predicted (None:
    everywhere). Both masks are False on padding, which comes after the text.
    `reference_nats_B` are of pairs (`model.network.preferences`) what each row's answer costs the
    network that is held against. `source_BS` is what an encoder-decoder reads; its target rows then
    begin with <|bos|>.
    """

    ids_BT: Tensor
    loss_weight_BT: Tensor | None = None
    attention_mask_BT: Tensor | None = None
    documents_BT: Tensor | None = None
    source_BS: Tensor | None = None
    source_attention_mask_BS: Tensor | None = None
    reference_nats_B: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return the same batch with all its tensors on `device`."""
        there = {name: value for name, value in vars(self).items() if value is not None}
        return Batch(**{name: value.to(device) for name, value in there.items()})

    def part(self, start: int, stop: int) -> "Batch":
        """Return the rows from `start` to before `stop`."""
        there = {name: value for name, value in vars(self).items() if value is not None}
        return Batch(**{name: value[start:stop] for name, value in there.items()})


def batch_of(rows: np.ndarray | Batch, device: torch.device) -> Batch:
    """Return what a loader gives, windows of ids (B, T + 1) or a whole batch, on `device`."""
    return (Batch(torch.from_numpy(rows)) if isinstance(rows, np.ndarray) else rows).to(device)


def predicted_tokens(batch: Batch) -> float:
    """Count the tokens a batch asks for, by their weight if they have one; of pairs the pairs."""
    if batch.reference_nats_B is not None:
        return len(batch.reference_nats_B) / 2
    if batch.loss_weight_BT is None:
        return float(batch.ids_BT[:, 1:].numel())
    return float(batch.loss_weight_BT[:, 1:].sum())


def pad(rows: Sequence[Ids], value: int = Tokenizer.pad_id) -> Tensor:
    """Return rows as one int64 tensor (B, T), filled up with `value` at their ends."""
    padded_BT = np.full((len(rows), max(map(len, rows))), value, np.int64)
    for number, row in enumerate(rows):
        padded_BT[number, : len(row)] = row
    return torch.from_numpy(padded_BT)


def attention_mask(rows: Sequence[Ids]) -> Tensor:
    """Return (B, T) of the same rows: True on ids, False on the padding after them."""
    lengths_B1 = torch.tensor([[len(row)] for row in rows])
    return torch.arange(int(lengths_B1.max()))[None] < lengths_B1
