"""A folder that transformers opens: safetensors, config.json, generation_config.json, tokenizer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from model.formats.file_names import CONFIG, GENERATION, WEIGHTS
from model.formats.layouts import TransformersLayout, layout_of, weights_of
from model.formats.reshape import Weights
from model.network.families import AnyNetwork, family_of
from pipeline.store import storage
from pipeline.tokenizer import Tokenizer

CONTROL_IDS = {
    "bos_token_id": Tokenizer.bos_id,
    "eos_token_id": Tokenizer.eos_id,
    "pad_token_id": Tokenizer.pad_id,
}


def write(
    network: AnyNetwork,
    place: Callable[[str], Path],
    own: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> TransformersLayout:
    """Write weights and configs to the paths `place(name)` gives; return the class they are for.

    `own` keys are added to config.json. Raises ConfigError if no class has the network's parts.
    """
    layout = layout_of(network.config)
    storage.write_json(place(CONFIG), config_of(network, layout, dtype) | (own or {}))
    storage.write_json(place(GENERATION), generation_of(network))
    save_weights(weights_of(network, layout), place(WEIGHTS), dtype)
    return layout


def save_weights(weights: Weights, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write tensors as safetensors, row by row, whole or not at all."""
    stored = {
        name: weight.detach().to("cpu", _kind(weight, dtype), copy=True).contiguous()
        for name, weight in weights.items()
    }
    with storage.whole_file(path) as temporary:
        save_file(stored, temporary, metadata={"format": "pt"})


def _kind(weight: torch.Tensor, dtype: torch.dtype) -> torch.dtype:
    return dtype if weight.is_floating_point() else weight.dtype  # counts stay whole numbers


def config_of(
    network: AnyNetwork, layout: TransformersLayout, dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """Return config.json of the class."""
    start = {"decoder_start_token_id": Tokenizer.bos_id}
    return {
        "architectures": [layout.architecture],
        "model_type": layout.model_type,
        "vocab_size": network.vocab_size,
        **layout.keys(network.config),
        **CONTROL_IDS,
        **(start if family_of(network).reads_source else {}),
        "tie_word_embeddings": network.config.tied_embeddings,
        "dtype": str(dtype).removeprefix("torch."),
        "use_cache": family_of(network).generates,
    }


def generation_of(network: AnyNetwork) -> dict[str, Any]:
    """Return generation_config.json: what ends a text, and how one is drawn unless told."""
    if family_of(network).reads_source:
        start = {"decoder_start_token_id": Tokenizer.bos_id, "forced_eos_token_id": None}
        return CONTROL_IDS | start | {"max_length": network.config.context, "num_beams": 4}
    return CONTROL_IDS | {"do_sample": True, "temperature": 0.8}
