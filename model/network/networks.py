"""The three families built of the same blocks: decoder, encoder, encoder-decoder.

Shapes: B batch, T time, S positions of the source, D width, V vocabulary.
"""

from torch import Tensor, nn

from model.network.architecture import ModelConfig
from model.network.attention import KeyValueCache
from model.network.blocks import ACTIVATIONS, AttentionInputs, build_norm
from model.network.stack import Network, Stack, initialise_weights


class GPT(Stack):
    """An autoregressive language model; the options of `ModelConfig` make it Llama, GPT-2..."""

    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__(config, vocab_size, causal=True)
        self.lm_head = nn.Linear(config.width, vocab_size, bias=False)
        initialise_weights(self, config)
        if config.tied_embeddings:
            self.lm_head.weight = self.embed_tokens.weight

    def logits(self, hidden_BTD: Tensor) -> Tensor:
        """Return logits (B, T, V) of what `hidden` gave."""
        return self.lm_head(hidden_BTD)

    def forward(
        self,
        ids_BT: Tensor,
        cache: KeyValueCache | None = None,
        *,
        documents_BT: Tensor | None = None,
    ) -> Tensor:
        """Return logits (B, T, V); `documents_BT` numbers documents that do not see each other."""
        return self.logits(self.hidden(ids_BT, cache, documents_BT=documents_BT))


class BidirectionalEncoder(Stack):
    """Each position sees all; trained to restore masked tokens (Devlin et al. 2019)."""

    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__(config, vocab_size, causal=False)
        if config.head_transform:
            self.head_dense = nn.Linear(config.width, config.width)
            self.head_norm = build_norm(config)
        self.lm_head = nn.Linear(config.width, vocab_size, bias=config.head_transform)
        initialise_weights(self, config)
        if config.tied_embeddings:
            self.lm_head.weight = self.embed_tokens.weight

    def logits(self, hidden_BTD: Tensor) -> Tensor:
        """Return logits (B, T, V) of what `hidden` gave."""
        if self.config.head_transform:
            activation = ACTIVATIONS.get(self.config.activation, ACTIVATIONS["gelu"])
            hidden_BTD = self.head_norm(activation(self.head_dense(hidden_BTD)))
        return self.lm_head(hidden_BTD)

    def forward(self, ids_BT: Tensor, attention_mask_BT: Tensor | None = None) -> Tensor:
        """Return logits (B, T, V) over the token at each position; the mask is False on padding."""
        return self.logits(self.hidden(ids_BT, allowed_BTS=padding_mask(attention_mask_BT)))


class EncoderDecoder(Network):
    """A source is read as a whole, a target written token by token (Vaswani et al. 2017).

    Source, target and, if tied, the head share one embedding matrix (section 3.4).
    """

    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        self.encoder = Stack(config, vocab_size, causal=False)
        self.decoder = Stack(config, vocab_size, causal=True, cross=True)
        self.decoder.embed_tokens = self.encoder.embed_tokens
        self.lm_head = nn.Linear(config.width, vocab_size, bias=False)
        initialise_weights(self, config, stacks=2)
        if config.tied_embeddings:
            self.lm_head.weight = self.encoder.embed_tokens.weight

    @property
    def embed_tokens(self) -> nn.Embedding:
        """The shared embedding."""
        return self.encoder.embed_tokens

    def encode(self, source_BS: Tensor, attention_mask_BS: Tensor | None = None) -> AttentionInputs:
        """Read a source; `attention_mask_BS` False is padding, which is never looked at."""
        allowed_BTS = padding_mask(attention_mask_BS)
        hidden_BSD = self.encoder.hidden(source_BS, allowed_BTS=allowed_BTS)
        return AttentionInputs(causal=False, source_BSD=hidden_BSD, source_allowed_BTS=allowed_BTS)

    def hidden(
        self, target_BT: Tensor, cache: KeyValueCache | None = None, *, source: AttentionInputs
    ) -> Tensor:
        """Return the decoder's residual stream (B, T, D), with what `encode` gave as `source`."""
        return self.decoder.hidden(target_BT, cache, source=source)

    def logits(self, hidden_BTD: Tensor) -> Tensor:
        """Return logits (B, T, V) of what `hidden` gave."""
        return self.lm_head(hidden_BTD)

    def forward(
        self, source_BS: Tensor, target_BT: Tensor, attention_mask_BS: Tensor | None = None
    ) -> Tensor:
        """Return logits (B, T, V) over the token after each of the target."""
        return self.logits(self.hidden(target_BT, source=self.encode(source_BS, attention_mask_BS)))


def padding_mask(attention_mask_BS: Tensor | None) -> Tensor | None:
    """Return the mask (B, 1, S) by which every query sees the real positions of its row."""
    return None if attention_mask_BS is None else attention_mask_BS[:, None, :]
