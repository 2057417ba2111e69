"""Every file of a model, a checkpoint and the registry, damaged in every way: one error of ours."""

import shutil
from dataclasses import asdict

import pytest

from model.generation.completion import load_model
from model.network.architecture import ModelConfig
from model.planning import usage
from model.registry import versions
from model.registry.model_record import ModelRecord
from model.registry.run_figures import throughput_of
from model.registry.tracking import TrackingSettings
from model.reports import plots
from model.training import checkpoint, lora
from model.training.config import TrainConfig
from model.training.finetune_config import LoraConfig
from model.training.state import State
from pipeline.errors import ArtifactError
from pipeline.store import storage
from pipeline.store.artifact import HASHES_FILE, write_hashes
from tests.model.trainings import training
from tests.mutations import outcomes


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A model folder of nobody's: without a manifest, nothing vouches for its files."""
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.model"])
def test_a_damaged_model_folder_is_one_error(folder, name):
    def use():
        loaded = load_model(folder)
        loaded.tokenizer.encode_batch(["hello 你好", "a b"])

    assert outcomes(folder / name, use, 150, keys=name.endswith("json"))


def test_a_flipped_bit_anywhere_is_seen_where_hashes_are_noted(folder):
    names = [file.name for file in folder.iterdir()]
    write_hashes(folder, names)
    for name in [*names, HASHES_FILE]:
        file = folder / name
        before = file.read_bytes()
        for at in range(0, len(before), max(1, len(before) // 5)):
            flipped = bytearray(before)
            flipped[at] ^= 4
            file.write_bytes(flipped)
            with pytest.raises(ArtifactError, match=name):
                load_model(folder)
        file.write_bytes(before)
    load_model(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("width", 10**12), ("layers", 10**9), ("context", 10**12), ("hidden", 1 << 23),
     ("vocab_size", 10**12)],
)  # fmt: skip
def test_no_memory_is_taken_for_sizes_that_the_weights_do_not_have(folder, key, value):
    config = storage.read_json(folder / "config.json")
    (config if key == "vocab_size" else config["textmill"])[key] = value
    storage.write_json(folder / "config.json", config)
    with pytest.raises(ArtifactError, match=r"model"):
        load_model(folder)


@pytest.mark.parametrize("name", [lora.ADAPTER_CONFIG, lora.ADAPTER])
def test_a_damaged_adapter_is_one_error(folder, tmp_path, name):
    network = load_model(folder).network
    lora.add(network, LoraConfig(rank=2), seed=1)

    def place(file):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        return tmp_path / file

    lora.write(network, LoraConfig(rank=2), place)
    load = lambda: lora.read(load_model(folder).network, tmp_path)  # noqa: E731
    load()
    assert outcomes(tmp_path / name, load, 60, keys=name.endswith("json"))


@pytest.mark.parametrize("name", ["state.json", "weights.safetensors", "files.json"])
def test_a_damaged_checkpoint_is_one_error(tmp_path, name):
    model = ModelConfig(layers=1, width=16, heads=2, kv_heads=2, hidden=16, context=16)
    made = training(tmp_path, TrainConfig(model=model, steps=5, batch_size=2))
    checkpoint.save(tmp_path, 3, made.tensors, asdict(made.state))
    load = lambda: State.from_json(checkpoint.restore(tmp_path, 3, made.tensors))  # noqa: E731
    load()
    said = outcomes(tmp_path / "step-00000003" / name, load, 100, keys=name.endswith("json"))
    assert len(said) > 90  # its files' hashes are noted: hardly any damage passes


def test_notes_beside_a_model_that_are_damaged_are_done_without(made_chain, tiny_model, tmp_path):
    chain = made_chain(tmp_path / "chain", tiny_model)
    speed, took = chain.training.path / "speed.json", chain.training.path / usage.SPENT
    storage.write_json(speed, [[1, 2.0, 3.0]])
    storage.write_json(took, {"seconds": 1.0})
    for file, load in ((speed, throughput_of), (took, usage.read)):
        assert not outcomes(file, lambda load=load: load(chain.training), 60, keys=True)


def test_a_damaged_registry_is_one_error(made_chain, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "draw", lambda *_: [])
    chain = made_chain(tmp_path / "chain", tiny_model)
    database = tmp_path / "mlflow.db"
    settings = TrackingSettings(f"sqlite:///{database}", tmp_path / "artifacts", "lab")
    versions.register(
        settings,
        "lab",
        chain.training.path,
        ModelRecord(
            evaluation=chain.evaluation,
            training=chain.training,
            data=chain.data,
            verdict_files=chain.verdict_files,
            params={},
            card="# lab",
        ),
        lambda folder: 9.0,
    )
    before = database.read_bytes()
    said = []
    for size in (0, 10, 100, len(before) // 3, len(before) - 4096):
        database.write_bytes(before[:size])
        with pytest.raises(ArtifactError, match=r"mlflow\.db") as raised:
            versions.resolve("models:/lab@champion", settings)
        said.append(str(raised.value))
    assert all("restore a copy" in sentence for sentence in said)
    database.write_bytes(before)
    versions.resolve("models:/lab@champion", settings)
