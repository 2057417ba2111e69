"""The parts all families share: norms, attention, feed-forward layers, blocks.

Shapes: B batch, T time, S positions attended to, D width, H query heads, K key/value heads, E head
width. Parameter names follow the Llama layout, so that a state dict exports unchanged.

Sources: Vaswani et al. 2017 (attention, post-norm); Ba et al. 2016 (LayerNorm); Zhang & Sennrich
2019 (RMSNorm); Su et al. 2021 (rotary positions); Shazeer 2020 (SwiGLU); Ainslie et al. 2023
(grouped queries); Henry et al. 2020 (normalised queries and keys).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.kernels import fused_blocks
from model.network.architecture import ALL_BIASES, LAYERNORM, NO_BIASES, PRE, ModelConfig
from model.network.attention import KeyValueCache, attend, rotate

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}


@dataclass(frozen=True)
class AttentionInputs:
    """What the positions of one forward pass may look at; the same for every layer.

    `allowed_BTS` limits a stack's own positions, `source_allowed_BTS` the encoder's output
    `source_BSD`; None allows all.
    """

    causal: bool
    rotary: tuple[Tensor, Tensor] | None = None
    allowed_BTS: Tensor | None = None
    cache: KeyValueCache | None = None
    source_BSD: Tensor | None = None
    source_allowed_BTS: Tensor | None = None


class RMSNorm(nn.Module):
    """Scale to unit root mean square, then by a learned weight; computed in float32 at least."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Normalise the last dimension."""
        if x_BTD.dtype == torch.float32 and fused_blocks.is_supported(x_BTD):
            return fused_blocks.rms_norm(x_BTD, self.weight, self.epsilon)
        x = x_BTD if x_BTD.dtype == torch.float64 else x_BTD.float()
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return self.weight * x.to(x_BTD.dtype)


def build_norm(config: ModelConfig) -> nn.Module:
    """Return a norm over the width as configured."""
    if config.norm == LAYERNORM:
        biased = config.biases != NO_BIASES
        return nn.LayerNorm(config.width, config.norm_epsilon, bias=biased)
    return RMSNorm(config.width, config.norm_epsilon)


class Attention(nn.Module):
    """Multi-head attention with grouped key/value heads, over own positions or a source's."""

    def __init__(self, config: ModelConfig, cross: bool = False):
        super().__init__()
        query_width = config.heads * config.head_width
        key_width = config.kv_heads * config.head_width
        biased = config.biases == ALL_BIASES
        self.head_width = config.head_width
        self.cross = cross
        self.q_proj = nn.Linear(config.width, query_width, bias=biased)
        self.k_proj = nn.Linear(config.width, key_width, bias=biased)
        self.v_proj = nn.Linear(config.width, key_width, bias=biased)
        self.o_proj = nn.Linear(query_width, config.width, bias=biased)
        if config.qk_norm:
            self.q_norm = RMSNorm(config.head_width, config.norm_epsilon)
            self.k_norm = RMSNorm(config.head_width, config.norm_epsilon)
        self.qk_norm, self.epsilon = config.qk_norm, config.norm_epsilon

    def forward(self, x_BTD: Tensor, inputs: AttentionInputs, layer: int) -> Tensor:
        """Attend to what `inputs` shows, the encoder's output if this attention is `cross`."""
        y_BHTE = (self._cross_attention if self.cross else self._self_attention)(
            x_BTD, inputs, layer
        )
        return self.o_proj(y_BHTE.transpose(1, 2).flatten(2))

    def _heads(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(2, (-1, self.head_width)).transpose(1, 2)

    def _queries(self, x_BTD: Tensor) -> Tensor:
        q_BHTE = self._heads(self.q_proj(x_BTD))
        return self.q_norm(q_BHTE) if self.qk_norm else q_BHTE

    def _keys_values(self, x_BSD: Tensor) -> tuple[Tensor, Tensor]:
        k_BKSE, v_BKSE = self._heads(self.k_proj(x_BSD)), self._heads(self.v_proj(x_BSD))
        return (self.k_norm(k_BKSE) if self.qk_norm else k_BKSE), v_BKSE

    def _self_attention(self, x_BTD: Tensor, inputs: AttentionInputs, layer: int) -> Tensor:
        q_BHTE, k_BKTE, v_BKTE = self._queries_keys_values(x_BTD, inputs)
        if inputs.cache is not None:
            k_BKTE, v_BKTE = inputs.cache.extend(layer, k_BKTE, v_BKTE)
        return attend(q_BHTE, k_BKTE, v_BKTE, causal=inputs.causal, allowed_BTS=inputs.allowed_BTS)

    def _queries_keys_values(
        self, x_BTD: Tensor, inputs: AttentionInputs
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of the same positions, turned by them if so wanted."""
        layers = (self.q_proj, self.k_proj, self.v_proj)
        shared_angles = inputs.rotary is not None and inputs.rotary[0].dim() == 2
        if (
            inputs.rotary is not None
            and shared_angles
            and fused_blocks.is_supported(x_BTD, *layers)
        ):
            norms = (self.q_norm.weight, self.k_norm.weight) if self.qk_norm else None
            rotary = fused_blocks.RotaryInputs(*inputs.rotary, self.epsilon)
            matrices = (self.q_proj.weight, self.k_proj.weight, self.v_proj.weight)
            return fused_blocks.heads(x_BTD, matrices, norms, rotary)
        q_BHTE, (k_BKTE, v_BKTE) = self._queries(x_BTD), self._keys_values(x_BTD)
        if inputs.rotary is not None:
            q_BHTE, k_BKTE = rotate(q_BHTE, *inputs.rotary), rotate(k_BKTE, *inputs.rotary)
        return q_BHTE, k_BKTE, v_BKTE

    def _cross_attention(self, x_BTD: Tensor, inputs: AttentionInputs, layer: int) -> Tensor:
        source_BSD, q_BHTE = inputs.source_BSD, self._queries(x_BTD)
        assert source_BSD is not None  # a decoder stack with a source is never called without
        if inputs.cache is None:
            k_BKSE, v_BKSE = self._keys_values(source_BSD)
        else:
            k_BKSE, v_BKSE = inputs.cache.memory(layer, lambda: self._keys_values(source_BSD))
        allowed = inputs.source_allowed_BTS
        return attend(q_BHTE, k_BKSE, v_BKSE, causal=False, allowed_BTS=allowed)


class GatedMLP(nn.Module):
    """SwiGLU: silu(x W_gate) * (x W_up), projected back."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        biased = config.biases != NO_BIASES
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=biased)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=biased)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=biased)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Transform each position by itself."""
        layers = (self.gate_proj, self.up_proj, self.down_proj)
        if fused_blocks.is_supported(x_BTD, *layers):
            return fused_blocks.gated_mlp(x_BTD, *(layer.weight for layer in layers))
        return self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))


class MLP(nn.Module):
    """The feed-forward layer of 2017: f(x W_up) W_down."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        biased = config.biases != NO_BIASES
        self.up_proj = nn.Linear(config.width, config.hidden, bias=biased)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=biased)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Transform each position by itself."""
        return self.down_proj(self.activation(self.up_proj(x_BTD)))


class Block(nn.Module):
    """Attention, attention to a source if there is one, and MLP, each added to its input.

    Pre-norm normalises what a sublayer reads, post-norm the sum.
    """

    def __init__(self, config: ModelConfig, cross: bool = False):
        super().__init__()
        self.self_attn = Attention(config)
        self.input_layernorm = build_norm(config)
        if cross:
            self.cross_attn = Attention(config, cross=True)
            self.cross_attention_layernorm = build_norm(config)
        self.mlp: nn.Module = GatedMLP(config) if config.activation == "swiglu" else MLP(config)
        self.post_attention_layernorm = build_norm(config)
        self.cross, self.pre, self.dropout = cross, config.norm_place == PRE, config.dropout

    def forward(self, x_BTD: Tensor, inputs: AttentionInputs, layer: int) -> Tensor:
        """Return the residual stream after this block."""
        x_BTD = self._add(x_BTD, self.input_layernorm, lambda x: self.self_attn(x, inputs, layer))
        if self.cross:
            norm = self.cross_attention_layernorm
            x_BTD = self._add(x_BTD, norm, lambda x: self.cross_attn(x, inputs, layer))
        return self._add(x_BTD, self.post_attention_layernorm, self.mlp)

    def _add(self, x_BTD: Tensor, norm: nn.Module, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        y_BTD = sublayer(norm(x_BTD) if self.pre else x_BTD)
        total = x_BTD + F.dropout(y_BTD, self.dropout, self.training)
        return total if self.pre else norm(total)
