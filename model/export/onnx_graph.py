"""ONNX graphs for onnxruntime: every family; a decoder's graph takes and gives its keys and values.

Inputs and outputs are named as optimum and transformers.js name them. Shapes: B batch, T time, P
positions in the cache, S positions attended to (P + T), D width, K key/value heads, E head width.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from model.network.attention import KeyValueCache
from model.network.blocks import AttentionInputs
from model.network.families import (
    FILL_MASK,
    TEXT_GENERATION,
    TEXT_TO_TEXT,
    AnyNetwork,
    family_of,
)
from model.network.ngrams import preceding
from model.network.stack import Stack
from pipeline.store import storage

OPSET = 20
# Of a network that knows n-grams: the last ids before `input_ids`, NOTHING where none is.
PAST_IDS = "past_input_ids"
EXAMPLE_ROWS, EXAMPLE_PAST, EXAMPLE_TOKENS = 2, 3, 5  # none is 0 or 1, which graphs take as fixed


class DecoderGraph(nn.Module):
    """Ids, which positions are real, and cached keys and values in; logits and new cache out."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past: list[Tensor],
        past_input_ids: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return logits (B, T, V), then keys and values (B, K, S, E) of every layer.

        A network that knows n-grams also takes and gives the ids before, and at the end.
        """
        network: Stack = self.network
        cache = KeyValueCache.of(past)
        positions, attention_mask_BS = past[0].shape[2] + input_ids.shape[1], attention_mask.bool()
        places_S = torch.arange(positions, device=input_ids.device)
        queries_T = torch.arange(input_ids.shape[1], device=input_ids.device) + past[0].shape[2]
        before_TS = places_S[None, :] <= queries_T[:, None]
        itself_TS = places_S[None, :] == queries_T[:, None]  # so that padding sees something
        allowed_BTS = (before_TS & attention_mask_BS[:, None, :]) | itself_TS
        view = AttentionInputs(False, network.angles(position_ids), allowed_BTS, cache)
        cache.recent_BN, longest = past_input_ids, network.config.ngram_longest
        contexts = self.network.contexts(input_ids, cache)
        window_BS, grams_BTN = network.window(input_ids, cache), None
        if network.config.ngram_orders:
            grams_BTN = preceding(window_BS, longest, positions=position_ids)
        x_BTD = network.embed(input_ids, position_ids, grams_BTN)
        hidden_BTD = network.forward_blocks(x_BTD, view)
        recent = [window_BS[:, window_BS.shape[1] - longest + 1 :]] if longest > 1 else []
        return (self.network.logits(hidden_BTD, contexts), *cache.tensors(), *recent)


class EncoderGraph(nn.Module):
    """Ids and which of them are real in; logits over the token at each position out."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits (B, T, V)."""
        return self.network(input_ids, attention_mask.bool())


class EncoderDecoderGraph(nn.Module):
    """A source with which of it is real, and a target so far in; logits out."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor
    ) -> Tensor:
        """Return logits (B, T, V) over the token after each of the target."""
        source = self.network.encode(input_ids, attention_mask.bool())
        decoder, places = self.network.decoder, slice(0, decoder_input_ids.shape[1])
        queries_T = torch.arange(decoder_input_ids.shape[1], device=input_ids.device)
        before_TS = queries_T[None, :] <= queries_T[:, None]
        view = replace(source, rotary=decoder.angles(places), allowed_BTS=before_TS[None])
        hidden_BTD = decoder.forward_blocks(decoder.embed(decoder_input_ids, places), view)
        return self.network.logits(hidden_BTD)


def write(network: AnyNetwork, path: Path) -> None:
    """Write the graph with its weights into one file, whole or not at all."""
    graph, example, names, shapes = _GRAPHS[family_of(network).task](network)
    inputs, outputs = names
    with storage.whole_file(path) as temporary, _quiet():
        torch.onnx.export(
            graph.eval(),
            example,
            temporary,
            dynamo=True,
            external_data=False,
            verbose=False,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
        )


def quantize(full: Path, path: Path) -> None:
    """Write a graph with its matrices in 8 bits; onnxruntime scales activations as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with storage.whole_file(path) as temporary, _quiet():
        quantize_dynamic(full, temporary, weight_type=QuantType.QInt8, per_channel=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back notes on packages and passes that have nothing to do with the graph."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


Example = tuple[nn.Module, tuple[Any, ...], tuple[list[str], list[str]], tuple[Any, ...]]


def _ids(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.long)


def _decoder(network: AnyNetwork) -> Example:
    config = network.config
    shape = (EXAMPLE_ROWS, config.kv_heads, EXAMPLE_PAST, config.head_width)
    past = [torch.zeros(shape) for _ in range(2 * config.layers)]
    positions = EXAMPLE_PAST + torch.arange(EXAMPLE_TOKENS).expand(EXAMPLE_ROWS, -1)
    attended = _ids(EXAMPLE_ROWS, EXAMPLE_PAST + EXAMPLE_TOKENS)
    example: tuple[Any, ...] = (_ids(EXAMPLE_ROWS, EXAMPLE_TOKENS), attended, positions, past)
    both = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    shapes: tuple[Any, ...] = (both, both, both, [{0: Dim.DYNAMIC, 2: Dim.DYNAMIC} for _ in past])
    kinds = [f"{layer}.{kind}" for layer in range(config.layers) for kind in ("key", "value")]
    inputs = ["input_ids", "attention_mask", "position_ids"]
    inputs += [f"past_key_values.{kind}" for kind in kinds]
    outputs = ["logits", *(f"present.{kind}" for kind in kinds)]
    if config.ngram_longest > 1:
        example += (_ids(EXAMPLE_ROWS, config.ngram_longest - 1),)
        shapes += ({0: Dim.DYNAMIC},)
        inputs.append(PAST_IDS)
        outputs.append("present_input_ids")
    return DecoderGraph(network), example, (inputs, outputs), shapes


def _encoder(network: AnyNetwork) -> Example:
    example = (_ids(EXAMPLE_ROWS, EXAMPLE_TOKENS), _ids(EXAMPLE_ROWS, EXAMPLE_TOKENS))
    both = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    return (
        EncoderGraph(network),
        example,
        (["input_ids", "attention_mask"], ["logits"]),
        (both,) * 2,
    )


def _encoder_decoder(network: AnyNetwork) -> Example:
    source, target = (EXAMPLE_ROWS, EXAMPLE_TOKENS), (EXAMPLE_ROWS, EXAMPLE_PAST)
    example = (_ids(*source), _ids(*source), _ids(*target))
    both = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    inputs = ["input_ids", "attention_mask", "decoder_input_ids"]
    return EncoderDecoderGraph(network), example, (inputs, ["logits"]), (both,) * 3


_GRAPHS: dict[str, Callable[[AnyNetwork], Example]] = {
    TEXT_GENERATION: _decoder,
    FILL_MASK: _encoder,
    TEXT_TO_TEXT: _encoder_decoder,
}
