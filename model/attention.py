"""Scaled dot-product attention, rotary positions and the key/value cache. Shapes as in `gpt`."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor) -> Tensor:
    """Return softmax(Q K^T / sqrt(E)) V with a causal mask (Vaswani et al. 2017, section 3.2.1).

    The T queries are the last of the S positions; with H > K, groups of H / K heads share keys.
    """
    time, positions = q_BHTE.shape[2], k_BKSE.shape[2]
    grouped = q_BHTE.shape[1] != k_BKSE.shape[1]
    if time == positions or time == 1:
        return F.scaled_dot_product_attention(
            q_BHTE, k_BKSE, v_BKSE, is_causal=time == positions and time > 1, enable_gqa=grouped
        )
    allowed_TS = torch.ones(time, positions, dtype=torch.bool, device=q_BHTE.device)
    allowed_TS = allowed_TS.tril(positions - time)
    return F.scaled_dot_product_attention(
        q_BHTE, k_BKSE, v_BKSE, attn_mask=allowed_TS, enable_gqa=grouped
    )


@functools.lru_cache(maxsize=8)
def rotary_tables(start: int, stop: int, head_width: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (T, E) of positions start..stop-1 (Su et al. 2021)."""
    frequencies = theta ** -(torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angles = torch.outer(torch.arange(start, stop, dtype=torch.float64), frequencies)
    angles_TE = torch.cat((angles, angles), dim=-1)
    return angles_TE.cos().float(), angles_TE.sin().float()


def rotate(x_BHTE: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
    """Turn each pair (i, i + E/2) by its position's angle; dot products then depend on distance."""
    left, right = x_BHTE.chunk(2, dim=-1)
    turned = torch.cat((-right, left), dim=-1)
    return (x_BHTE * cos_TE + turned * sin_TE).to(x_BHTE.dtype)


class KeyValueCache:
    """Keys and values of the positions seen so far, per layer; `length` counts positions."""

    def __init__(self, layers: int):
        self.length = 0
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    def extend(self, layer: int, k_BKTE: Tensor, v_BKTE: Tensor) -> tuple[Tensor, Tensor]:
        """Append a layer's new keys and values and return all of them (B, K, S, E)."""
        keys, values = self._keys[layer], self._values[layer]
        if keys is not None and values is not None:
            k_BKTE = torch.cat((keys, k_BKTE), dim=2)
            v_BKTE = torch.cat((values, v_BKTE), dim=2)
        self._keys[layer], self._values[layer] = k_BKTE, v_BKTE
        return k_BKTE, v_BKTE
