"""What training a network costs by formula: parameters, floating-point operations, memory, disk.

Shapes: T context, D width, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import nn

from model.network import families
from model.network.architecture import ModelConfig
from model.training.config import TrainConfig

BYTES_PER_NUMBER = 4  # weights, gradients and moments are float32 in every precision
# AdamW's two moments; no optimizer here keeps more.
MOMENTS_MAX = 2
# Floats kept per token and layer for the backward pass, in units of the width and of the hidden
# width: norms, projections, rotated copies, probabilities; upper figures of eager float32.
WIDTHS_PER_LAYER, HIDDENS_PER_LAYER = 24, 4
LOGITS_KEPT = 3  # logits, log-softmax and gradient


@dataclass(frozen=True)
class Size:
    """A network's numbers: all parameters, those that take part in products, FLOPs per token."""

    parameters: int
    multiplied: int
    flops_per_token: int


def size_of(config: ModelConfig, vocab_size: int) -> Size:
    """Return the size of a network without giving memory to it; random state is kept.

    Training takes 6 FLOPs per multiplied weight and token, and 12 per layer, width and position
    attended to (Chowdhery et al. 2022, appendix B; causal attention is counted in full, as is
    usual). In an encoder-decoder each token of a window passes one of the two stacks.
    """
    with torch.random.fork_rng(), torch.device("meta"):
        network = families.build(config, vocab_size)
    layers = [part for part in network.modules() if isinstance(part, nn.Linear)]
    multiplied = sum(part.in_features * part.out_features for part in layers)
    passed = multiplied
    if families.FAMILIES[config.family].reads_source:
        head = vocab_size * config.width
        passed = head + (multiplied - head) // 2
    attended = 12 * config.layers * config.width * config.context
    return Size(network.parameter_count(), multiplied, 6 * passed + attended)


def state_bytes(parameters: int) -> int:
    """Return the memory of weights, gradients and moments."""
    return (2 + MOMENTS_MAX) * BYTES_PER_NUMBER * parameters


def activation_bytes(config: TrainConfig, vocab_size: int) -> int:
    """Return about what a micro-batch leaves for its backward pass."""
    shape = config.model
    tokens = (config.micro_batch_size or config.batch_size) * shape.context
    layer = WIDTHS_PER_LAYER * shape.width + HIDDENS_PER_LAYER * shape.hidden
    kept = shape.layers * layer + LOGITS_KEPT * vocab_size
    return tokens * kept * BYTES_PER_NUMBER


def checkpoint_bytes(config: TrainConfig, parameters: int) -> int:
    """Return the size of one checkpoint: weights, moments and, where there is one, an average."""
    tables = 1 + MOMENTS_MAX + (config.ema_decay is not None)
    return tables * BYTES_PER_NUMBER * parameters


def disk_bytes(config: TrainConfig, parameters: int, corpus_tokens: int, vocab_size: int) -> int:
    """Return the most that training has on disk: checkpoints, one more being written, the best,
    the exported model, and the corpus as one file of ids.
    """
    checkpoints = (config.keep_checkpoints + 2) * checkpoint_bytes(config, parameters)
    per_token = 2 if vocab_size <= 1 << 16 else 4
    return checkpoints + BYTES_PER_NUMBER * parameters + per_token * corpus_tokens
