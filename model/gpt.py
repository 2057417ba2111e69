"""A decoder-only Transformer: pre-norm, rotary positions, grouped-query attention, SwiGLU.

Single-device code; module names follow the Llama layout, so that a state dict exports unchanged.
Shapes: B batch, T time, D width, H query heads, K key/value heads, E head width, M hidden width of
the MLP, V vocabulary, S positions attended to (cached and new).

Sources: Vaswani et al. 2017 (attention); Zhang & Sennrich 2019 (RMSNorm); Su et al. 2021 (rotary
positions); Shazeer 2020 (SwiGLU); Ainslie et al. 2023 (grouped queries).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.attention import KeyValueCache, attend, rotary_tables, rotate
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the network; the vocabulary comes with the tokenizer."""

    layers: int = 4
    width: int = 256
    heads: int = 4
    kv_heads: int = 4
    hidden: int = 688  # about 8/3 of the width: SwiGLU has three matrices where ReLU has two
    context: int = 256
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-5
    tied_embeddings: bool = True

    def __post_init__(self) -> None:
        for name in ("layers", "width", "heads", "kv_heads", "hidden", "context"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name}: {getattr(self, name)}, wanted at least 1")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ConfigError(
                f"model.width {self.width} over model.heads {self.heads} must be an even whole "
                f"number, the width of a head"
            )
        if self.heads % self.kv_heads:
            raise ConfigError(
                f"model.heads {self.heads} must be a multiple of model.kv_heads {self.kv_heads}"
            )

    @property
    def head_width(self) -> int:
        """Numbers per head (E)."""
        return self.width // self.heads


class RMSNorm(nn.Module):
    """Scale to unit root mean square, then by a learned weight; computed in float32."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Normalise the last dimension."""
        x = x_BTD.float()
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return self.weight * x.to(x_BTD.dtype)


class Attention(nn.Module):
    """Causal multi-head attention with rotary positions and grouped key/value heads."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        query_width = config.heads * config.head_width
        key_width = config.kv_heads * config.head_width
        self.head_width = config.head_width
        self.q_proj = nn.Linear(config.width, query_width, bias=False)
        self.k_proj = nn.Linear(config.width, key_width, bias=False)
        self.v_proj = nn.Linear(config.width, key_width, bias=False)
        self.o_proj = nn.Linear(query_width, config.width, bias=False)

    def forward(
        self, x_BTD: Tensor, rotary: tuple[Tensor, Tensor], cache: KeyValueCache | None, layer: int
    ) -> Tensor:
        """Attend to this and all earlier positions; `cache` holds those of earlier calls."""
        batch, time, _ = x_BTD.shape
        heads = (batch, time, -1, self.head_width)
        q_BHTE = rotate(self.q_proj(x_BTD).view(heads).transpose(1, 2), *rotary)
        k_BKTE = rotate(self.k_proj(x_BTD).view(heads).transpose(1, 2), *rotary)
        v_BKTE = self.v_proj(x_BTD).view(heads).transpose(1, 2)
        if cache is not None:
            k_BKTE, v_BKTE = cache.extend(layer, k_BKTE, v_BKTE)
        y_BHTE = attend(q_BHTE, k_BKTE, v_BKTE)
        return self.o_proj(y_BHTE.transpose(1, 2).reshape(batch, time, -1))


class GatedMLP(nn.Module):
    """SwiGLU: silu(x W_gate) * (x W_up), projected back."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Transform each position by itself."""
        return self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))


class Block(nn.Module):
    """Attention and MLP, each on a normalised copy and added back."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = GatedMLP(config)
        self.input_layernorm = RMSNorm(config.width, config.norm_epsilon)
        self.post_attention_layernorm = RMSNorm(config.width, config.norm_epsilon)

    def forward(
        self, x_BTD: Tensor, rotary: tuple[Tensor, Tensor], cache: KeyValueCache | None, layer: int
    ) -> Tensor:
        """Return the residual stream after this block."""
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), rotary, cache, layer)
        return x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))


class GPT(nn.Module):
    """Token ids to logits over the next token."""

    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.embed_tokens = nn.Embedding(vocab_size, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_epsilon)
        self.lm_head = nn.Linear(config.width, vocab_size, bias=False)
        self._initialise()
        if config.tied_embeddings:
            self.lm_head.weight = self.embed_tokens.weight

    def _initialise(self) -> None:
        """Normal(0, 0.02); projections into the residual stream shrink with depth (GPT-2)."""
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                into_stream = name.endswith(("o_proj.weight", "down_proj.weight"))
                depth = (2 * self.config.layers) ** -0.5 if into_stream else 1.0
                nn.init.normal_(weight, std=0.02 * depth)

    def hidden(self, ids_BT: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Return the normalised residual stream (B, T, D); appends to `cache` if given."""
        start = 0 if cache is None else cache.length
        rotary = rotary_tables(
            start, start + ids_BT.shape[1], self.config.head_width, self.config.rope_theta
        )
        x_BTD = self.embed_tokens(ids_BT)
        rotary = (rotary[0].to(x_BTD.device), rotary[1].to(x_BTD.device))
        for index, block in enumerate(self.layers):
            x_BTD = block(x_BTD, rotary, cache, index)
        if cache is not None:
            cache.length += ids_BT.shape[1]
        return self.norm(x_BTD)

    def forward(self, ids_BT: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Return logits (B, T, V)."""
        return self.lm_head(self.hidden(ids_BT, cache))

    def parameter_count(self) -> int:
        """Count the trained numbers, tied ones once."""
        return sum(weight.numel() for weight in self.parameters())
