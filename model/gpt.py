"""The decoder: token ids to logits over the next token, each position seeing those before it."""

from torch import Tensor, nn

from model.network.architecture import ModelConfig
from model.network.attention import KeyValueCache
from model.network.stack import Stack, initialise


class GPT(Stack):
    """An autoregressive language model; the options of `ModelConfig` make it Llama, GPT-2..."""

    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__(config, vocab_size, causal=True)
        self.lm_head = nn.Linear(config.width, vocab_size, bias=False)
        initialise(self, config)
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
