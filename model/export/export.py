"""A model in other programs' formats, with a table that says how well each agrees with the model.

`--format hf` gives a folder for transformers, `gguf` a file for llama.cpp, `onnx` a graph for
onnxruntime. Beside each lies what was found when the program itself read it.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from model.data.chat import chat_template
from model.export import export_folder, gguf_file, onnx_graph, runtimes
from model.export.export_card import Exported, card
from model.export.export_folder import CARD as CARD
from model.export.parity import TEXTS, TOLERANCE, Opened, compare
from model.formats import huggingface, model_folder
from model.formats.file_names import CONFIG, GENERATION, WEIGHTS
from model.formats.layouts import layout_of
from model.generation.completion import LoadedModel, load_model
from model.network.families import AnyNetwork
from pipeline.config_checks import unknown_name
from pipeline.errors import ArtifactError, ConfigError
from pipeline.store import storage
from pipeline.vocabulary import read_vocabulary

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
INT8 = "int8"


@dataclass(frozen=True)
class Written:
    """One exported file, and how to open it with the program it is for."""

    format: str
    precision: str
    file: str  # what holds the weights
    open: Callable[[Path], AbstractContextManager[Opened | None]]


@dataclass(frozen=True)
class ExportSource:
    """The model to export, and where it is called what."""

    model: LoadedModel
    folder: Path
    name: str

    @property
    def network(self) -> AnyNetwork:
        """The network, in float32."""
        return self.model.network

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer's model file."""
        return self.folder / model_folder.TOKENIZER


def _hf(source: ExportSource, folder: Path, precision: str, int8: bool) -> Iterator[Written]:
    layout = huggingface.write(source.network, lambda name: folder / name, dtype=DTYPES[precision])
    _write_tokenizer(source, folder)
    name = layout.architecture
    yield Written("hf", precision, WEIGHTS, lambda file: runtimes.transformers(file, name))


def _gguf(source: ExportSource, folder: Path, precision: str, int8: bool) -> Iterator[Written]:
    vocabulary = read_vocabulary(source.tokenizer_file.read_bytes())
    opener = functools.partial(runtimes.llama_cpp, context=source.network.config.context)
    chats = model_folder.taught_to_chat(source.folder)
    template = chat_template(source.model.tokenizer) if chats else None
    for kind in (precision, INT8) if int8 else (precision,):
        file = f"{source.name}-{kind}.gguf"
        gguf_file.write(source.network, vocabulary, folder / file, source.name, kind, template)
        yield Written("gguf", kind, file, opener)


def _onnx(source: ExportSource, folder: Path, precision: str, int8: bool) -> Iterator[Written]:
    _write_tokenizer(source, folder)
    storage.write_json(folder / CONFIG, _onnx_config(source.network))
    storage.write_json(folder / GENERATION, huggingface.generation_of(source.network))
    full = "model.onnx"
    onnx_graph.write(source.network, folder / full)
    yield Written("onnx", "float32", full, runtimes.onnxruntime)
    if int8:
        small = "model_quantized.onnx"
        onnx_graph.quantize(folder / full, folder / small)
        yield Written("onnx", INT8, small, runtimes.onnxruntime)


def _onnx_config(network: AnyNetwork) -> dict[str, Any]:
    """Return the config of transformers' class where there is one: runtimes read sizes from it."""
    try:
        return huggingface.config_of(network, layout_of(network.config))
    except ConfigError:
        return {
            **huggingface.CONTROL_IDS,
            "vocab_size": network.vocab_size,
            model_folder.OWN: asdict(network.config),
        }


def _write_tokenizer(source: ExportSource, folder: Path) -> None:
    context = source.network.config.context
    chats = model_folder.taught_to_chat(source.folder)
    model_folder.write_tokenizer(
        source.tokenizer_file, lambda name: folder / name, context, chats=chats
    )


@dataclass(frozen=True)
class ExportFormat:
    """How a format is written, and which weights it can hold."""

    write: Callable[[ExportSource, Path, str, bool], Iterator[Written]]
    precisions: tuple[str, ...]
    with_int8: bool  # 8-bit weights beside them


FORMATS = {
    "hf": ExportFormat(_hf, tuple(DTYPES), with_int8=False),
    "gguf": ExportFormat(_gguf, tuple(DTYPES), with_int8=True),
    "onnx": ExportFormat(_onnx, ("float32",), with_int8=True),
}


@dataclass(frozen=True)
class ExportSettings:
    """What is written, and how it is compared with the model."""

    name: str  # the model's, in the files
    precision: str = "float32"  # of the weights
    int8: bool = False  # 8-bit weights too
    texts: tuple[str, ...] = TEXTS
    tolerance: float = TOLERANCE  # of log-probabilities of float32 weights


def export_model(
    source_folder: Path,
    formats: Sequence[str],
    out: Path,
    settings: ExportSettings,
    finished: Callable[[Exported], None] = lambda exported: None,
) -> list[Exported]:
    """Write the model in each format, compare, and write REPORT and CARD.

    One format fills `out` itself, several a folder each; a format's folder appears whole. After a
    stop, formats that were finished stay, and the same call makes the others; another export there
    is replaced. `finished` is called with each file as soon as its format is there. Raises
    ConfigError for what a format cannot hold and for an `out` that holds other files, ArtifactError
    where a program makes of float32 weights what the model does not say.
    """
    _check(formats, settings)
    out = out.absolute()
    export_folder.refuse_other_files(out)
    model = ExportSource(load_model(source_folder), source_folder, settings.name)
    request = export_folder.request_of(source_folder, asdict(settings))
    all_files: list[Exported] = []
    for name in dict.fromkeys(formats):
        destination = out / name if len(formats) > 1 else out
        files = export_folder.recall(destination, out, request)
        if files is None:
            with export_folder.whole(destination, out) as folder:
                written = FORMATS[name].write(model, folder, settings.precision, settings.int8)
                where = destination.relative_to(out)
                files = [_compared(model, file, folder, where, settings) for file in written]
                export_folder.note(folder, request, files)
        all_files += files
        export_folder.report(out, all_files, card(settings.name, model.network, all_files))
        for exported in files:
            finished(exported)
    export_folder.remove_others(out, all_files)
    return all_files


def _check(formats: Sequence[str], settings: ExportSettings) -> None:
    for name in formats:
        if name not in FORMATS:
            raise unknown_name("--format", name, FORMATS)
        if settings.precision not in FORMATS[name].precisions:
            known = ", ".join(FORMATS[name].precisions)
            raise ConfigError(f"format {name!r} holds {known}, not {settings.precision!r}")
    if settings.int8 and not any(FORMATS[name].with_int8 for name in formats):
        able = [name for name, row in FORMATS.items() if row.with_int8]
        raise ConfigError(f"8-bit weights go with {' and '.join(able)}, not {formats[0]!r}")


def _check_agreement(exported: Exported, tolerance: float) -> None:
    """Raise ArtifactError unless a file of unrounded weights says the same as the model."""
    if exported.comparison is None or exported.precision != "float32":
        return
    wrong = exported.comparison.disagreement(tolerance)
    if wrong is not None:
        raise ArtifactError(
            f"{exported.file}: {exported.comparison.program} does not say what the model says: "
            f"{wrong}, wanted the same tokens and at most {tolerance:.0e} (llama.cpp looks GPT-2's "
            f"GELU up in a table of 16-bit floats); use another --format, or accept more with "
            f"--tolerance"
        )


def _compared(
    source: ExportSource, written: Written, folder: Path, where: Path, settings: ExportSettings
) -> Exported:
    """Compare a file in `folder`, which will be `where` in the export, with the model."""
    file = folder / written.file
    model = source.model
    with written.open(file) as opened:
        comparison = (
            None
            if opened is None
            else compare(model.network, model.tokenizer, opened, settings.texts)
        )
    name = (where / written.file).as_posix()
    exported = Exported(written.format, written.precision, name, file.stat().st_size, comparison)
    _check_agreement(exported, settings.tolerance)
    return exported
