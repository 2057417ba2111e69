"""The model folder: safetensors and JSON in the Llama layout that other tools load."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from model.gpt import GPT, ModelConfig
from pipeline import storage
from pipeline.errors import ArtifactError
from pipeline.tokenizer import load_tokenizer

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.model"
GENERATION = "generation_config.json"
HEAD = "lm_head.weight"


def write(network: GPT, tokenizer_file: Path, place: Callable[[str], Path]) -> None:
    """Write the folder's files to the paths that `place(name)` gives."""
    tokenizer = load_tokenizer(tokenizer_file)
    controls = {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
    }
    storage.write_json(place(CONFIG), llama_config(network.config, network.vocab_size) | controls)
    storage.write_json(place(GENERATION), controls | {"do_sample": True, "temperature": 0.8})
    with storage.whole_file(place(WEIGHTS)) as temporary:
        save_file(llama_weights(network), temporary, metadata={"format": "pt"})
    storage.write_bytes(place(TOKENIZER), tokenizer_file.read_bytes())


def llama_config(config: ModelConfig, vocab_size: int) -> dict[str, Any]:
    """Return the keys by which transformers rebuild this network as LlamaForCausalLM."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab_size,
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
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.tied_embeddings,
        "dtype": "float32",
        "use_cache": True,
    }


def llama_weights(network: GPT) -> dict[str, torch.Tensor]:
    """Return the weights under Llama's names, float32; a tied head is left out."""
    weights = {}
    for name, weight in network.state_dict().items():
        if name == HEAD and network.config.tied_embeddings:
            continue
        key = name if name == HEAD else f"model.{name}"
        weights[key] = weight.detach().to("cpu", torch.float32).contiguous()
    return weights


def read(folder: Path) -> GPT:
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
        network = GPT(_model_config(stored), stored["vocab_size"])
        weights = load_file(folder / WEIGHTS)
        state = {name.removeprefix("model."): weight.float() for name, weight in weights.items()}
        if network.config.tied_embeddings:
            state[HEAD] = state["embed_tokens.weight"]
        network.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ArtifactError(f"{folder}: config and weights cannot be used: {error}") from error
    return network.eval()


def _model_config(stored: dict[str, Any]) -> ModelConfig:
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
    )
