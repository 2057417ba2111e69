"""A run's recipe: the stage configs composed, read from TOML differences, checked strictly.

The same type is the parameter of the Prefect flows, so a file, `--set`, the Prefect form and
`prefect deployment run --param` share one schema.
"""

import difflib
import os
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pydantic

from expectations.suites import suite
from flows.recipe_file import read_recipe
from flows.recipe_file import recipe_names as recipe_names
from model.evaluate import EvaluateConfig
from model.network.architecture import expanded, preset
from model.registry.model_name import check_model_name
from model.training.config import TrainConfig
from model.training.tuning import FinetuneConfig
from model.transfer import TransferConfig
from pipeline.clean import CleanConfig
from pipeline.dedup import DedupConfig
from pipeline.errors import ConfigError
from pipeline.examples import ExamplesConfig
from pipeline.ingest import IngestConfig
from pipeline.inputs import InputFile
from pipeline.reading.addresses import scheme_of, without_secrets
from pipeline.shard import ShardConfig
from pipeline.sources.source_set import Source
from pipeline.store import storage
from pipeline.tokenizing.config import TokenizerConfig


@dataclass(frozen=True)
class RegisterConfig:
    """What the registered model is called and what it is shown doing."""

    model: str = "textmill"
    prompts: tuple[str, ...] = ()  # none: the beginnings of held-out documents
    sample_tokens: int = 48

    def __post_init__(self) -> None:
        check_model_name(self.model, "register.model")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a run computes; where it runs is in `flows.settings`."""

    name: str = "textmill"
    description: str = ""
    sources: tuple[Source, ...] = ()
    keep_tokenizer: bool = False  # a run keeps the last one's while it fits (`tokenizer.drift`)
    ingest: IngestConfig = field(default_factory=IngestConfig)
    clean: CleanConfig = field(default_factory=CleanConfig)
    dedup: DedupConfig = field(default_factory=DedupConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    shard: ShardConfig = field(default_factory=ShardConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    examples: ExamplesConfig = field(default_factory=ExamplesConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    register: RegisterConfig = field(default_factory=RegisterConfig)
    gates: dict[str, dict[str, float | str | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"name: {self.name!r}; use letters, digits, - and _")
        for metric in self.gates:
            suite(metric.split(".")[0], self.gates)  # refuses unknown names with the nearest one


def load(name_or_path: str, overrides: Sequence[str] = (), sources: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or from a file and apply `key.path=value` overrides.

    `sources` replaces the recipe's sources by these paths. Relative paths in a file are taken from
    the file's folder, relative paths given here from the current folder. Raises ConfigError.
    """
    table, base = read_recipe(name_or_path)
    recipe = placed_inputs(build(table, where=name_or_path), base)
    recipe = override(recipe, overrides)
    if sources:
        given = tuple(Source(path=_absolute(path, Path.cwd())) for path in sources)
        return replace(recipe, sources=given)
    placed = tuple(replace(s, path=_absolute(s.path, base)) for s in recipe.sources)
    return replace(recipe, sources=placed)


def placed_inputs(config: Any, base: Path) -> Any:
    """Return a config whose relative input files, at any depth, are taken from `base`."""
    if isinstance(config, InputFile):
        return replace(config, path=str(base / storage.expanded(config.path)))
    if isinstance(config, tuple):
        return tuple(placed_inputs(item, base) for item in config)
    if not is_dataclass(config) or isinstance(config, type):
        return config
    before = {f.name: getattr(config, f.name) for f in fields(config)}
    after = {name: placed_inputs(value, base) for name, value in before.items()}
    return replace(config, **after) if after != before else config


def _absolute(path: str, base: Path) -> str:
    elsewhere = path.endswith(":") or scheme_of(path) is not None  # 'quickstart:', 'https://...'
    return path if elsewhere else os.path.normpath(base / storage.expanded(path))


def build(table: dict[str, Any], where: str = "recipe") -> Recipe:
    """Make a Recipe of a table of differences; refuse unknown keys and wrong types by name."""
    table = _with_preset(table)
    refuse_unknown(Recipe, table, where)
    try:
        return pydantic.TypeAdapter(Recipe).validate_python(table)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        # the last names may be of pydantic's kinds: 'vocab_size', 'int'
        place = ".".join(str(part) for part in first["loc"] if part not in KINDS)
        wanted = PLAINER.get(first["type"], first["msg"])
        raise ConfigError(
            f"{where}: {place}: {wanted}, found {first['input']!r}; "
            f"see `textmill run RECIPE --dry-run` for every key with its value"
        ) from error


def _with_preset(table: dict[str, Any]) -> dict[str, Any]:
    """Replace train.model.preset, the name of a published design, by the options it stands for."""
    train = table.get("train")
    if not isinstance(train, dict) or not isinstance(train.get("model"), dict):
        return table
    return {**table, "train": {**train, "model": expanded(train["model"])}}


def refuse_unknown(kind: Any, table: Any, where: str) -> None:
    """Raise ConfigError for the first key of `table` that dataclass `kind` does not have."""
    hints = get_type_hints(kind)
    for key, value in table.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, 1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"{where}: unknown key {key!r}; {hint}known: {', '.join(hints)}")
        nested = hints[key]
        if isinstance(nested, UnionType):  # a section that can be off
            nested = next(filter(is_dataclass, get_args(nested)), nested)
        if get_origin(nested) is tuple and isinstance(value, list | tuple):
            item = get_args(nested)[0]
            for index, entry in enumerate(value):
                if is_dataclass(item) and isinstance(entry, dict):
                    refuse_unknown(item, entry, f"{where}: {key}[{index}]")
        elif is_dataclass(nested) and isinstance(value, dict):
            refuse_unknown(nested, value, f"{where}: {key}")


def override(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """Return `recipe` with `key.path=value` applied; a value is TOML, `off`, or else plain text."""
    if not assignments:
        return recipe
    table = asdict(recipe)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment!r}: wanted key.path=value, as in train.steps=100")
        _put(table, key.strip(), _value(text.strip()), assignment)
    return placed_inputs(build(table, where="--set"), Path.cwd())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text == "off" else text


def _may_be_off(names: Sequence[str]) -> bool:
    """Tell whether the setting at this path of keys may be none."""
    kind: Any = Recipe
    for name in names:
        hint = get_type_hints(kind).get(name) if is_dataclass(kind) else None
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        kind = next(filter(is_dataclass, kinds), hint)
    return hint is None or NoneType in kinds


def _put(table: dict[str, Any], key: str, value: Any, assignment: str) -> None:
    first, _, rest = key.partition(".")
    if first == "gates" and rest:  # metric names hold dots: gates.dedup.duplicate_share.at_most
        metric, _, bound = (rest, "", "") if isinstance(value, dict) else rest.rpartition(".")
        changes = {bound: value} if bound else value  # gates.dedup.duplicate_share={at_most=0.6}
        table["gates"].setdefault(metric.replace('"', ""), {}).update(changes)
        return
    if key == PRESET:
        table["train"]["model"].update(preset(value))
        return
    place = table
    names = key.split(".")
    for depth, name in enumerate(names):
        if not isinstance(place, dict) or name not in place:
            known = list(place) if isinstance(place, dict) else []
            near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
            hint = f"did you mean {'.'.join([*names[:depth], near[0]])!r}? " if near else ""
            raise ConfigError(
                f"--set {assignment!r}: unknown key {key!r}; {hint}known here: {', '.join(known)}"
            )
        if depth == len(names) - 1:
            is_word = value is None and not _may_be_off(names)  # clean.pii.action=off
            place[name] = "off" if is_word else value
        else:
            place = place[name]


def as_shown(recipe: Recipe) -> Recipe:
    """Return the recipe as it is recorded and shown: secrets in addresses are hidden."""
    shown = (replace(source, path=without_secrets(source.path)) for source in recipe.sources)
    return replace(recipe, sources=tuple(shown))


def dump(recipe: Recipe) -> str:
    """Return the resolved recipe as TOML; keys that are off (none) are comments."""
    lines = _toml_lines(asdict(as_shown(recipe)), "")
    return "\n".join(lines).strip() + "\n"


def _toml_lines(table: dict[str, Any], prefix: str) -> list[str]:
    plain = {k: v for k, v in table.items() if not isinstance(v, dict)}
    lines = [_toml_line(key, value) for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            path = f"{prefix}{_toml_key(key)}"
            lines += ["", f"[{path}]", *_toml_lines(value, f"{path}.")]
    return lines


def _toml_line(key: str, value: Any) -> str:
    return f"# {key} is off" if value is None else f"{_toml_key(key)} = {_toml_value(value)}"


def _toml_key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() else _toml_value(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = (f"{_toml_key(k)} = {_toml_value(v)}" for k, v in value.items() if v is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return repr(value)


def sections(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as a flat dict of dotted keys, as logged to the tracking server."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                walk(f"{prefix}.{key}" if prefix else key, item)
        else:
            flat[prefix] = value

    walk("", asdict(as_shown(recipe)))
    return flat


KINDS = ("int", "float", "str", "bool", "literal['auto']")
PRESET = "train.model.preset"
PLAINER = {  # what pydantic's kinds of errors ask for, as it is written in TOML
    "dataclass_type": 'wanted a table, as in {path = "words.txt"} for a file',
    "tuple_type": "wanted a list, as in [1, 2]",
}
SECTIONS = tuple(f.name for f in fields(Recipe))
