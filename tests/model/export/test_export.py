"""Exports as users make them, read by the programs they are for."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from flows import cli
from model.export import runtimes
from model.export.export import ExportSettings, export_model
from model.export.parity import TEXTS
from model.formats import model_folder
from model.generation.completion import load_model, prompt_ids
from model.generation.generate import SamplingConfig, generate
from model.network.architecture import PRESETS, ModelConfig
from model.network.families import build
from pipeline.errors import ConfigError
from pipeline.tokenizer import load_tokenizer
from tests.model.counted import filled, texts

SIZES = {"layers": 1, "width": 64, "heads": 4, "kv_heads": 2, "hidden": 96, "context": 64}
VOCABULARY = 380


def read_by_parity(model):
    """The ids of the texts that exports are compared on, so that counts know some n-grams."""
    tokenizer = load_tokenizer(model / model_folder.TOKENIZER)
    return [tokenizer.encode(text)[:20] for text in TEXTS]


@pytest.fixture(scope="module")
def model_of(tiny_model, tmp_path_factory):
    """Return a function (preset, options) -> model folder, weights far from their first values."""

    def make(preset: str, **more):
        torch.manual_seed(8)
        config = ModelConfig(**{**SIZES, **PRESETS[preset], **more})
        network = build(config, VOCABULARY).eval()
        for weight in network.parameters():
            with torch.no_grad():
                weight.add_(torch.randn_like(weight) * 0.1)
        if network.config.count_order is not None:
            filled(network, [*texts(VOCABULARY), *map(np.array, read_by_parity(tiny_model))])
        folder = tmp_path_factory.mktemp(preset)
        model_folder.write(network, tiny_model / model_folder.TOKENIZER, lambda name: folder / name)
        return folder

    return make


@pytest.mark.parametrize(
    ("preset", "more", "limit"),
    [
        ("llama", {}, 1e-4),
        ("llama", {"biases": "all", "tied_embeddings": False}, 1e-4),
        ("qwen", {}, 1e-4),
    ],
)
def test_llama_cpp_reads_the_same_model(preset, more, limit, model_of, tmp_path):
    pytest.importorskip("xllamacpp")
    folder = model_of(preset, **more)
    full, small = export_model(
        folder, ["gguf"], tmp_path / "out", ExportSettings(name="tiny", int8=True)
    )
    assert full.comparison.log_prob_difference < limit
    assert full.comparison.same_choices == full.comparison.choices > 0
    assert full.comparison.same_texts == full.comparison.texts
    assert small.file_bytes < 0.45 * full.file_bytes
    assert small.comparison.divergence < 1e-3


def test_a_file_that_says_something_else_is_refused_unless_more_is_accepted(model_of, tmp_path):
    """llama.cpp looks the GELU of GPT-2 up in a table of 16-bit floats."""
    pytest.importorskip("xllamacpp")
    folder, out = model_of("gpt2"), tmp_path / "out"
    command = ["export", str(folder), "--format", "gguf", "--out", str(out), "--name", "tiny"]
    assert cli.main(command) == 1
    assert not out.exists()
    assert cli.main([*command, "--tolerance", "0.01"]) == 0
    (file,) = json.loads((out / "export.json").read_text())
    assert 1e-3 < file["comparison"]["log_prob_difference"] < 1e-2
    assert file["comparison"]["same_texts"] == file["comparison"]["texts"]


@pytest.mark.parametrize(
    ("preset", "more"),
    [
        ("ngram", {}),
        ("ngram", {"count_order": 4}),
        pytest.param("gpt2", {}, marks=pytest.mark.slow),
        pytest.param("modern_encoder", {}, marks=pytest.mark.slow),
        pytest.param("vaswani2017", {}, marks=pytest.mark.slow),
        pytest.param("modern_encoder_decoder", {}, marks=pytest.mark.slow),
    ],
)
def test_onnxruntime_reads_the_same_model(preset, more, model_of, tmp_path):
    pytest.importorskip("onnxruntime")
    (full,) = export_model(
        model_of(preset, **more), ["onnx"], tmp_path / "out", ExportSettings(name="tiny")
    )
    assert full.comparison.log_prob_difference < 1e-4
    assert full.comparison.same_choices == full.comparison.choices


@pytest.fixture(scope="module")
def exported(model_of, tmp_path_factory):
    """Return (model folder, export folder) of a Llama in every format, 8-bit ones too."""
    for package in ("transformers", "xllamacpp", "onnxruntime"):
        pytest.importorskip(package)
    folder, out = model_of("llama"), tmp_path_factory.mktemp("exported") / "out"
    formats = [word for one in ("hf", "gguf", "onnx") for word in ("--format", one)]
    command = ["export", str(folder), *formats, "--out", str(out), "--name", "tiny", "--int8"]
    assert cli.main(command) == 0
    return folder, out


def test_one_command_writes_every_format_and_says_how_each_agrees(exported):
    out = exported[1]
    files = json.loads((out / "export.json").read_text())
    assert [(one["format"], one["precision"]) for one in files] == [
        ("hf", "float32"), ("gguf", "float32"), ("gguf", "int8"), ("onnx", "float32"),
        ("onnx", "int8"),
    ]  # fmt: skip
    for one in files:
        found, exact = one["comparison"], one["precision"] == "float32"
        assert found["log_prob_difference"] < (1e-4 if exact else 1.0)
        assert found["divergence"] < (1e-6 if exact else 1e-2)
        assert found["same_choices"] == found["choices"] or not exact
        assert found["same_texts"] in (found["texts"], None)
    page = (out / "README.md").read_text("utf-8")
    assert page.startswith("---\nlibrary_name: transformers\n")
    assert all((out / one["file"]).is_file() and one["file"] in page for one in files)


def test_a_decoders_graph_goes_on_from_its_cache_with_padded_rows(exported):
    onnxruntime = pytest.importorskip("onnxruntime")
    network = model_folder.read(exported[0])
    session = onnxruntime.InferenceSession(exported[1] / "onnx" / "model.onnx")
    rows = [[1, 9, 30, 31, 50, 7], [1, 44, 12]]
    longest = max(map(len, rows))
    ids = np.array([[3] * (longest - len(row)) + row for row in rows], np.int64)
    real = np.array([[0] * (longest - len(row)) + [1] * len(row) for row in rows], np.int64)
    places = np.maximum(real.cumsum(axis=1) - 1, 0)
    empty = np.zeros((2, 2, 0, 16), np.float32)
    cache = {one.name: empty for one in session.get_inputs() if "past" in one.name}
    for start, stop in ((0, 3), (3, 5), (5, 6)):  # pieces of 3, 2 and 1 tokens
        given = {"input_ids": ids[:, start:stop], "attention_mask": real[:, :stop],
                 "position_ids": places[:, start:stop], **cache}  # fmt: skip
        logits, *present = session.run(None, given)
        cache = dict(zip(cache, present, strict=True))
    for row, found in zip(rows, logits, strict=True):
        with torch.no_grad():
            wanted = network(torch.tensor([row]))[0, -1].numpy()
        assert np.abs(found[-1] - wanted).max() < 1e-4


def test_transformers_opens_the_folder_by_itself_and_writes_the_same_text(exported):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(exported[1] / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported[1] / "hf")
    text = "A model learns 规律"
    ours = load_model(exported[0])
    ids = prompt_ids(ours, text)
    assert [tokenizer.bos_token_id, *tokenizer(text)["input_ids"]] == ids
    made = theirs.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=12, eos_token_id=[])
    greedy = SamplingConfig(max_new_tokens=12, temperature=0)
    assert made[0, len(ids) :].tolist() == list(generate(ours.network, ids, greedy))


def test_an_earlier_export_is_replaced(exported, tmp_path):
    for name in ("first", "second"):
        export_model(exported[0], ["hf"], tmp_path / "out", ExportSettings(name=name))
    assert "# second" in (tmp_path / "out" / "README.md").read_text()
    assert [one.name for one in tmp_path.iterdir()] == ["out"]


KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from model.export import export
def stop(source, folder, precision, int8):
    (folder / "half.gguf").write_bytes(b"half")
    print("now", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    yield
export.FORMATS["gguf"] = replace(export.FORMATS["gguf"], write=stop)
export.export_model(Path(sys.argv[1]), ["hf", "gguf"], Path(sys.argv[2]),
                    export.ExportSettings("tiny"))
"""


def test_formats_that_were_finished_before_a_kill_stay_and_are_not_made_again(model_of, tmp_path):
    folder, out = model_of("llama"), tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(out)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert [one["format"] for one in json.loads((out / "export.json").read_text())] == ["hf"]
    weights = out / "hf" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    told = []
    export_model(folder, ["hf", "gguf"], out, ExportSettings(name="tiny"), finished=told.append)
    assert weights.stat().st_mtime_ns == before
    assert [one.format for one in told] == ["hf", "gguf"]
    assert sorted(one.name for one in out.iterdir()) == ["README.md", "export.json", "gguf", "hf"]
    assert sorted(one.name for one in (out / "gguf").iterdir()) == [
        ".export.json", "tiny-float32.gguf",
    ]  # fmt: skip
    weights.write_bytes(b"cut")
    export_model(folder, ["hf", "gguf"], out, ExportSettings(name="tiny"))
    assert weights.stat().st_size > 3


def test_weights_may_be_stored_in_half_the_bytes(model_of, tmp_path):
    pytest.importorskip("transformers")
    (found,) = export_model(model_of("qwen"), ["hf"], tmp_path / "out", ExportSettings(name="q",
                            precision="bfloat16"))  # fmt: skip
    assert found.file_bytes < 4 * model_folder.read(model_of("qwen")).parameter_count() * 0.6
    assert 0 < found.comparison.divergence < 1e-2


def test_other_files_are_not_overwritten_and_impossible_wishes_are_refused(model_of, tmp_path):
    folder = model_of("bert")
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="holds other files"):
        export_model(folder, ["hf"], tmp_path, ExportSettings(name="m"))
    with pytest.raises(ConfigError, match="computes no BertForMaskedLM"):
        export_model(folder, ["gguf"], tmp_path / "out", ExportSettings(name="m"))
    with pytest.raises(ConfigError, match="8-bit weights"):
        export_model(folder, ["hf"], tmp_path / "out", ExportSettings(name="m", int8=True))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["mine.txt"]


def test_a_missing_program_is_said_in_the_table(model_of, tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "installed", lambda package: None)
    (found,) = export_model(model_of("llama"), ["hf"], tmp_path / "out", ExportSettings(name="m"))
    assert found.comparison is None
    assert "not compared" in (tmp_path / "out" / "README.md").read_text()
