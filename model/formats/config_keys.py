"""What `config.json` of a class of transformers says of a network, in that class's keys."""

from typing import Any

from model.network.architecture import ALL_BIASES, NO_BIASES, ModelConfig

# Ours and transformers' names.
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}


def llama_keys(config: ModelConfig) -> dict[str, Any]:
    """Return Llama's part, which Qwen3 and EuroBERT share."""
    return {
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
    }


def gpt2_keys(config: ModelConfig) -> dict[str, Any]:
    """Return GPT-2's part."""
    return {
        "n_positions": config.context,
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_inner": config.hidden,
        "activation_function": ACTIVATIONS[config.activation],
        "layer_norm_epsilon": config.norm_epsilon,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": 0.0,
    }


def bert_keys(config: ModelConfig) -> dict[str, Any]:
    """Return BERT's part."""
    return {
        "hidden_size": config.width,
        "intermediate_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "hidden_act": ACTIVATIONS[config.activation],
        "max_position_embeddings": config.context,
        "type_vocab_size": 1,
        "layer_norm_eps": config.norm_epsilon,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": 0.0,
    }


def bart_keys(config: ModelConfig) -> dict[str, Any]:
    """Return BART's part, which mBART, Marian and Pegasus share."""
    stack = {"layers": config.layers, "attention_heads": config.heads, "ffn_dim": config.hidden}
    sizes = {f"{side}_{key}": stack[key] for side in ("encoder", "decoder") for key in stack}
    return sizes | {
        "is_encoder_decoder": True,
        "d_model": config.width,
        "num_hidden_layers": config.layers,
        "activation_function": ACTIVATIONS[config.activation],
        "max_position_embeddings": config.context,
        "scale_embedding": config.scaled_embeddings,
        "share_encoder_decoder_embeddings": True,
        "dropout": config.dropout,
        "attention_dropout": 0.0,
        "forced_eos_token_id": None,
    }
