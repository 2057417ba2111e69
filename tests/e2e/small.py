"""A corpus and a recipe so small that a whole run takes seconds."""

import json
import tomllib
from importlib import resources
from pathlib import Path

RECIPE = """
name = "small"
[[sources]]
path = "{texts}"
[shard]
validation_share = 0.1
[train]
steps = 30
batch_size = 4
learning_rate = 0.01
warmup_steps = 2
checkpoint_every = 10
precision = "fp32"
model = {{layers = 1, width = 32, heads = 2, kv_heads = 2, hidden = 64, context = 64}}
[evaluate]
documents_max = 20
memorisation = {{examples = 5}}
toxicity = {{samples = 2, tokens = 8}}
[register]
model = "small"
sample_tokens = 8
[gates."evaluate.gain_over_unigram"]
severity = "warning"
"""


def documents() -> list[str]:
    """Return the lines of the sample that comes along: Chinese records as JSON."""
    sample = resources.files("pipeline").joinpath("sample", "zh.jsonl")
    return sample.read_text("utf-8").splitlines()


def add_file(texts: Path, name: str, first: int, last: int) -> None:
    """Write a file of the sample's documents from `first` to before `last`."""
    texts.mkdir(parents=True, exist_ok=True)
    (texts / name).write_text("".join(f"{line}\n" for line in documents()[first:last]))


def recipe_file(folder: Path) -> Path:
    """Write the recipe of the folder's `texts`; return its path."""
    path = folder / "small.toml"
    path.write_text(RECIPE.format(texts=folder / "texts"))
    return path


def recipe(folder: Path) -> dict:
    """Return the same recipe as a deployment's parameter."""
    return json.loads(json.dumps(tomllib.loads(RECIPE.format(texts=folder / "texts"))))
