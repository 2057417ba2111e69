"""A GGUF file for llama.cpp: decoders made as Llama, Qwen3 or GPT-2, float or 8-bit (Q8_0).

Names and keys are those of ggml's GGUF specification (github.com/ggml-org/ggml, docs/gguf.md).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Storage
from gguf import LlamaFileType as FileType
from gguf.quants import quantize

from model.formats.layouts import GPT2, LLAMA, QWEN3, layout_of
from model.formats.reshape import Weights, completed, gpt2
from model.network.architecture import ModelConfig
from model.network.families import AnyNetwork
from pipeline.errors import ConfigError
from pipeline.store import storage
from pipeline.tokenizer import Tokenizer
from pipeline.vocabulary import Vocabulary

Q8_BLOCK = 32  # numbers that share a scale in Q8_0
PRECISIONS: dict[str, tuple[Storage, FileType]] = {
    "float32": (Storage.F32, FileType.ALL_F32),
    "float16": (Storage.F16, FileType.MOSTLY_F16),
    "bfloat16": (Storage.BF16, FileType.MOSTLY_BF16),
    "int8": (Storage.Q8_0, FileType.MOSTLY_Q8_0),
}
_BLOCK_NAMES = (
    (r"^layers\.(\d+)\.", r"blk.\1."),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    (r"^embed_tokens", "token_embd"),
    (r"^embed_positions", "position_embd"),
    (r"^norm", "output_norm"),
    (r"^lm_head", "output"),
)


@dataclass(frozen=True)
class Architecture:
    """How llama.cpp calls a class, and how it wants the weights."""

    name: str
    weights: Callable[[AnyNetwork], Weights]


def _llama_weights(network: AnyNetwork) -> Weights:
    """Put the halves of a head that rotate together side by side, as this architecture does."""
    config = network.config
    weights: Weights = dict(network.named_parameters())
    for name, weight in weights.items():
        if re.search(r"self_attn\.[qk]_proj", name):
            pairs = weight.unflatten(0, (-1, 2, config.head_width // 2))
            weights[name] = pairs.transpose(1, 2).flatten(0, 2)
    return weights


def _gpt2_weights(network: AnyNetwork) -> Weights:
    """Queries, keys and values in one matrix, none transposed."""
    return {
        name: weight.T if weight.dim() == 2 and name.startswith("layers.") else weight
        for name, weight in gpt2(completed(network), network.config).items()
    }


ARCHITECTURES = {
    LLAMA.architecture: Architecture("llama", _llama_weights),
    QWEN3.architecture: Architecture("qwen3", lambda network: dict(network.named_parameters())),
    GPT2.architecture: Architecture("gpt2", _gpt2_weights),
}


def write(
    network: AnyNetwork,
    vocabulary: Vocabulary,
    path: Path,
    name: str,
    precision: str = "float32",
    chat_template: str | None = None,
) -> None:
    """Write the file, whole or not at all; vectors stay float32 whatever the precision.

    `chat_template` is how conversations are written (Jinja), of a model that was taught some.
    Raises ConfigError if llama.cpp has no such network or tokenizer.
    """
    layout = layout_of(network.config)
    if layout.architecture not in ARCHITECTURES:
        raise ConfigError(
            f"llama.cpp computes no {layout.architecture}; GGUF takes decoders made as "
            f"{', '.join(ARCHITECTURES)}. Use --format hf or --format onnx"
        )
    kind = ARCHITECTURES[layout.architecture]
    if kind.name == "gpt2" and network.config.activation != "gelu_tanh":
        raise ConfigError(
            f"llama.cpp's gpt2 has the activation 'gelu_tanh', the network has "
            f"{network.config.activation!r}. Use --format hf or --format onnx"
        )
    with storage.whole_file(path) as temporary:
        writer = gguf.GGUFWriter(temporary, kind.name)
        writer.add_name(name)
        _add_shape(writer, network.config, network.vocab_size)
        _add_tokenizer(writer, vocabulary)
        if chat_template is not None:
            writer.add_chat_template(chat_template)
        writer.add_file_type(PRECISIONS[precision][1])
        for ours, weight in kind.weights(network).items():
            _add_weight(writer, ours, weight, PRECISIONS[precision][0])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _add_shape(writer: Any, config: ModelConfig, vocab_size: int) -> None:
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.heads)
    writer.add_vocab_size(vocab_size)
    if config.norm == "layernorm":
        writer.add_layer_norm_eps(config.norm_epsilon)
        return
    writer.add_head_count_kv(config.kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_rope_dimension_count(config.head_width)
    writer.add_key_length(config.head_width)
    writer.add_value_length(config.head_width)


def _add_tokenizer(writer: Any, vocabulary: Vocabulary) -> None:
    if vocabulary.model_type != "bpe":
        raise ConfigError(
            f"llama.cpp would cut text otherwise than this {vocabulary.model_type} tokenizer: its "
            f"unigram has no byte fallback. Train with tokenizer.model_type = 'bpe', or use "
            f"--format hf or --format onnx"
        )
    writer.add_tokenizer_model("llama")  # merges by score, as SentencePiece's BPE
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece.encode() for piece in vocabulary.pieces])
    writer.add_token_scores(vocabulary.scores.tolist())
    writer.add_token_types(vocabulary.types.tolist())  # the numbers are SentencePiece's
    writer.add_bos_token_id(Tokenizer.bos_id)
    writer.add_eos_token_id(Tokenizer.eos_id)
    writer.add_unk_token_id(Tokenizer.unk_id)
    writer.add_pad_token_id(Tokenizer.pad_id)
    writer.add_add_bos_token(True)  # documents begin with it in training
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(vocabulary.add_dummy_prefix)
    writer.add_remove_extra_whitespaces(vocabulary.remove_extra_whitespaces)


def _add_weight(writer: Any, ours: str, weight: torch.Tensor, kind: Storage) -> None:
    name = ours
    for pattern, theirs in _BLOCK_NAMES:
        name = re.sub(pattern, theirs, name)
    values = np.ascontiguousarray(weight.detach().cpu().float().numpy())
    rows_fit = kind != Storage.Q8_0 or values.shape[-1] % Q8_BLOCK == 0
    positions = name.startswith("position_embd")  # added to activations, which are float32
    if values.ndim == 1 or positions or not rows_fit:
        kind = Storage.F32
    writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
