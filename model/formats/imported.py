"""Networks that others trained: folders of Llama, Mistral, Qwen2 and Qwen3 as they are published.

Weights may be in several files and in bfloat16; what our blocks cannot do is refused by name.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from model.formats.file_names import WEIGHTS
from model.network.architecture import ALL_BIASES, MLP_BIASES, NO_BIASES, ModelConfig
from model.network.families import AnyNetwork

INDEX = "model.safetensors.index.json"
HEAD = "lm_head.weight"
# Biases that are keys of the config where they can be chosen, and given where they cannot.
QKV_BIASED = ("qwen2",)
MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")


def model_config(stored: dict[str, Any]) -> ModelConfig:
    """Return the options of a folder's config.json.

    Raises ValueError for a model_type or an option that no network here has, KeyError for a key
    that is missing.
    """
    kind = stored["model_type"]
    if kind not in MODEL_TYPES:
        raise ValueError(f"model_type {kind!r} is none that is read here: {', '.join(MODEL_TYPES)}")
    _refuse_other_parts(stored)
    attention = kind in QKV_BIASED or stored.get("attention_bias", False)
    mlp = stored.get("mlp_bias", False)
    return ModelConfig(
        layers=stored["num_hidden_layers"],
        width=stored["hidden_size"],
        heads=stored["num_attention_heads"],
        kv_heads=stored.get("num_key_value_heads") or stored["num_attention_heads"],
        hidden=stored["intermediate_size"],
        context=stored["max_position_embeddings"],
        rope_theta=_rope(stored).get("rope_theta", 10_000.0),
        norm_epsilon=stored["rms_norm_eps"],
        tied_embeddings=stored.get("tie_word_embeddings", False),
        qk_norm=kind == "qwen3",
        biases=ALL_BIASES if attention else MLP_BIASES if mlp else NO_BIASES,
    )


def _rope(stored: dict[str, Any]) -> dict[str, Any]:
    """Return what is said of rotary positions, in the way of transformers 4 or of 5."""
    old = {"rope_theta": stored["rope_theta"]} if "rope_theta" in stored else {}
    return old | (stored.get("rope_parameters") or stored.get("rope_scaling") or {})


def _refuse_other_parts(stored: dict[str, Any]) -> None:
    rope = _rope(stored)
    scaling = rope.get("rope_type", rope.get("type", "default"))
    window = stored.get("sliding_window") or stored["max_position_embeddings"]
    slides = stored.get("use_sliding_window", stored["model_type"] == "mistral")
    head = stored["hidden_size"] // stored["num_attention_heads"]
    for fits, reason in (
        (stored.get("hidden_act", "silu") == "silu", f"hidden_act {stored.get('hidden_act')!r}"),
        (scaling == "default", f"rotary positions of the type {scaling!r}"),
        (rope.get("partial_rotary_factor", 1.0) == 1.0, "rotary positions of part of a head"),
        (
            not slides or window >= stored["max_position_embeddings"],
            f"a sliding window of {window} tokens",
        ),
        ((stored.get("head_dim") or head) == head, f"heads of {stored.get('head_dim')} numbers"),
        ("quantization_config" not in stored, "quantized weights"),
    ):
        if not fits:
            raise ValueError(f"{reason}: the networks here have no such part")


def load_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return a folder's weights in float32, from one safetensors file or from all of its index."""
    if (folder / WEIGHTS).is_file():
        files = {WEIGHTS}
    else:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        files = set(index["weight_map"].values())
        if any(Path(name).name != name for name in files):
            raise ValueError(f"{INDEX} names files outside the folder")
    weights: dict[str, torch.Tensor] = {}
    for name in sorted(files):
        weights |= load_file(folder / name)
    return {name: weight.float() for name, weight in weights.items()}


def adapted(named: dict[str, torch.Tensor], network: AnyNetwork) -> dict[str, torch.Tensor]:
    """Add zeros for biases that Qwen2 lacks beside those it has; drop a tied head's copy."""
    wanted = dict(network.named_parameters())
    absent = {name for name in wanted.keys() - named.keys() if name.endswith("_proj.bias")}
    weights = named | {name: torch.zeros_like(wanted[name]) for name in absent}
    tied = network.config.tied_embeddings
    return {name: weights[name] for name in weights if not (tied and name == HEAD)}
