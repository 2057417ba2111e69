"""Other programs as readers of what was exported: transformers, llama.cpp, onnxruntime.

Each function opens a file and returns it ready to compare; none of these packages is needed to
write one, so a missing package is None and the report says that nobody read the file.
"""

import importlib
import importlib.metadata
import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from model.export.onnx_graph import PAST_IDS
from model.export.parity import Opened, Row, log_softmax
from model.network.ngrams import NOTHING

TOKENIZER_JSON = "tokenizer.json"
WHOLE_VOCABULARY = 1 << 20  # more entries than any has: llama.cpp then lists all


def program(package: str) -> str:
    """Return a package's name and version."""
    return f"{package} {importlib.metadata.version(package)}"


def installed(package: str) -> ModuleType | None:
    """Import a package, None if it is not there."""
    try:
        return importlib.import_module(package)
    except ImportError:
        return None


@contextmanager
def transformers(weights: Path, architecture: str) -> Iterator[Opened | None]:
    """Open a weights' folder with a class of transformers; None if that is not installed."""
    folder = weights.parent
    package = installed("transformers")
    if package is None:
        yield None
        return
    package.utils.logging.set_verbosity_error()
    package.utils.logging.disable_progress_bar()
    network = getattr(package, architecture).from_pretrained(folder, dtype=torch.float32).eval()

    def read(row: Row, start: int) -> np.ndarray:
        given = {"input_ids": torch.tensor([list(row.ids)])}
        if row.target is not None:
            given["decoder_input_ids"] = torch.tensor([list(row.target)])
        with torch.no_grad():
            return log_softmax(network(**given).logits[0, start:].numpy())

    encode = None
    if (folder / TOKENIZER_JSON).is_file():
        tokenizer = package.AutoTokenizer.from_pretrained(folder)
        encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    yield Opened(program("transformers"), read, encode)


@contextmanager
def llama_cpp(file: Path, context: int) -> Iterator[Opened | None]:
    """Open a GGUF file with llama.cpp; None if xllamacpp is not installed."""
    package = installed("xllamacpp")
    if package is None:
        yield None
        return
    wanted = package.CommonParams()
    wanted.model.path = str(file)
    wanted.n_ctx, wanted.n_parallel, wanted.warmup, wanted.port = context, 1, False, 0
    wanted.cpuparams.n_threads = torch.get_num_threads()
    wanted.verbosity = -1
    # As exact as it can be: by default it keeps keys and values in 16 bits.
    wanted.cache_type_k = wanted.cache_type_v = package.ggml_type.GGML_TYPE_F32
    wanted.flash_attn_type = package.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = package.Server(wanted)  # answers as long as it is referred to
    address = server.listening_address

    def encode(text: str) -> list[int]:
        body = {"content": text, "add_special": False, "parse_special": False}
        return _post(f"{address}/tokenize", body)["tokens"]

    letter = encode("e")[-1]

    def read(row: Row, start: int) -> np.ndarray:
        return np.stack(
            [_next(address, row.ids[: end + 1], letter) for end in range(start, len(row.ids))]
        )

    def row_ms(row: Row) -> float:
        request = {"prompt": list(row.ids), "n_predict": 1, "cache_prompt": False}
        return _post(f"{address}/completion", request)["timings"]["prompt_ms"]

    yield Opened(program("xllamacpp"), read, encode, row_ms)


def _next(address: str, ids: Sequence[int], chosen: int) -> np.ndarray:
    """Return the log-probabilities (V,) of the token after `ids`.

    llama.cpp is told to choose `chosen`: it lists none where it chose part of a character. The
    list is of the logits before that.
    """
    request = {
        "prompt": list(ids),
        "n_predict": 1,
        "temperature": 0,
        "n_probs": WHOLE_VOCABULARY,
        "cache_prompt": False,
        "logit_bias": [[chosen, 1e6]],
    }
    top_logprobs = _post(f"{address}/completion", request)["completion_probabilities"][0][
        "top_logprobs"
    ]
    logs_V = np.full(1 + max(entry["id"] for entry in top_logprobs), -np.inf)
    for entry in top_logprobs:
        logs_V[entry["id"]] = entry["logprob"]
    return logs_V


def _post(address: str, body: dict[str, Any]) -> dict[str, Any]:
    head = {"content-type": "application/json"}
    request = urllib.request.Request(address, json.dumps(body).encode(), head)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


@contextmanager
def onnxruntime(file: Path) -> Iterator[Opened | None]:
    """Open an ONNX file on the CPU; None if onnxruntime is not installed."""
    package = installed("onnxruntime")
    if package is None:
        yield None
        return
    options = package.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = package.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    input_shapes = {graph_input.name: graph_input.shape for graph_input in session.get_inputs()}

    def read(row: Row, start: int) -> np.ndarray:
        ids = np.array([row.ids], np.int64)
        given = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "position_ids": np.arange(ids.shape[1], dtype=np.int64)[None],
            "decoder_input_ids": np.array([row.target or ()], np.int64),
        }
        for name, shape in input_shapes.items():
            if name.startswith("past_key_values"):
                given[name] = np.zeros((1, shape[1], 0, shape[3]), np.float32)
            if name == PAST_IDS:
                given[name] = np.full((1, shape[1]), NOTHING, np.int64)
        wanted = {name: given[name] for name in input_shapes}
        return log_softmax(session.run(["logits"], wanted)[0][0, start:])

    yield Opened(program("onnxruntime"), read)
