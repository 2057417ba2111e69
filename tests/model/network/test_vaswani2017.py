"""The 2017 Transformer, layer by layer against torch.nn.Transformer with the same weights."""

import math
import warnings

import pytest
import torch
from torch import nn

from model.network.architecture import ModelConfig, preset
from model.network.families import build
from model.network.networks import EncoderDecoder

VOCABULARY, WIDTH, HEADS, LAYERS = 70, 32, 4, 3
SIZES = {"layers": LAYERS, "width": WIDTH, "heads": HEADS, "kv_heads": HEADS, "hidden": 64,
         "context": 40}  # fmt: skip


@pytest.fixture(params=["mlp", "all"])
def pair(request):
    """Our network and torch's with the same weights, in float64; biases as in the paper or all."""
    torch.manual_seed(2)
    config = ModelConfig(**{**preset("vaswani2017"), **SIZES, "biases": request.param})
    ours = build(config, VOCABULARY).double().eval()
    for weight in ours.parameters():  # norms and biases other than one and zero
        nn.init.normal_(weight, mean=0.1, std=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = nn.Transformer(
            WIDTH, HEADS, LAYERS, LAYERS, 64, dropout=0.1, activation="relu",
            batch_first=True, norm_first=False, layer_norm_eps=config.norm_epsilon,
        ).double().eval()  # fmt: skip
    # the paper ends with the last layer's norm; torch adds one more to each stack
    theirs.encoder.norm = theirs.decoder.norm = nn.Identity()
    with torch.no_grad():
        for mine, other in zip(ours.encoder.layers, theirs.encoder.layers, strict=True):
            copy_layer(mine, other)
        for mine, other in zip(ours.decoder.layers, theirs.decoder.layers, strict=True):
            copy_layer(mine, other)
            copy_attention(mine.cross_attn, other.multihead_attn)
            copy_(mine.cross_attention_layernorm, other.norm2)
    return ours, theirs


def copy_(mine, other):
    other.weight.copy_(mine.weight)
    if mine.bias is None:
        other.bias.zero_()
    else:
        other.bias.copy_(mine.bias)


def copy_attention(mine, other):
    projections = (mine.q_proj, mine.k_proj, mine.v_proj)
    other.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
    if mine.q_proj.bias is None:
        other.in_proj_bias.zero_()
    else:
        other.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
    copy_(mine.o_proj, other.out_proj)


def copy_layer(mine, other):
    copy_attention(mine.self_attn, other.self_attn)
    copy_(mine.input_layernorm, other.norm1)
    copy_(mine.mlp.up_proj, other.linear1)
    copy_(mine.mlp.down_proj, other.linear2)
    copy_(mine.post_attention_layernorm, getattr(other, "norm3", None) or other.norm2)


def outputs_of(layers, run):
    """Run and return what every layer gave."""
    found = []
    hooks = [layer.register_forward_hook(lambda *args: found.append(args[2])) for layer in layers]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return found


def embedded(ours, ids):
    """Section 3.4 and 3.5 by hand: sqrt(width) times the embedding, plus sines and cosines."""
    positions = torch.arange(ids.shape[1], dtype=torch.float64)[:, None]
    angles = positions / 10_000 ** (torch.arange(0, WIDTH, 2, dtype=torch.float64) / WIDTH)
    table = torch.empty(ids.shape[1], WIDTH, dtype=torch.float64)
    table[:, 0::2], table[:, 1::2] = angles.sin(), angles.cos()
    return ours.embed_tokens.weight[ids] * math.sqrt(WIDTH) + table


def test_every_layer_gives_what_torch_gives(pair):
    ours, theirs = pair
    assert isinstance(ours, EncoderDecoder)
    source = torch.randint(0, VOCABULARY, (3, 11))
    target = torch.randint(0, VOCABULARY, (3, 9))
    padding = torch.arange(11) >= torch.tensor([[11], [8], [5]])
    causal = nn.Transformer.generate_square_subsequent_mask(9, dtype=torch.float64)
    memory = []

    def run_theirs():
        source_BSD = embedded(ours, source)
        memory.append(theirs.encoder(source_BSD, src_key_padding_mask=padding))
        theirs.decoder(
            embedded(ours, target), memory[0], tgt_mask=causal, memory_key_padding_mask=padding
        )

    for mine, other in ((ours.encoder, theirs.encoder), (ours.decoder, theirs.decoder)):
        found = outputs_of(mine.layers, lambda: ours(source, target, ~padding))
        theirs.train()  # torch's fused path skips hooks and masks; without dropout it is the same
        for module in theirs.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            if isinstance(module, nn.MultiheadAttention):
                module.dropout = 0.0
        wanted = outputs_of(other.layers, run_theirs)
        assert len(found) == len(wanted) == LAYERS
        real = ~padding if mine is ours.encoder else slice(None)
        for one, another in zip(found, wanted, strict=True):
            torch.testing.assert_close(one[real], another[real], rtol=1e-5, atol=1e-5)


def test_the_head_is_the_embedding(pair):
    ours, _ = pair
    source, target = torch.randint(0, VOCABULARY, (2, 2, 7))
    with torch.no_grad():
        hidden = ours.hidden(target, source=ours.encode(source))
        wanted = hidden @ ours.encoder.embed_tokens.weight.T
        torch.testing.assert_close(ours(source, target), wanted)
    assert ours.decoder.embed_tokens is ours.encoder.embed_tokens


def test_its_size_is_that_of_the_paper():
    """Table 3: the base model has 65 million parameters with a vocabulary of about 37,000."""
    sizes = {"layers": 6, "width": 512, "heads": 8, "kv_heads": 8, "hidden": 2048, "context": 64}
    with torch.device("meta"):
        network = build(ModelConfig(**{**preset("vaswani2017"), **sizes}), 37_000)
    assert network.parameter_count() == pytest.approx(65e6, rel=0.04)
