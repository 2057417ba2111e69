"""Weights as other classes hold them: the same function of the ids, other tensors.

Names are ours here; `model/formats/layouts.py` renames them afterwards. D width, V vocabulary.
"""

import torch
from torch import Tensor, nn

from model.network.architecture import NO_BIASES, SINUSOIDAL, ModelConfig
from model.network.blocks import Attention
from model.network.families import AnyNetwork
from model.network.stack import Stack

Weights = dict[str, Tensor]
INTO_STREAM = ("o_proj", "down_proj", "norm")  # what they give is the residual stream
BART_OFFSET = 2  # its table of positions begins with two rows that are never read


def completed(network: AnyNetwork) -> Weights:
    """Return weights with every bias, a key head for every query head, and a position table.

    Missing biases are zeros, shared key heads are repeated, sinusoidal positions written out.
    """
    weights: Weights = dict(network.named_parameters())
    for name, module in network.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is None:
            weights[f"{prefix}bias"] = module.weight.new_zeros(module.weight.shape[0])
        if isinstance(module, Stack) and module.config.positions == SINUSOIDAL:
            weights[f"{prefix}embed_positions.weight"] = module.positions_SD
    shared = network.config.heads // network.config.kv_heads
    for name, module in network.named_modules():
        if isinstance(module, Attention) and shared > 1:
            for part in ("k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias"):
                heads = weights[f"{name}.{part}"].unflatten(0, (-1, module.head_width))
                weights[f"{name}.{part}"] = heads.repeat_interleave(shared, 0).flatten(0, 1)
    return weights


def eurobert(weights: Weights, config: ModelConfig) -> Weights:
    """Give the head a bias where feed-forward layers have one."""
    if config.biases == NO_BIASES:
        return weights
    table_VD = weights["embed_tokens.weight"]
    return weights | {"lm_head.bias": table_VD.new_zeros(len(table_VD))}


def gpt2(weights: Weights, config: ModelConfig) -> Weights:
    """Put queries, keys and values into one matrix; transpose the matrices of layers."""
    fused: Weights = {}
    for name, weight in without_head_bias(weights).items():
        if "q_proj" in name:
            weight = torch.cat([weights[name.replace("q_proj", f"{part}_proj")] for part in "qkv"])
            name = name.replace("q_proj", "qkv_proj")
        elif "k_proj" in name or "v_proj" in name:
            continue
        is_layer_matrix = name.startswith("layers.") and weight.dim() == 2
        fused[name] = weight.T if is_layer_matrix else weight
    return fused


def bert(weights: Weights, config: ModelConfig) -> Weights:
    """Add a sentence type that adds nothing; the head's bias has two names."""
    bias_V = weights["lm_head.bias"]
    types_1D = bias_V.new_zeros(1, config.width)
    return weights | {"token_type_embeddings.weight": types_1D, "cls.predictions.bias": bias_V}


def bart(weights: Weights, config: ModelConfig) -> Weights:
    """Let positions begin at row 2 of their table, and name the shared embedding."""
    renamed: Weights = {}
    for name, weight in without_head_bias(weights).items():
        if name.endswith("embed_positions.weight"):
            weight = torch.cat((weight.new_zeros(BART_OFFSET, config.width), weight))
        renamed[name] = weight
    return shared_embedding(renamed, config)


def marian(weights: Weights, config: ModelConfig) -> Weights:
    """Put the width in the order of Marian's position table: all sines, then all cosines.

    Readers that make the table themselves then agree with the stored one; a network does the same
    in any order of its residual stream.
    """
    order_D = torch.cat((torch.arange(0, config.width, 2), torch.arange(1, config.width, 2)))
    renamed: Weights = {}
    for name, weight in without_head_bias(weights).items():
        if any(part in name for part in INTO_STREAM):
            weight = weight[order_D]
        elif weight.dim() == 2:
            weight = weight[:, order_D]
        renamed[name] = weight
    return shared_embedding(renamed, config)


def without_head_bias(weights: Weights) -> Weights:
    """Leave out the zeros that `completed` gave a head which has no bias in the class either."""
    return {name: weight for name, weight in weights.items() if name != "lm_head.bias"}


def shared_embedding(weights: Weights, config: ModelConfig) -> Weights:
    """Name the embedding of both stacks; untied from the head it is stored under every name."""
    table_VD = weights.pop("encoder.embed_tokens.weight")
    weights["shared.weight"] = table_VD
    if not config.tied_embeddings:
        weights |= {f"{stack}.embed_tokens.weight": table_VD for stack in ("encoder", "decoder")}
    return weights
