"""Exported folders, opened by transformers: the same logits as ours, for every class there is."""

import pytest
import torch

from model.formats import huggingface
from model.formats.layouts import LAYOUTS, layout_of
from model.network.architecture import ENCODER, ENCODER_DECODER, PRESETS, ModelConfig
from model.network.families import build
from pipeline.errors import ConfigError

SIZES = {"layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "hidden": 48, "context": 24}
VOCABULARY = 70
CLASSES = {  # a design for every class, and options that a class takes by zeros or repetition
    "llama": "LlamaForCausalLM",
    "qwen": "Qwen3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "bert": "BertForMaskedLM",
    "modern_encoder": "EuroBertForMaskedLM",
    "bart": "BartForConditionalGeneration",
    "vaswani2017": "MarianMTModel",
}
VARIANTS = [
    ("llama", {"biases": "all"}, "LlamaForCausalLM"),
    ("llama", {"biases": "mlp", "tied_embeddings": False}, "LlamaForCausalLM"),
    ("modern_encoder", {"biases": "mlp"}, "EuroBertForMaskedLM"),
    ("gpt2", {"biases": "none", "positions": "sinusoidal"}, "GPT2LMHeadModel"),
    ("gpt2", {"tied_embeddings": False, "activation": "relu"}, "GPT2LMHeadModel"),
    ("bert", {"tied_embeddings": False, "positions": "sinusoidal"}, "BertForMaskedLM"),
    ("bart", {"norm_place": "pre"}, "MBartForConditionalGeneration"),
    ("bart", {"tied_embeddings": False, "scaled_embeddings": True}, "BartForConditionalGeneration"),
    ("vaswani2017", {"norm_place": "pre"}, "PegasusForConditionalGeneration"),
    ("vaswani2017", {"tied_embeddings": False, "biases": "all"}, "MarianMTModel"),
]


def network_of(preset: str, **more):
    """Weights far from their first values, so that a wrong or missing one shows."""
    torch.manual_seed(5)
    network = build(ModelConfig(**{**SIZES, **PRESETS[preset], **more}), VOCABULARY).eval()
    generator = torch.Generator().manual_seed(6)
    for weight in network.parameters():
        with torch.no_grad():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    return network


def opened(network, folder, dtype):
    transformers = pytest.importorskip("transformers")
    layout = huggingface.write(network, lambda name: folder / name, dtype=dtype)
    config = transformers.AutoConfig.from_pretrained(folder)
    found, report = getattr(transformers, layout.architecture).from_pretrained(
        folder, config=config, dtype=dtype, output_loading_info=True
    )
    assert not report["missing_keys"], report
    assert not report["unexpected_keys"], report
    return found.eval()


def both_logits(network, theirs):
    """Logits of rows of 20 and of 13 ids, padded, at their real places."""
    ids_BT = torch.randint(4, VOCABULARY, (2, 20), generator=torch.Generator().manual_seed(7))
    attention_mask_BT = torch.ones_like(ids_BT, dtype=torch.bool)
    attention_mask_BT[1, 13:] = False
    if network.config.family == ENCODER_DECODER:
        target_BT = torch.randint(4, VOCABULARY, (2, 9))
        mine = network(ids_BT, target_BT, attention_mask_BT)
        mask = attention_mask_BT.long()
        other = theirs(input_ids=ids_BT, attention_mask=mask, decoder_input_ids=target_BT)
        return mine, other.logits
    masked = {"attention_mask": attention_mask_BT.long()}
    mine = (
        network(ids_BT, attention_mask_BT) if network.config.family == ENCODER else network(ids_BT)
    )
    return mine[attention_mask_BT], theirs(input_ids=ids_BT, **masked).logits[attention_mask_BT]


@pytest.mark.parametrize(
    ("preset", "more", "architecture"),
    [(name, {}, architecture) for name, architecture in CLASSES.items()] + VARIANTS,
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_transformers_gives_the_same_logits(preset, more, architecture, dtype, tmp_path):
    network = network_of(preset, **more).to(dtype)
    theirs = opened(network, tmp_path, dtype)
    assert type(theirs).__name__ == architecture
    with torch.no_grad():
        mine, other = both_logits(network, theirs)
    assert mine.dtype == other.dtype == dtype
    limit = 1e-5 if dtype == torch.float32 else 1e-6  # their angles and tables are float32 in both
    assert (mine - other).abs().max() < limit * mine.abs().max()


def test_every_class_has_a_design_that_becomes_it():
    shown = {*CLASSES.values(), *(architecture for _, _, architecture in VARIANTS)}
    assert shown == {layout.architecture for layout in LAYOUTS}


def test_vllm_lists_each_class_that_a_decoder_becomes():
    """Those of its models of text, as its registry of 2026 has them, that are ours too."""
    listed = {"LlamaForCausalLM", "Qwen3ForCausalLM", "GPT2LMHeadModel"}
    decoders = [ModelConfig(**row) for row in PRESETS.values()]
    decoders = [
        config
        for config in decoders
        if config.family not in (ENCODER, ENCODER_DECODER) and not config.ngram_orders
    ]
    assert {layout_of(config).architecture for config in decoders} <= listed


def test_no_class_holds_embeddings_of_ngrams():
    with pytest.raises(ConfigError, match=r"Qwen3ForCausalLM, wants model.ngram_orders = \[\]"):
        layout_of(ModelConfig(**PRESETS["ngram"]))
    with pytest.raises(ConfigError, match="--format onnx"):
        layout_of(ModelConfig(**PRESETS["llama"], ngram_orders=(2,)))


def test_a_network_that_no_class_is_made_of_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"--format onnx"):
        layout_of(ModelConfig(**PRESETS["modern_encoder_decoder"]))
    with pytest.raises(ConfigError, match=r"GPT2LMHeadModel, wants model.norm_place = 'pre'"):
        layout_of(ModelConfig(**PRESETS["gpt2"], norm_place="post"))
