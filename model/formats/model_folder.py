"""The model folder: safetensors and JSON, in a layout that other tools load where one fits.

A decoder with the parts of Llama or Qwen3 is stored under their names, so the folder itself loads
in transformers, tokenizer included; other networks keep our names (`textmill export` converts
them). The key OWN of config.json holds the whole ModelConfig; other tools pass it by.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pydantic
import torch

from model.data.chat import chat_template
from model.formats import huggingface, imported
from model.formats.file_names import CONFIG, GENERATION, TOKENIZER, WEIGHTS
from model.formats.layouts import LLAMA, QWEN3, TransformersLayout
from model.network.architecture import ModelConfig
from model.network.counts import PREFIX
from model.network.families import AnyNetwork, build, counts_of
from pipeline.errors import ArtifactError, ConfigError
from pipeline.store import storage
from pipeline.store.artifact import check_hashes
from pipeline.store.loading import reading
from pipeline.tokenizer import load_tokenizer
from pipeline.tokenizing import to_huggingface

logger = logging.getLogger(__name__)

TRUNK = "model."
OWN = "textmill"
AGAIN = "make or download the folder again"
VOCABULARY_MAX = 1 << 22  # sixteen times the largest published ones


def write(
    network: AnyNetwork,
    tokenizer_file: Path,
    place: Callable[[str], Path],
    *,
    chats: bool = False,
) -> None:
    """Write the folder's files to the paths that `place(name)` gives.

    `chats` says that it was taught conversations: transformers then finds how they are written.
    """
    load_tokenizer(tokenizer_file)  # refuses a tokenizer whose controls have other ids
    own = {"vocab_size": network.vocab_size, OWN: asdict(network.config)}
    layout = native_layout(network.config)
    if layout is not None:
        huggingface.write(network, place, own)
    else:
        storage.write_json(place(CONFIG), huggingface.CONTROL_IDS | own)
        storage.write_json(place(GENERATION), huggingface.generation_of(network))
        weights = dict(network.named_parameters()) | network.counted()
        huggingface.save_weights(weights, place(WEIGHTS))
    write_tokenizer(tokenizer_file, place, network.config.context, chats=chats)


def write_tokenizer(
    tokenizer_file: Path, place: Callable[[str], Path], context: int, *, chats: bool = False
) -> None:
    """Write the tokenizer, for SentencePiece and, where that is possible, for transformers."""
    model = tokenizer_file.read_bytes()
    template = chat_template(load_tokenizer(tokenizer_file)) if chats else None
    storage.write_bytes(place(TOKENIZER), model)
    try:
        to_huggingface.write(model, place, context, template)
    except ConfigError as error:
        logger.warning("transformers cannot load the tokenizer of this model: %s", error)


def taught_to_chat(folder: Path) -> bool:
    """Tell whether a model folder says how its conversations are written."""
    config = folder / to_huggingface.TOKENIZER_CONFIG
    return config.is_file() and "chat_template" in storage.read_json(config, dict[str, Any])


def native_layout(config: ModelConfig) -> TransformersLayout | None:
    """Return the class whose weights have our names, None if the network is of no such class."""
    return next((layout for layout in (LLAMA, QWEN3) if not layout.misfits(config)), None)


def read(folder: Path) -> AnyNetwork:
    """Build the network of a model folder; nothing in it is executed.

    Raises ArtifactError naming the file that is missing, broken or does not fit.
    """
    weights = WEIGHTS if not (folder / imported.INDEX).is_file() else imported.INDEX
    for name in (CONFIG, weights):
        if not (folder / name).is_file():
            raise ArtifactError(
                f"{folder}: not a model folder, {name} is missing; give the artifact of `train` "
                f"or models:/NAME@champion"
            )
    check_hashes(folder)
    with reading(folder, "config.json and weights of one network", AGAIN):
        stored = storage.read_json(folder / CONFIG, dict[str, Any], AGAIN)
        config, vocab_size = _model_config(stored), _vocab_size(stored)
        found = imported.load_weights(folder)
        named = {name.removeprefix(TRUNK): weight for name, weight in found.items()}
        tables = {name: named.pop(name) for name in list(named) if _is_counted(name)}
        _refuse_other_sizes(config, vocab_size, named, is_own=OWN in stored)
        network = build(config, vocab_size)
        _fill(network, named if OWN in stored else imported.adapted(named, network))
        if tables:
            _fill_counts(network, tables)
    return network.eval()


def _is_counted(name: str) -> bool:
    return name.startswith(PREFIX) and not name.startswith(f"{PREFIX}gate_")


def _fill_counts(network: AnyNetwork, tables: dict[str, torch.Tensor]) -> None:
    counts = counts_of(network)
    if counts is None:
        raise ValueError(f"counts of n-grams, as {min(tables)!r}, in a network that has none")
    counts.fill({name.removeprefix(PREFIX): table for name, table in tables.items()})


def _refuse_other_sizes(
    config: ModelConfig, vocab_size: int, named: dict[str, torch.Tensor], *, is_own: bool
) -> None:
    """Compare the weights with an outline of the network before any memory is taken for it."""
    if config.layers > len(named):
        raise ValueError(f"{config.layers} layers, but the file holds {len(named)} weights")
    with torch.device("meta"):
        outline = build(config, vocab_size)
        _refuse_other_shapes(outline, named if is_own else imported.adapted(named, outline))


def _fill(network: AnyNetwork, named: dict[str, torch.Tensor]) -> None:
    """Copy a file's weights into the network; `_refuse_other_sizes` has compared them."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.copy_(named[name])


def _refuse_other_shapes(network: AnyNetwork, named: dict[str, torch.Tensor]) -> None:
    """Raise ValueError unless every parameter is there, and no other."""
    wanted = dict(network.named_parameters())
    if named.keys() != wanted.keys():
        odd = sorted(named.keys() ^ wanted.keys())
        raise ValueError(f"{len(odd)} weights are missing or not of this network, as {odd[0]!r}")
    for name, weight in wanted.items():
        if weight.shape != named[name].shape:
            stored_shape, shape = tuple(named[name].shape), tuple(weight.shape)
            raise ValueError(f"{name} is {stored_shape}, the network's is {shape}")


def _model_config(stored: dict[str, Any]) -> ModelConfig:
    """Return the stored config, or that of a folder made elsewhere."""
    table = stored[OWN] if OWN in stored else asdict(imported.model_config(stored))
    unknown = sorted({*table} - {field.name for field in fields(ModelConfig)})
    if unknown:
        raise ValueError(f"{OWN}.{unknown[0]} is no option of a network here")
    adapter = pydantic.TypeAdapter(ModelConfig)
    try:
        return adapter.validate_json(storage.canonical_json(table), strict=True)
    except ConfigError as error:  # of a file, not of a recipe
        raise ValueError(str(error)) from error


def _vocab_size(stored: dict[str, Any]) -> int:
    size = stored["vocab_size"]
    if type(size) is not int or not 0 < size <= VOCABULARY_MAX:
        raise ValueError(f"vocab_size: {size!r:.60}, wanted a whole number up to {VOCABULARY_MAX}")
    return size
