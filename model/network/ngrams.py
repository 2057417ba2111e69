"""Embeddings of the last few tokens together: n-grams hashed into tables that are learned.

What a token stands beside says most of what comes next, and a table tells it without a product of
matrices. Rows are shared by whatever falls on them (Tito Svenstrup et al. 2017, arXiv:1709.03933);
added to the embedding of the last token, as in Huang et al. 2025 (arXiv:2501.16975).
Shapes: B batch, T time, S earlier ids and T new ones, N tokens of the longest n-gram, M tables,
D width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.architecture import ModelConfig

NOTHING = -1  # in the place of an id: before the text, or another document's
PRIME = (1 << 31) - 1  # products of two numbers below it fit 64 bits, in every runtime
MULTIPLIER_STEP = 0x2545F491  # odd and below PRIME: multipliers of tables are its multiples


def window_of(ids_BT: Tensor, longest: int) -> Tensor:
    """Return ids (B, S) that begin a text: nothing is before them."""
    return F.pad(ids_BT, (longest - 1, 0), value=NOTHING)


def preceding(
    window_BS: Tensor,
    longest: int,
    documents_BT: Tensor | None = None,
    positions: slice | Tensor | None = None,
) -> Tensor:
    """Return (B, T, N): at n, one more than the id n places before, 0 where there is none.

    None is across `documents_BT` (numbers) or before the text, where `positions` (B, T) begin at 0.
    """
    time = window_BS.shape[1] - longest + 1
    places = []
    for back in range(longest):
        ids_BT = window_BS[:, longest - 1 - back : longest - 1 - back + time] + 1
        if documents_BT is not None and back:
            there_BT = F.pad(documents_BT, (back, 0), value=NOTHING)[:, :time]
            ids_BT = ids_BT.masked_fill(there_BT != documents_BT, 0)
        if isinstance(positions, Tensor) and back:
            ids_BT = ids_BT.masked_fill(positions < back, 0)
        places.append(ids_BT)
    return torch.stack(places, dim=-1)


class NgramEmbedding(nn.Module):
    """A vector (B, T, D) for the n-grams that end at each position, of the orders of the config.

    An order has `ngram_heads` tables of `ngram_rows` rows, each with its own hash. They begin at
    zero, so that an n-gram never seen adds nothing. Narrower tables are read through one matrix.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.orders = [n for n in config.ngram_orders for _ in range(config.ngram_heads)]
        self.rows = config.ngram_rows
        width = config.ngram_width or config.width
        self.tables = nn.Embedding(len(self.orders) * self.rows, width)
        self.down = config.ngram_width is not None
        if self.down:
            self.table_proj = nn.Linear(len(self.orders) * width, config.width, bias=False)

    def forward(self, preceding_BTN: Tensor) -> Tensor:
        """Return what the tables say of `preceding`."""
        vectors = self.tables(self.rows_of(preceding_BTN))
        return self.table_proj(vectors.flatten(2)) if self.down else vectors.sum(2)

    def rows_of(self, preceding_BTN: Tensor) -> Tensor:
        """Return the rows (B, T, M) of the n-grams: a polynomial modulo PRIME, then modulo rows."""
        rows = []
        for table, order in enumerate(self.orders):
            multiplier = (table + 1) * MULTIPLIER_STEP % PRIME
            hashed_BT = preceding_BTN[..., 0]
            for back in range(1, order):
                hashed_BT = (hashed_BT * multiplier + preceding_BTN[..., back]) % PRIME
            rows.append(hashed_BT * multiplier % PRIME % self.rows + table * self.rows)
        return torch.stack(rows, dim=-1)
