"""A small real corpus that grows by the month, and a recipe that learns from it in seconds.

The text is the built-in corpus, paragraph by paragraph: what `help()` shows of Python's topics and
modules, and a little Chinese. The model is tiny and in fp32, so that two runs on one machine give
the same bytes.
"""

import functools
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from pipeline.sources.quickstart import builtin_folder

PARAGRAPHS_CHARACTERS = 600  # a document ends with the first paragraph beyond that
RECIPE = """\
name = "world"
keep_tokenizer = true

[[sources]]
path = "texts"

[tokenizer]
vocab_size = "auto"

[shard]
validation_share = 0.15

[train]
steps = 200
batch_size = 16
optimizer = "muon"
learning_rate = 0.02
matrix_rate_share = 0.5
warmup_steps = 10
validate_every = 100
log_every = 50
precision = "fp32"

[train.model]
layers = 1
width = 48
heads = 2
kv_heads = 2
hidden = 128
context = 64

[evaluate]
documents_max = 80
tokens_max = 16_000

[evaluate.baselines]
ngram_tokens_max = 50_000
compressor_bytes_max = 50_000

[evaluate.memorisation]
examples = 4

[evaluate.toxicity]
samples = 1
tokens = 8

[register]
model = "world"
sample_tokens = 8
"""
# Runs of seconds: fewer steps; and a model that learns nothing, so that it never is champion.
SMALL = ("--workers", "1", "--set", "train.steps=60")
WORSE = (
    "--set", "train.learning_rate=1e-6",
    "--set", "gates.evaluate.gain_over_unigram.severity=warning",
    "--set", "gates.train.loss_ratio.severity=warning",
)  # fmt: skip


@functools.cache
def english() -> list[str]:
    """Return documents of some paragraphs each: topics first, then docstrings module by module."""
    documents = []
    for name in ("topics.en", "docstrings.en"):
        for line in (builtin_folder() / f"{name}.jsonl").read_text("utf-8").splitlines():
            document = ""
            for paragraph in json.loads(line)["text"].split("\n\n"):
                document += paragraph + "\n\n"
                if len(document) > PARAGRAPHS_CHARACTERS:
                    documents.append(document.strip())
                    document = ""
    return documents


def chinese() -> list[str]:
    """Return the sample of Chinese that comes with textmill."""
    lines = resources.files("pipeline").joinpath("sample", "zh.jsonl").read_text("utf-8")
    return [json.loads(line)["text"] for line in lines.splitlines()]


def write(path: Path, texts: Sequence[str]) -> None:
    """Write documents as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def begin(folder: Path) -> Path:
    """Write the recipe into a folder; its sources are `texts` beside it."""
    (folder / "texts").mkdir(parents=True)
    recipe = folder / "world.toml"
    recipe.write_text(RECIPE)
    return recipe
