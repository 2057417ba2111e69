"""The README of an export: what the files are, how to open them, how well they agree."""

from collections.abc import Sequence
from dataclasses import dataclass

from model.export.parity import CHOICES, TIMED_ROUNDS, Comparison
from model.network.families import (
    FILL_MASK,
    TEXT_GENERATION,
    TEXT_TO_TEXT,
    AnyNetwork,
    family_of,
)
from model.reports.markdown import cell, markdown_table, size

LIBRARIES = {"hf": "transformers", "gguf": "gguf", "onnx": "onnx"}
AUTO_CLASSES = {
    TEXT_GENERATION: "AutoModelForCausalLM",
    FILL_MASK: "AutoModelForMaskedLM",
    TEXT_TO_TEXT: "AutoModelForSeq2SeqLM",
}
HEADER = (
    "format",
    "weights",
    "file",
    "size",
    "read by",
    "log-prob. difference",
    "divergence, nats",
    "same choices",
    "same tokens",
    "ms per row",
    "model itself",
)


@dataclass(frozen=True)
class Exported:
    """A file of an export; `comparison` is None where the program it is for is not installed."""

    format: str
    precision: str
    file: str  # below the export's folder
    file_bytes: int
    comparison: Comparison | None


def card(name: str, network: AnyNetwork, files: Sequence[Exported]) -> str:
    """Return the page as Markdown, with the header that model hubs read."""
    formats = list(dict.fromkeys(exported.format for exported in files))
    task = family_of(network).task
    parts = [
        f"---\nlibrary_name: {LIBRARIES[formats[0]]}\npipeline_tag: {task}\ntags: [textmill]\n---",
        f"# {cell(name)}\n\nA language model of the family `{network.config.family}` with "
        f"{network.parameter_count():,} parameters, {network.vocab_size:,} tokens and a context of "
        f"{network.config.context:,}, exported by textmill.",
        "## How to open it",
        *(USES[exported](files, task) for exported in formats),
        agreement(files),
    ]
    return "\n\n".join(parts) + "\n"


def agreement(files: Sequence[Exported]) -> str:
    """Return the section that compares every file with the model it was made from."""
    read = [exported.comparison for exported in files if exported.comparison is not None]
    text = "## Does it say the same?\n\n" + markdown_table(HEADER, map(row, files), numbers=6)
    if not read:
        return text + "\n\nNo program that reads these files is installed: nothing was compared."
    return (
        f"{text}\n\nBoth read {read[0].texts} short texts ({read[0].positions} positions, every "
        f"token of the vocabulary). The difference is the largest between natural-log "
        f"probabilities; the divergence is Kullback and Leibler's, the mean over positions. Then "
        f"each chose the likeliest token {CHOICES} times after every text. Times are the least of "
        f"{TIMED_ROUNDS} readings of one row, on the processor the export was made on."
    )


def row(exported: Exported) -> tuple[str, ...]:
    """Return a file's line of the table, as HEADER says."""
    comparison = exported.comparison
    head = (exported.format, exported.precision, exported.file, size(exported.file_bytes))
    if comparison is None:
        return (*head, "not compared", *[""] * 6)
    tokens = (
        ""
        if comparison.same_texts is None
        else f"{comparison.same_texts} of {comparison.texts} texts"
    )
    return (
        *head,
        comparison.program,
        f"{comparison.log_prob_difference:.1e}",
        f"{comparison.divergence:.1e}",
        f"{comparison.same_choices} of {comparison.choices}" if comparison.choices else "",
        tokens,
        f"{comparison.row_ms:.2f}",
        f"{comparison.own_row_ms:.2f}",
    )


def sentence(exported: Exported) -> str:
    """Return what the table says of a file as one line of plain text."""
    what = f"{exported.format} {exported.precision}, {size(exported.file_bytes)}: "
    comparison = exported.comparison
    if comparison is None:
        return f"{what}not compared, as the program that reads it is not installed"
    facts = [
        f"log-probabilities differ by {comparison.log_prob_difference:.1e} at most",
        f"divergence {comparison.divergence:.1e} nats",
    ]
    if comparison.choices:
        facts.append(f"{comparison.same_choices} of {comparison.choices} greedy choices the same")
    if comparison.same_texts is not None:
        facts.append(f"{comparison.same_texts} of {comparison.texts} texts cut alike")
    facts.append(f"{comparison.row_ms:.2f} ms per row, the model {comparison.own_row_ms:.2f}")
    return f"{what}{', '.join(facts)} ({comparison.program}); {exported.file}"


def _folder(files: Sequence[Exported], kind: str) -> str:
    first = next(exported.file for exported in files if exported.format == kind)
    return first.rpartition("/")[0] or "."


def _hf_use(files: Sequence[Exported], task: str) -> str:
    return (
        f"With transformers (`pip install transformers`):\n\n```python\n"
        f"from transformers import {AUTO_CLASSES[task]}, AutoTokenizer\n\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{_folder(files, "hf")}")\n'
        f'model = {AUTO_CLASSES[task]}.from_pretrained("{_folder(files, "hf")}")\n```'
    )


def _gguf_use(files: Sequence[Exported], task: str) -> str:
    names = [exported.file for exported in files if exported.format == "gguf"]
    return f'With llama.cpp:\n\n```\nllama-cli -m {names[-1]} -p "The "\n```'


def _onnx_use(files: Sequence[Exported], task: str) -> str:
    names = [exported.file for exported in files if exported.format == "onnx"]
    return (
        f"With onnxruntime (`pip install onnxruntime`):\n\n```python\nimport onnxruntime\n\n"
        f'session = onnxruntime.InferenceSession("{names[-1]}")\n'
        f"print([(one.name, one.shape) for one in session.get_inputs()])\n```"
    )


USES = {"hf": _hf_use, "gguf": _gguf_use, "onnx": _onnx_use}
