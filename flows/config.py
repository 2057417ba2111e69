"""A run's recipe: the stage configs composed, read from TOML differences, checked strictly.

The same type is the parameter of the Prefect flows, so a file, `--set`, the Prefect form and
`prefect deployment run --param` share one schema.
"""

import functools
import os
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pydantic

from expectations.suites import suite
from flows.recipe_file import read_recipe, to_toml
from flows.recipe_file import recipe_names as recipe_names
from flows.setting_types import REPORT_LANGUAGES, configs_within, held_config, hint_at, may_be_off
from model.evaluation.config import DriftConfig, EvaluateConfig
from model.network.architecture import expanded, preset
from model.promotion.config import PromotionConfig
from model.registry.model_name import check_model_name
from model.reports.markdown import flatten
from model.training.config import TrainConfig
from model.training.finetune_config import FinetuneConfig
from model.training.retrain import RetrainConfig
from model.transferring.config import TransferConfig
from pipeline.clean import CleanConfig
from pipeline.config_checks import nearest, refused, require_name, unknown_name
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
class ReportConfig:
    """How the run's report is written; nothing of what is computed."""

    language: str = "en"

    def __post_init__(self) -> None:
        require_name("report.language", self.language, REPORT_LANGUAGES)


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
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    examples: ExamplesConfig = field(default_factory=ExamplesConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    promotion: PromotionConfig = field(default_factory=PromotionConfig)
    register: RegisterConfig = field(default_factory=RegisterConfig)
    drift: DriftConfig = field(default_factory=DriftConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
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
    try:
        return _recipe_adapter().validate_python(_with_preset(table))
    except pydantic.ValidationError as error:
        raise _refusal(error, where) from error


@functools.cache
def _recipe_adapter() -> pydantic.TypeAdapter[Recipe]:
    for kind in configs_within(Recipe):
        if not hasattr(kind, "__pydantic_config__"):
            kind.__pydantic_config__ = STRICT  # type: ignore[attr-defined]
    return pydantic.TypeAdapter(Recipe)


def _refusal(error: pydantic.ValidationError, where: str) -> ConfigError:
    """Return what is wrong first: a key that is not known, else a value of another type."""
    errors = error.errors(include_url=False)
    for fault in errors:
        if fault["type"] == "unexpected_keyword_argument":
            *section, key = fault["loc"]
            holder = held_config(hint_at(Recipe, section))
            assert holder is not None  # pydantic found a dataclass there
            location = f"{where}: {dotted(section)}" if section else where
            return unknown_name(location, str(key), [f.name for f in fields(holder)], "key")
    name = dotted(errors[0]["loc"])
    faults = [fault for fault in errors if dotted(fault["loc"]) == name]
    wanted = " or ".join(dict.fromkeys(_wanted(fault) for fault in faults))
    missing = faults[0]["type"] == "missing"
    advice = "see `textmill run RECIPE --dry-run` for every key with its value"
    return refused(f"{where}: {name}", None if missing else faults[0]["input"], wanted, advice)


def dotted(path: Sequence[str | int]) -> str:
    """Return a path of keys as it is written, such as sources[0].path."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in KINDS:  # the last names may be of pydantic's kinds: 'vocab_size', 'int'
            text += f".{part}" if text else part
    return text


def _wanted(fault: Any) -> str:
    return WANTED.get(fault["type"]) or fault["msg"].removeprefix("Input should be ")


def _with_preset(table: dict[str, Any]) -> dict[str, Any]:
    """Replace train.model.preset, the name of a published design, by the options it stands for."""
    train = table.get("train")
    if not isinstance(train, dict) or not isinstance(train.get("model"), dict):
        return table
    return {**table, "train": {**train, "model": expanded(train["model"])}}


def override(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """Return `recipe` with `key.path=value` applied; a value is TOML, `off`, or else plain text."""
    if not assignments:
        return recipe
    table = asdict(recipe)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment!r}: wanted key.path=value, as in train.steps=100")
        _set_key(table, key.strip(), text.strip(), assignment)
    return placed_inputs(build(table, where="--set"), Path.cwd())


def _set_key(table: dict[str, Any], key: str, text: str, assignment: str) -> None:
    value = _value(text)
    first, _, rest = key.partition(".")
    if first == "gates" and rest:  # metric names hold dots: gates.dedup.duplicate_share.at_most
        metric, _, bound = (rest, "", "") if isinstance(value, dict) else rest.rpartition(".")
        changes = {bound: value} if bound else value  # gates.dedup.duplicate_share={at_most=0.6}
        table["gates"].setdefault(metric.replace('"', ""), {}).update(changes)
        return
    if key == PRESET:
        table["train"]["model"].update(preset(value))
        return
    section = table
    *sections, last = names = key.split(".")
    for depth, name in enumerate(names):
        if not isinstance(section, dict) or name not in section:
            known = list(section) if isinstance(section, dict) else []
            near = nearest(name, known)
            hint = f"did you mean {'.'.join([*names[:depth], near])!r}? " if near else ""
            raise ConfigError(
                f"--set {assignment!r}: unknown key {key!r}; {hint}known here: {', '.join(known)}"
            )
        if depth < len(sections):
            section = section[name]
    is_word = value is None and not may_be_off(hint_at(Recipe, names))  # clean.pii.action=off
    section[last] = OFF if is_word else value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text == OFF else text


def as_shown(recipe: Recipe) -> Recipe:
    """Return the recipe as it is recorded and shown: secrets in addresses are hidden."""
    shown = (replace(source, path=without_secrets(source.path)) for source in recipe.sources)
    return replace(recipe, sources=tuple(shown))


def dump(recipe: Recipe) -> str:
    """Return the resolved recipe as TOML; keys that are off (none) are comments."""
    return to_toml(asdict(as_shown(recipe)))


def sections(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as a flat dict of dotted keys, as logged to the tracking server."""
    return dict(flatten(asdict(as_shown(recipe))))


# For pydantic: a key that a config does not have is an error.
STRICT = pydantic.ConfigDict(extra="forbid")
OFF = "off"
KINDS = ("int", "float", "str", "bool", "literal['auto']")
PRESET = "train.model.preset"
WANTED = {  # by pydantic's kind of error, as it is written in TOML
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dataclass_type": 'a table, as in {path = "words.txt"} for a file',
    "dict_type": "a table",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "missing": "a value",
    "string_type": "text in quotes",
    "tuple_type": "a list, as in [1, 2]",
}
