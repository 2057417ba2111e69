"""The model folder: safetensors and JSON, in a layout that other tools load where one fits.

A decoder with the parts of Llama or Qwen3 is stored under their names, so the folder itself loads
in transformers, tokenizer included; other networks keep our names (`textmill export` converts
them). The key OWN of config.json holds the whole ModelConfig; other tools pass it by.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from model.architecture import ALL_BIASES, NO_BIASES, ModelConfig
from model.networks import AnyNetwork, build
from pipeline import storage, tokenizer_json
from pipeline.errors import ArtifactError, ConfigError
from pipeline.tokenizer import load_tokenizer

logger = logging.getLogger(__name__)

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.model"
GENERATION = "generation_config.json"
HEAD, TRUNK = "lm_head.weight", "model."
OWN = "textmill"
# What a Llama is; biases are options of it, normalised queries and keys make it a Qwen3.
LLAMA_PARTS = ("family", "norm", "norm_place", "activation", "positions",
               "scaled_embeddings", "embedding_norm")  # fmt: skip


def write(network: AnyNetwork, tokenizer_file: Path, place: Callable[[str], Path]) -> None:
    """Write the folder's files to the paths that `place(name)` gives."""
    config = network.config
    layout = llama_config(config) or {}
    controls = control_ids(tokenizer_file)
    own = {"vocab_size": network.vocab_size, OWN: asdict(config)}
    storage.write_json(place(CONFIG), layout | controls | own)
    storage.write_json(place(GENERATION), controls | {"do_sample": True, "temperature": 0.8})
    save_weights(named_weights(network), place(WEIGHTS))
    model = tokenizer_file.read_bytes()
    storage.write_bytes(place(TOKENIZER), model)
    try:
        tokenizer_json.write(model, place, config.context)
    except ConfigError as error:
        logger.warning("transformers cannot load the tokenizer of this model: %s", error)


def control_ids(tokenizer_file: Path) -> dict[str, int]:
    """Return the ids of control tokens under the names transformers knows."""
    tokenizer = load_tokenizer(tokenizer_file)
    return {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
    }


def save_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Write tensors as safetensors, whole or not at all."""
    with storage.whole_file(path) as temporary:
        save_file(weights, temporary, metadata={"format": "pt"})


def named_weights(network: AnyNetwork) -> dict[str, torch.Tensor]:
    """Return the weights under the names of the model folder: float32, tied ones once."""
    trunk = TRUNK if llama_config(network.config) else ""
    return {
        name if name == HEAD else trunk + name: plain(weight)
        for name, weight in network.named_parameters()
    }


def plain(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight as files hold it: float32, on the CPU, row by row."""
    return weight.detach().to("cpu", torch.float32).contiguous()


def llama_config(config: ModelConfig) -> dict[str, Any] | None:
    """Return the keys by which transformers rebuild a Llama or Qwen3, None if it is neither."""
    like = ModelConfig()
    if any(getattr(config, part) != getattr(like, part) for part in LLAMA_PARTS):
        return None
    if config.biases != NO_BIASES and config.qk_norm:
        return None
    return {
        "architectures": ["Qwen3ForCausalLM" if config.qk_norm else "LlamaForCausalLM"],
        "model_type": "qwen3" if config.qk_norm else "llama",
        "hidden_size": config.width,
        "intermediate_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_width,
        "hidden_act": "silu",
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_bias": config.biases == ALL_BIASES,
        "mlp_bias": config.biases != NO_BIASES,
        "tie_word_embeddings": config.tied_embeddings,
        "dtype": "float32",
        "use_cache": True,
    }


def read(folder: Path) -> AnyNetwork:
    """Build the network of a model folder; nothing in it is executed.

    Raises ArtifactError naming the file that is missing, broken or does not fit.
    """
    for name in (CONFIG, WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise ArtifactError(
                f"{folder}: not a model folder, {name} is missing; give the artifact of `train` "
                f"or models:/NAME@champion"
            )
    try:
        stored = storage.read_json(folder / CONFIG)
        network = build(_model_config(stored), stored["vocab_size"])
        _fill(network, load_file(folder / WEIGHTS))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError, ConfigError) as error:
        raise ArtifactError(f"{folder}: config and weights cannot be used: {error}") from error
    return network.eval()


def _fill(network: AnyNetwork, weights: dict[str, torch.Tensor]) -> None:
    """Copy a file's weights into the network; every parameter must be there, and no other."""
    named = {name.removeprefix(TRUNK): weight for name, weight in weights.items()}
    wanted = dict(network.named_parameters())
    if named.keys() != wanted.keys():
        odd = sorted(named.keys() ^ wanted.keys())
        raise ValueError(f"{len(odd)} weights are missing or not of this network, as {odd[0]!r}")
    with torch.no_grad():
        for name, weight in wanted.items():
            if weight.shape != named[name].shape:
                found, shape = tuple(named[name].shape), tuple(weight.shape)
                raise ValueError(f"{name} is {found}, the network's is {shape}")
            weight.copy_(named[name])


def _model_config(stored: dict[str, Any]) -> ModelConfig:
    """Return the stored config, or that of a Llama or Qwen3 folder made elsewhere or earlier."""
    if OWN in stored:
        return ModelConfig(**stored[OWN])
    if stored["model_type"] not in ("llama", "qwen3"):
        raise ValueError(f"model_type {stored['model_type']!r} is none that is read here")
    biases = ALL_BIASES if stored.get("attention_bias") else NO_BIASES
    return ModelConfig(
        layers=stored["num_hidden_layers"],
        width=stored["hidden_size"],
        heads=stored["num_attention_heads"],
        kv_heads=stored["num_key_value_heads"],
        hidden=stored["intermediate_size"],
        context=stored["max_position_embeddings"],
        rope_theta=stored["rope_theta"],
        norm_epsilon=stored["rms_norm_eps"],
        tied_embeddings=stored["tie_word_embeddings"],
        qk_norm=stored["model_type"] == "qwen3",
        biases=biases,
    )
