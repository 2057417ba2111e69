"""The families of networks, one record each: all that other rooms need to know of a kind.

A fourth family is a network, a row of FAMILIES and its name in `architecture.CHOICES`.
Shapes: B batch, T time, S positions of the source, D width, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from model.network.architecture import DECODER, ENCODER, ENCODER_DECODER, ROTARY, ModelConfig
from model.network.attention import KeyValueCache
from model.network.batch import Batch
from model.network.blocks import AttentionInputs
from model.network.counts import NgramCounts
from model.network.networks import GPT, BidirectionalEncoder, EncoderDecoder, next_logits
from model.network.predictions import (
    Predictions,
    causal_lm,
    causal_logits,
    causal_vectors,
    masked_lm,
    masked_logits,
    masked_vectors,
    seq2seq_lm,
    seq2seq_logits,
    source_vectors,
)

# (network, ids (B, S), mask (B, S)) -> what a decoder attends to
Encode = Callable[[Any, Tensor, Tensor | None], AttentionInputs]
AnyNetwork = GPT | BidirectionalEncoder | EncoderDecoder
# What programs and model hubs call the three kinds of work.
TEXT_GENERATION, FILL_MASK, TEXT_TO_TEXT = "text-generation", "fill-mask", "text2text-generation"


@dataclass(frozen=True)
class Family:
    """How networks of a family are built, trained, scored, and what can be done with them.

    `text_logits` are those (B, T, V) by which each id of (B, T + 1) but the first is predicted;
    `last_vectors` are (B, T, D) of ids and their mask (B, T). Where `encode_source` is given, a
    prompt is a source (B, S) that it reads, and what is written has a context of its own.
    """

    network: Callable[[ModelConfig, int], Any]
    task: str
    objective: Callable[[Any, Batch, int], Predictions]
    text_logits: Callable[[Any, Tensor], Tensor]
    last_vectors: Callable[[Any, Tensor, Tensor], Tensor]
    generates: bool = True
    encode_source: Encode | None = None
    packs_examples: Callable[[ModelConfig], bool] = lambda config: False

    @property
    def reads_source(self) -> bool:
        """Tell whether a prompt is read by an encoder."""
        return self.encode_source is not None

    @property
    def is_causal(self) -> bool:
        """Tell whether what is written goes on from the prompt, in the same context."""
        return self.generates and not self.reads_source


FAMILIES: dict[str, Family] = {
    DECODER: Family(
        GPT,
        TEXT_GENERATION,
        causal_lm,
        causal_logits,
        causal_vectors,
        packs_examples=lambda config: config.positions == ROTARY,
    ),
    ENCODER: Family(
        BidirectionalEncoder,
        FILL_MASK,
        masked_lm,
        masked_logits,
        masked_vectors,
        generates=False,
    ),
    ENCODER_DECODER: Family(
        EncoderDecoder,
        TEXT_TO_TEXT,
        seq2seq_lm,
        seq2seq_logits,
        source_vectors,
        encode_source=EncoderDecoder.encode,
    ),
}


def family_of(network: AnyNetwork) -> Family:
    """Return the record of a network's family."""
    return FAMILIES[network.config.family]


def logits_after(
    network: AnyNetwork,
    ids_BT: Tensor,
    cache: KeyValueCache,
    source: AttentionInputs | None = None,
) -> Tensor:
    """Return logits (B, V) over the id after new ids, which go into `cache`."""
    assert not isinstance(network, BidirectionalEncoder)  # it continues no text
    return next_logits(network, ids_BT, cache, source)


def counts_of(network: AnyNetwork) -> NgramCounts | None:
    """Return the counted n-grams that a network mixes in, if it does."""
    return network.counts if isinstance(network, GPT) else None


def build(config: ModelConfig, vocab_size: int) -> AnyNetwork:
    """Return an untrained network; its weights come from torch's random generator."""
    return FAMILIES[config.family].network(config, vocab_size)
