"""Folders that transformers wrote, opened by us: the same logits; what we cannot do is refused."""

import json

import pytest
import torch

from model.formats import model_folder
from model.formats.imported import model_config
from pipeline.errors import ArtifactError

SIZES = {
    "vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 40,
    "pad_token_id": 3,
}  # fmt: skip


def saved(name: str, folder, shard="1GB", dtype=torch.float32, **options):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(4)
    config = getattr(transformers, f"{name}Config")(**SIZES, **options)
    network = getattr(transformers, f"{name}ForCausalLM")(config).to(dtype).eval()
    for weight in network.parameters():
        with torch.no_grad():
            weight.add_(torch.randn_like(weight) * 0.1)
    network.save_pretrained(folder, max_shard_size=shard)
    return network


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Llama", {"tie_word_embeddings": True, "rope_parameters":
                   {"rope_type": "default", "rope_theta": 500_000.0}}),
        ("Llama", {"attention_bias": True, "mlp_bias": True, "rms_norm_eps": 1e-6}),
        ("Mistral", {"sliding_window": None}),
        ("Qwen2", {"tie_word_embeddings": True}),
        ("Qwen3", {"head_dim": 8}),
    ],
)  # fmt: skip
def test_a_folder_made_by_transformers_has_the_same_logits_here(name, options, tmp_path):
    theirs = saved(name, tmp_path, **options)
    ours = model_folder.read(tmp_path)
    ids_BT = torch.randint(4, 90, (2, 30))
    with torch.no_grad():
        mine, other = ours(ids_BT), theirs(ids_BT).logits
    assert (mine - other).abs().max() < 1e-5 * other.abs().max()


def test_weights_in_several_files_and_bfloat16_are_read(tmp_path):
    transformers = pytest.importorskip("transformers")
    saved("Llama", tmp_path, shard="20KB", dtype=torch.bfloat16)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    ours = model_folder.read(tmp_path)
    ids_BT = torch.randint(4, 90, (1, 30))
    with torch.no_grad():
        other = theirs(ids_BT).logits
        assert (ours(ids_BT) - other).abs().max() < 1e-5 * other.abs().max()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "mamba"}, "mamba"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "llama3"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "linear"),
        ({"use_sliding_window": True, "sliding_window": 8}, "sliding window of 8"),
        ({"head_dim": 64}, "heads of 64"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"quantization_config": {"bits": 4}}, "quantized"),
    ],
)
def test_parts_we_do_not_have_are_named(change, named):
    stored = {**SIZES, "model_type": "llama", "rms_norm_eps": 1e-5, **change}
    with pytest.raises(ValueError, match=named):
        model_config(stored)


def test_an_index_cannot_reach_outside_its_folder(tmp_path):
    saved("Llama", tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path.parent / "outside.safetensors")
    index = {"weight_map": {"lm_head.weight": "../outside.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ArtifactError, match="outside the folder"):
        model_folder.read(tmp_path)
