"""Which class of transformers is made of a network's parts, and what its weights are called there.

A row of `LAYOUTS` per class: the options it can have, its config keys, the names of its weights.
The classes are those of transformers 5 (docs at huggingface.co/docs/transformers).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from model.formats import reshape
from model.formats.config_keys import ACTIVATIONS, bart_keys, bert_keys, gpt2_keys, llama_keys
from model.formats.reshape import Weights
from model.network.architecture import (
    DECODER,
    ENCODER,
    ENCODER_DECODER,
    LAYERNORM,
    LEARNED,
    NO_BIASES,
    POST,
    PRE,
    RMSNORM,
    ROTARY,
    SINUSOIDAL,
    ModelConfig,
)
from model.network.families import AnyNetwork
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class TransformersLayout:
    """A class of transformers.

    `wants` are the values it can have of options of ModelConfig, `keys` its part of config.json,
    `names` patterns and what replaces them, in order, in our names of weights. `complete` classes
    have every bias and as many key heads as query heads; `reshape` then changes tensors.
    """

    architecture: str
    model_type: str
    wants: Mapping[str, tuple[Any, ...]]
    keys: Callable[[ModelConfig], dict[str, Any]]
    names: tuple[tuple[str, str], ...]
    complete: bool = True
    reshape: Callable[[Weights, ModelConfig], Weights] = lambda weights, config: weights

    def misfits(self, config: ModelConfig) -> list[str]:
        """Return what this class would want instead of options that it cannot have."""
        return [
            f"model.{option} = {' or '.join(map(_as_written, values))}"
            for option, values in self.wants.items()
            if getattr(config, option) not in values
        ]

    def name(self, ours: str) -> str:
        """Return what the class calls a weight."""
        for pattern, theirs in self.names:
            ours = re.sub(pattern, theirs, ours)
        return ours


def _as_written(value: Any) -> str:
    return '"off"' if value is None else repr(list(value) if isinstance(value, tuple) else value)


def layout_of(config: ModelConfig) -> TransformersLayout:
    """Return the class a network can be exported as.

    Raises ConfigError naming the nearest class and what it would want, where there is none.
    """
    near = min(LAYOUTS, key=lambda layout: len(layout.misfits(config)))
    wanted = near.misfits(config)
    if wanted:
        raise ConfigError(
            f"no class of transformers is made of this network's parts; the nearest, "
            f"{near.architecture}, wants {', '.join(wanted)}. Export with --format onnx, which "
            f"takes every network, or train with those options"
        )
    return near


def weights_of(network: AnyNetwork, layout: TransformersLayout) -> Weights:
    """Return the weights under the names of the class, in the network's precision; tied ones once.

    The network must be one that fits: `layout_of` its config gave `layout`.
    """
    weights: Weights = dict(network.named_parameters())
    if layout.complete:
        weights = reshape.completed(network)
    changed = layout.reshape(weights, network.config)
    return {layout.name(name): weight.detach().contiguous() for name, weight in changed.items()}


_LLAMA_NAMES = ((r"^(?!lm_head)", "model."),)
_GPT2_NAMES = (
    (r"^embed_tokens", "transformer.wte"),
    (r"^embed_positions", "transformer.wpe"),
    (r"^norm", "transformer.ln_f"),
    (r"^layers", "transformer.h"),
    ("self_attn.qkv_proj", "attn.c_attn"),
    ("self_attn.o_proj", "attn.c_proj"),
    ("mlp.up_proj", "mlp.c_fc"),
    ("mlp.down_proj", "mlp.c_proj"),
    ("input_layernorm", "ln_1"),
    ("post_attention_layernorm", "ln_2"),
)
_BERT_NAMES = (
    (r"^embed_tokens", "bert.embeddings.word_embeddings"),
    (r"^embed_positions", "bert.embeddings.position_embeddings"),
    (r"^token_type_embeddings", "bert.embeddings.token_type_embeddings"),
    (r"^embedding_norm", "bert.embeddings.LayerNorm"),
    (r"^layers", "bert.encoder.layer"),
    ("self_attn.q_proj", "attention.self.query"),
    ("self_attn.k_proj", "attention.self.key"),
    ("self_attn.v_proj", "attention.self.value"),
    ("self_attn.o_proj", "attention.output.dense"),
    ("mlp.up_proj", "intermediate.dense"),
    ("mlp.down_proj", "output.dense"),
    ("input_layernorm", "attention.output.LayerNorm"),
    ("post_attention_layernorm", "output.LayerNorm"),
    (r"^head_dense", "cls.predictions.transform.dense"),
    (r"^head_norm", "cls.predictions.transform.LayerNorm"),
    (r"^lm_head", "cls.predictions.decoder"),
)
_BART_NAMES = (
    (r"^(encoder|decoder|shared)\.", r"model.\1."),
    (r"coder\.norm", "coder.layer_norm"),
    ("self_attn.o_proj", "self_attn.out_proj"),
    ("cross_attn.o_proj", "cross_attn.out_proj"),
    ("cross_attn", "encoder_attn"),
    ("mlp.up_proj", "fc1"),
    ("mlp.down_proj", "fc2"),
    ("input_layernorm", "self_attn_layer_norm"),
    ("cross_attention_layernorm", "encoder_attn_layer_norm"),
    ("post_attention_layernorm", "final_layer_norm"),
    ("embedding_norm", "layernorm_embedding"),
)

_NO_NGRAMS = {"ngram_orders": ((),), "count_order": (None,)}
_MODERN = {
    **_NO_NGRAMS,
    "norm": (RMSNORM,),
    "norm_place": (PRE,),
    "activation": ("swiglu",),
    "positions": (ROTARY,),
    "scaled_embeddings": (False,),
    "embedding_norm": (False,),
    "head_transform": (False,),
}
_CLASSIC = {
    **_NO_NGRAMS,
    "norm": (LAYERNORM,),
    "activation": tuple(ACTIVATIONS),
    "qk_norm": (False,),
}
# Sinusoids fit a learned table; the classes of BART's kind have a fixed epsilon.
_TABLE = (LEARNED, SINUSOIDAL)
_BART = {**_CLASSIC, "family": (ENCODER_DECODER,), "norm_epsilon": (1e-5,)}
LLAMA = TransformersLayout(
    "LlamaForCausalLM",
    "llama",
    {**_MODERN, "family": (DECODER,), "qk_norm": (False,)},
    llama_keys,
    _LLAMA_NAMES,
    complete=False,
)
QWEN3 = TransformersLayout(
    "Qwen3ForCausalLM",
    "qwen3",
    {**_MODERN, "family": (DECODER,), "qk_norm": (True,), "biases": (NO_BIASES,)},
    llama_keys,
    _LLAMA_NAMES,
    complete=False,
)
EUROBERT = TransformersLayout(
    "EuroBertForMaskedLM",
    "eurobert",
    {**_MODERN, "family": (ENCODER,), "qk_norm": (False,)},
    llama_keys,
    _LLAMA_NAMES,
    complete=False,
    reshape=reshape.eurobert,
)
GPT2 = TransformersLayout(
    "GPT2LMHeadModel",
    "gpt2",
    {
        **_CLASSIC,
        "family": (DECODER,),
        "norm_place": (PRE,),
        "positions": _TABLE,
        "scaled_embeddings": (False,),
        "embedding_norm": (False,),
    },
    gpt2_keys,
    _GPT2_NAMES,
    reshape=reshape.gpt2,
)
BERT = TransformersLayout(
    "BertForMaskedLM",
    "bert",
    {
        **_CLASSIC,
        "family": (ENCODER,),
        "norm_place": (POST,),
        "positions": _TABLE,
        "scaled_embeddings": (False,),
        "embedding_norm": (True,),
        "head_transform": (True,),
    },
    bert_keys,
    _BERT_NAMES,
    reshape=reshape.bert,
)
BART, MBART = (
    TransformersLayout(
        architecture,
        model_type,
        {**_BART, "norm_place": (place,), "positions": _TABLE, "embedding_norm": (True,)},
        bart_keys,
        _BART_NAMES,
        reshape=reshape.bart,
    )
    for architecture, model_type, place in (
        ("BartForConditionalGeneration", "bart", POST),
        ("MBartForConditionalGeneration", "mbart", PRE),
    )
)
MARIAN, PEGASUS = (
    TransformersLayout(
        architecture,
        model_type,
        {**_BART, "norm_place": (place,), "positions": (SINUSOIDAL,), "embedding_norm": (False,)},
        bart_keys,
        _BART_NAMES,
        reshape=reshape.marian,
    )
    for architecture, model_type, place in (
        ("MarianMTModel", "marian", POST),
        ("PegasusForConditionalGeneration", "pegasus", PRE),
    )
)
LAYOUTS = (LLAMA, QWEN3, EUROBERT, GPT2, BERT, BART, MBART, MARIAN, PEGASUS)
