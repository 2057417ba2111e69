"""A stack of blocks: token ids to vectors. Shapes: B batch, T time, S positions, D width."""

import functools
import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.architecture import (
    LEARNED,
    POST,
    PRE,
    ROTARY,
    SINUSOIDAL,
    ModelConfig,
)
from model.network.attention import (
    KeyValueCache,
    document_mask,
    left_padding_mask,
    rotary_tables,
    sinusoidal_table,
)
from model.network.blocks import AttentionInputs, Block, build_norm
from model.network.ngrams import NgramEmbedding, preceding, window_of
from pipeline.errors import ConfigError


class Network(nn.Module):
    """What every family has."""

    config: ModelConfig
    vocab_size: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def counted(self) -> dict[str, Tensor]:
        """Return what was counted rather than learned, by its stored name; most have nothing."""
        return {}

    def parameter_count(self) -> int:
        """Count the trained numbers, tied ones once."""
        return sum(weight.numel() for weight in self.parameters())


class Stack(Network):
    """Token ids to vectors: embeddings with positions, blocks, and with pre-norm a last norm."""

    cos_SE: Tensor
    sin_SE: Tensor
    positions_SD: Tensor

    def __init__(self, config: ModelConfig, vocab_size: int, *, causal: bool, cross: bool = False):
        super().__init__()
        self.config, self.causal, self.vocab_size = config, causal, vocab_size
        self.embed_tokens = nn.Embedding(vocab_size, config.width)
        self.layers = nn.ModuleList(Block(config, cross) for _ in range(config.layers))
        if config.norm_place == PRE:
            self.norm = build_norm(config)
        if config.embedding_norm:
            self.embedding_norm = build_norm(config)
        if config.positions == LEARNED:
            self.embed_positions = nn.Embedding(config.context, config.width)
        if config.ngram_orders:
            self.ngrams = NgramEmbedding(config)
        if config.positions == ROTARY:
            cos_SE, sin_SE = rotary_tables(config.context, config.head_width, config.rope_theta)
            self.register_buffer("cos_SE", cos_SE, persistent=False)
            self.register_buffer("sin_SE", sin_SE, persistent=False)
        if config.positions == SINUSOIDAL:
            table_SD = sinusoidal_table(config.context, config.width)
            self.register_buffer("positions_SD", table_SD, persistent=False)

    def hidden(
        self,
        ids_BT: Tensor,
        cache: KeyValueCache | None = None,
        *,
        documents_BT: Tensor | None = None,
        allowed_BTS: Tensor | None = None,
        source: AttentionInputs | None = None,
    ) -> Tensor:
        """Return the residual stream (B, T, D) after the last norm; appends to `cache` if given.

        `documents_BT` numbers documents that do not see each other; `allowed_BTS` is any other
        mask; `source` holds an encoder's output and which of it may be seen.
        """
        inputs, positions = self._attention_inputs(ids_BT, cache, documents_BT, allowed_BTS)
        if source is not None:
            inputs = replace(
                inputs, source_BSD=source.source_BSD, source_allowed_BTS=source.source_allowed_BTS
            )
        window_BS, grams_BTN = self.window(ids_BT, cache), None
        if self.config.ngram_orders:
            longest = self.config.ngram_longest
            grams_BTN = preceding(window_BS, longest, documents_BT, positions)
        x_BTD = self.forward_blocks(self.embed(ids_BT, positions, grams_BTN), inputs)
        if cache is not None:
            cache.length += ids_BT.shape[1]
            cache.recent_BN = window_BS[:, window_BS.shape[1] - self.config.ngram_longest + 1 :]
        return x_BTD

    def window(self, ids_BT: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Return ids after those before them that n-grams need (B, S); NOTHING where none are."""
        if cache is None or cache.recent_BN is None:
            return window_of(ids_BT, self.config.ngram_longest)
        return torch.cat((cache.recent_BN, ids_BT), dim=1)

    def forward_blocks(self, x_BTD: Tensor, inputs: AttentionInputs) -> Tensor:
        """Return what the blocks and the last norm make of embeddings (B, T, D)."""
        for index, block in enumerate(self.layers):
            x_BTD = block(x_BTD, inputs, index)
        return x_BTD if self.config.norm_place == POST else self.norm(x_BTD)

    def embed(
        self, ids_BT: Tensor, positions: slice | Tensor, grams_BTN: Tensor | None = None
    ) -> Tensor:
        """Return embeddings (B, T, D) with what `positions`, a slice or (B, T), adds to them.

        `grams_BTN` is what `ngrams.preceding` gave, of a network that has embeddings of n-grams.
        """
        x_BTD = self.embed_tokens(ids_BT)
        if grams_BTN is not None:
            x_BTD = x_BTD + self.ngrams(grams_BTN)
        if self.config.scaled_embeddings:
            x_BTD = x_BTD * math.sqrt(self.config.width)
        if self.config.positions == LEARNED:
            x_BTD = x_BTD + self.embed_positions.weight[positions]
        if self.config.positions == SINUSOIDAL:
            x_BTD = x_BTD + self.positions_SD[positions]
        if self.config.embedding_norm:
            x_BTD = self.embedding_norm(x_BTD)
        return F.dropout(x_BTD, self.config.dropout, self.training)

    def _attention_inputs(
        self,
        ids_BT: Tensor,
        cache: KeyValueCache | None,
        documents_BT: Tensor | None,
        allowed_BTS: Tensor | None,
    ) -> tuple[AttentionInputs, slice | Tensor]:
        start = 0 if cache is None else cache.length
        stop = start + ids_BT.shape[1]
        if stop > self.config.context:
            raise ConfigError(
                f"{stop} tokens, the model's context is {self.config.context}; give fewer"
            )
        positions: slice | Tensor = slice(start, stop)
        masks = [allowed_BTS] if allowed_BTS is not None else []
        if documents_BT is not None:
            masks.append(document_mask(documents_BT))
        if cache is not None and cache.pads_B is not None:
            masks.append(left_padding_mask(cache.pads_B, ids_BT.shape[1], stop))
            steps_T = torch.arange(start, stop, device=ids_BT.device)
            positions = (steps_T - cache.pads_B[:, None]).clamp(min=0)
        allowed = functools.reduce(torch.logical_and, masks) if masks else None
        return AttentionInputs(self.causal, self.angles(positions), allowed, cache), positions

    def angles(self, positions: slice | Tensor) -> tuple[Tensor, Tensor] | None:
        """Return cosines and sines of `positions`, a slice or (B, T); None if none are rotary."""
        if self.config.positions != ROTARY:
            return None
        cos, sin = self.cos_SE[positions], self.sin_SE[positions]
        return (cos, sin) if isinstance(positions, slice) else (cos[:, None], sin[:, None])


def initialise_weights(network: nn.Module, config: ModelConfig, stacks: int = 1) -> None:
    """Draw matrices from Normal(0, 0.02), those into the residual stream smaller by depth (GPT-2).

    Biases and tables of n-grams are zero, norms one.
    """
    depth = (2 * config.layers * stacks) ** -0.5
    for name, weight in network.named_parameters():
        if name.endswith("ngrams.tables.weight"):
            nn.init.zeros_(weight)
        elif weight.dim() > 1:
            std = 0.02 * (depth if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0)
            nn.init.normal_(weight, std=std)
        elif name.endswith("bias"):
            nn.init.zeros_(weight)
