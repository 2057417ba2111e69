"""Which engine serves a model folder: llama.cpp where it says what the model says, else ours."""

from pathlib import Path

from model.registry.apart import VersionShelf
from model.serve.engines.engine_options import LLAMA, TORCH, EngineOptions
from model.serve.engines.helper import HelperSettings
from model.serve.engines.interface import Capabilities, ServingEngine
from model.serve.engines.llama_engine import LlamaEngine
from model.serve.engines.prepared import PreparedModel, missing_package, prepare
from pipeline.engine.process import usable_cpus
from pipeline.errors import ConfigError
from pipeline.store import storage
from pipeline.tokenizer import MODEL_FILE, load_tokenizer

SLOTS = 16
CACHE_BYTES_MAX = 1 << 30  # of keys and values of all slots, where their number is not given
BYTES_PER_THREAD = 32 << 20  # of weights, read once for every token


def open_engine(
    folder: Path, options: EngineOptions | None = None, shelf: VersionShelf | None = None
) -> ServingEngine:
    """Open a model folder; the engine is started by its `start`.

    `shelf` is where what is made for a registered version is kept. Raises ArtifactError if the
    folder is damaged, ConfigError where llama.cpp is asked for and cannot serve it.
    """
    options = options or EngineOptions()
    if options.engine == TORCH:
        return _own_engine(folder, "as asked")
    missing = missing_package()
    if missing is not None:
        return _without(folder, options, f"the package {missing!r} is not installed")
    prepared, where = prepare(folder, options.precision, shelf)
    if not prepared.file:
        return _without(folder, options, prepared.reason)
    slots = options.slots or slots_for(prepared)
    capabilities = Capabilities(
        engine=f"llama.cpp, {prepared.precision}",
        family=prepared.family,
        context=prepared.context,
        generates=prepared.generates,
        reads_source=prepared.reads_source,
        chats=prepared.chats,
        follows_schemas=True,
        reason=prepared.reason,
    )
    file = storage.inside(where, prepared.file)
    threads = threads_for(file.stat().st_size)
    settings = HelperSettings(file, prepared.context, slots, threads)
    return LlamaEngine(folder, load_tokenizer(folder / MODEL_FILE), capabilities, settings)


def slots_for(prepared: PreparedModel) -> int:
    """Return how many texts at a time memory has room for."""
    per_slot = prepared.cache_bytes * prepared.context
    return max(1, min(SLOTS, CACHE_BYTES_MAX // per_slot))


def _without(folder: Path, options: EngineOptions, reason: str) -> ServingEngine:
    if options.engine == LLAMA:
        raise ConfigError(f"--engine llama: {reason}")
    return _own_engine(folder, reason)


def _own_engine(folder: Path, reason: str) -> ServingEngine:
    from model.serve.engines.torch_engine import TorchEngine  # late: it loads torch

    return TorchEngine(folder, reason)


def threads_for(weights_bytes: int) -> int:
    """Return how many threads are worth their waiting for each other at every layer."""
    return max(1, min(usable_cpus(), weights_bytes // BYTES_PER_THREAD))
