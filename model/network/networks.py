"""The three families built of the same blocks: decoder, encoder, encoder-decoder.

Shapes: B batch, T time, S positions of the source, D width, V vocabulary.
"""

from torch import Tensor, nn

from model.network.architecture import ModelConfig
from model.network.attention import KeyValueCache
from model.network.blocks import ACTIVATIONS, AttentionInputs, build_norm
from model.network.counts import PREFIX, NgramCounts
from model.network.stack import Network, Stack, initialise_weights


class GPT(Stack):
    """An autoregressive language model; the options of `ModelConfig` make it Llama, GPT-2..."""

    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__(config, vocab_size, causal=True)
        self.lm_head = nn.Linear(config.width, vocab_size, bias=False)
        self.counts = None if config.count_order is None else NgramCounts(config, vocab_size)
        initialise_weights(self, config)
        if config.tied_embeddings:
            self.lm_head.weight = self.embed_tokens.weight

    def contexts(
        self,
        ids_BT: Tensor,
        cache: KeyValueCache | None = None,
        documents_BT: Tensor | None = None,
    ) -> list[Tensor] | None:
        """Return the counted n-grams (B, T) at each position, None of a network without any.

        To be asked before `hidden` puts the ids into `cache`.
        """
        if self.counts is None or self.counts.is_empty:
            return None
        window_BS = self.window(ids_BT, cache)
        return self.counts.grams(window_BS, ids_BT.shape[1], documents_BT)[:-1]

    def logits(self, hidden_BTD: Tensor, contexts: list[Tensor] | None = None) -> Tensor:
        """Return logits (B, T, V) of what `hidden` gave, with what counts say of `contexts`."""
        logits_BTV = self.lm_head(hidden_BTD)
        if contexts is None:
            return logits_BTV
        assert self.counts is not None
        return self.counts.mixed(logits_BTV, hidden_BTD, contexts)

    def forward(
        self,
        ids_BT: Tensor,
        cache: KeyValueCache | None = None,
        *,
        documents_BT: Tensor | None = None,
    ) -> Tensor:
        """Return logits (B, T, V); `documents_BT` numbers documents that do not see each other."""
        contexts = self.contexts(ids_BT, cache, documents_BT)
        return self.logits(self.hidden(ids_BT, cache, documents_BT=documents_BT), contexts)

    def counted(self) -> dict[str, Tensor]:
        """Return the tables of counts by their stored names."""
        tables = {} if self.counts is None else self.counts.tables()
        return {f"{PREFIX}{name}": table for name, table in tables.items()}


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


def next_logits(
    network: GPT | EncoderDecoder,
    ids_BT: Tensor,
    cache: KeyValueCache,
    source: AttentionInputs | None = None,
) -> Tensor:
    """Return logits (B, V) over the id after new ids, which go into `cache`."""
    if isinstance(network, EncoderDecoder):
        assert source is not None
        return network.logits(network.hidden(ids_BT, cache, source=source)[:, -1])
    contexts = network.contexts(ids_BT, cache)
    last = None if contexts is None else [context_BT[:, -1] for context_BT in contexts]
    return network.logits(network.hidden(ids_BT, cache)[:, -1], last)
