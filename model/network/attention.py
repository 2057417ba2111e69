"""Scaled dot-product attention, masks, rotary positions and the key/value cache.

Shapes: B batch, T time (queries), S positions attended to (cached and new), H query heads, K
key/value heads, E head width.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model.kernels import fused_attention


def attend(
    q_BHTE: Tensor,
    k_BKSE: Tensor,
    v_BKSE: Tensor,
    *,
    causal: bool = True,
    allowed_BTS: Tensor | None = None,
) -> Tensor:
    """Return softmax(Q K^T / sqrt(E)) V (Vaswani et al. 2017, section 3.2.1), shape (B, H, T, E).

    `causal`: the T queries are the last of the S positions and see none after themselves.
    `allowed_BTS` is True where a query may look at a position besides; every query needs one.
    With H > K, groups of H / K heads share keys.
    """
    time, positions = q_BHTE.shape[2], k_BKSE.shape[2]
    grouped = q_BHTE.shape[1] != k_BKSE.shape[1]
    causal = causal and time > 1  # a single query is the last position: it sees all
    if causal and allowed_BTS is None and fused_attention.is_supported(q_BHTE, k_BKSE):
        return fused_attention.causal_attention(q_BHTE, k_BKSE, v_BKSE)
    if allowed_BTS is None and (not causal or time == positions):
        return F.scaled_dot_product_attention(
            q_BHTE, k_BKSE, v_BKSE, is_causal=causal, enable_gqa=grouped
        )
    allowed = None if allowed_BTS is None else allowed_BTS[:, None]
    if causal:
        past_TS = causal_mask(time, positions, q_BHTE.device)
        allowed = past_TS if allowed is None else allowed & past_TS
    return F.scaled_dot_product_attention(
        q_BHTE, k_BKSE, v_BKSE, attn_mask=allowed, enable_gqa=grouped
    )


def causal_mask(time: int, positions: int, device: torch.device) -> Tensor:
    """Return (T, S), True where the last T of S positions see themselves and what is before."""
    return torch.ones(time, positions, dtype=torch.bool, device=device).tril(positions - time)


def document_mask(documents_BT: Tensor) -> Tensor:
    """Return (B, T, T), True where two positions are of the same document, by their numbers."""
    return documents_BT[:, :, None] == documents_BT[:, None, :]


def document_numbers(ids_BT: Tensor, bos_id: int) -> Tensor:
    """Number the documents of packed rows (B, T): each begins with `bos_id`."""
    return (ids_BT == bos_id).cumsum(dim=1)


def left_padding_mask(pads_B: Tensor, time: int, positions: int) -> Tensor:
    """Return (B, T, S), False where a position is padding: the first `pads_B` of each row.

    The T queries are the last of the S positions. Padding sees itself, so that no row is empty.
    """
    device = pads_B.device
    attention_mask_BS = torch.arange(positions, device=device) >= pads_B[:, None]
    itself_TS = torch.ones(time, positions, dtype=torch.bool, device=device)
    itself_TS = itself_TS.triu(positions - time).tril(positions - time)
    return attention_mask_BS[:, None, :] | itself_TS


def rotary_tables(positions: int, head_width: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (S, E) of positions 0 to S - 1 (Su et al. 2021)."""
    frequencies = theta ** -(torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angles = torch.outer(torch.arange(positions, dtype=torch.float64), frequencies)
    angles_SE = torch.cat((angles, angles), dim=-1)
    return angles_SE.cos().float(), angles_SE.sin().float()


def rotate(x_BHTE: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
    """Turn each pair (i, i + E/2) by its position's angle; dot products then depend on distance.

    Angles are (T, E), or (B, 1, T, E) where rows stand at different positions.
    """
    left, right = x_BHTE.chunk(2, dim=-1)
    turned = torch.cat((-right, left), dim=-1)
    return (x_BHTE * cos_TE + turned * sin_TE).to(x_BHTE.dtype)


def sinusoidal_table(positions: int, width: int) -> Tensor:
    """Return (S, D): sines in even and cosines in odd places (Vaswani et al. 2017, section 3.5)."""
    frequencies = 10_000.0 ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.outer(torch.arange(positions, dtype=torch.float64), frequencies)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).float()


class KeyValueCache:
    """Keys and values of the positions seen so far, per layer; `length` counts positions.

    `pads_B` says how many of the first positions of each row are padding; `recent_BN` are the last
    ids, for a network that knows n-grams.
    """

    def __init__(self, layers: int, pads_B: Tensor | None = None):
        self.length = 0
        self.pads_B = pads_B
        self.recent_BN: Tensor | None = None
        self._own: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self._memory: list[tuple[Tensor, Tensor] | None] = [None] * layers

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> "KeyValueCache":
        """Return a cache that holds keys and values (B, K, S, E), layer by layer."""
        cache = cls(len(tensors) // 2)
        cache._own = list(zip(tensors[::2], tensors[1::2], strict=True))
        cache.length = tensors[0].shape[2]
        return cache

    def tensors(self) -> list[Tensor]:
        """Return keys and values of every layer in turn; each must have been extended."""
        return [tensor for pair in self._own if pair is not None for tensor in pair]

    def extend(self, layer: int, k_BKTE: Tensor, v_BKTE: Tensor) -> tuple[Tensor, Tensor]:
        """Append a layer's new keys and values and return all of them (B, K, S, E)."""
        before = self._own[layer]
        if before is not None:
            k_BKTE = torch.cat((before[0], k_BKTE), dim=2)
            v_BKTE = torch.cat((before[1], v_BKTE), dim=2)
        self._own[layer] = (k_BKTE, v_BKTE)
        return k_BKTE, v_BKTE

    def memory(
        self, layer: int, make: Callable[[], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Return a layer's keys and values of the encoder's output, made at the first call."""
        kept = self._memory[layer]
        if kept is None:
            kept = self._memory[layer] = make()
        return kept

    def reorder(self, rows: Tensor) -> None:
        """Let row i go on from what was row `rows[i]`, as beam search needs."""
        if self.pads_B is not None:
            self.pads_B = self.pads_B[rows]
        if self.recent_BN is not None:
            self.recent_BN = self.recent_BN[rows]
        for kept in (self._own, self._memory):
            for layer, pair in enumerate(kept):
                if pair is not None:
                    kept[layer] = (pair[0][rows], pair[1][rows])
