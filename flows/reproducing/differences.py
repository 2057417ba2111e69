"""What differs between a version's origin and this machine, in the order in which it matters."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from flows.chain import CHAIN, SOURCES, ChainStage
from flows.config import Recipe
from flows.earlier_champion import retrained_config
from flows.reproducing.origin import Content, Origin, codes, installed, listing
from model.training.curve import MACHINE
from pipeline.sources.source_set import SourceSet
from pipeline.store.fingerprint import differences as nested_differences

KINDS = ("input", "config", "code", "library", "processor")
INPUT, CONFIG, CODE, LIBRARY, PROCESSOR = KINDS
RESULT = "result"
NAMED_MAX = 20  # of a kind and stage; the rest is counted

if TYPE_CHECKING:
    from model.planning.device import Machine


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was; `stage` is the first that it has a part in."""

    kind: str
    stage: str
    what: str
    recorded: str
    found: str

    def sentence(self) -> str:
        """Return it in words."""
        return f"{self.kind} of {self.stage}: {self.what} was {self.recorded}, here {self.found}"


@dataclass(frozen=True)
class RecordedParent:
    """A parent by name, where the artifact itself is not needed."""

    stage: str
    fingerprint: str


def all_differences(
    origin: Origin, recorded_files: pl.DataFrame, recipe: Recipe, sources: SourceSet
) -> list[Difference]:
    """Compare sources, config, code, libraries and processor, stage by stage."""
    found = input_differences(origin, recorded_files, sources)
    for stage in CHAIN:
        found += _config_differences(origin, stage, recipe)
        found += _code_differences(origin, stage)
        found += _library_differences(origin, stage)
        if stage.name == "train":
            found += processor_differences(origin)
    return found


def input_differences(
    origin: Origin, recorded_files: pl.DataFrame, sources: SourceSet
) -> list[Difference]:
    """Name the files that are not those of the version."""
    (parent,) = origin["stages"]["ingest"]["inputs"]["parents"]
    if parent["fingerprint"] == sources.fingerprint:
        return []
    now = listing(sources)
    key = ["source", "path"]
    both = recorded_files.join(now, on=key, how="full", suffix="_now", coalesce=True).sort(key)
    values = [name for name in recorded_files.columns if name not in key]
    same = pl.all_horizontal(pl.col(n).eq_missing(pl.col(f"{n}_now")) for n in values)
    rows = both.filter(~same)
    named = [
        Difference(
            INPUT, SOURCES, f"{row['source']}/{row['path']}", _file(row, ""), _file(row, "_now")
        )
        for row in rows.head(NAMED_MAX).iter_rows(named=True)
    ]
    return named + _more(INPUT, SOURCES, len(rows) - len(named), "files")


def _file(row: dict[str, Any], suffix: str) -> str:
    skipped, sha256 = row[f"skipped{suffix}"], row[f"sha256{suffix}"]
    if sha256 is None:
        return f"skipped ({skipped})" if skipped else "not there"
    stated = [row[f"{name}{suffix}"] for name in ("lang", "license", "encoding")]
    words = "".join(f", {value}" for value in stated if value)
    return f"{row[f'bytes{suffix}']:,} bytes of SHA-256 {sha256[:16]}{words}"


def _config_differences(origin: Origin, stage: ChainStage[Any], recipe: Recipe) -> list[Difference]:
    inputs = origin["stages"][stage.name]["inputs"]
    parents = [RecordedParent(**parent) for parent in inputs["parents"]]
    config = stage.config(recipe)
    if stage.name == "train":
        config = retrained_config(recipe, parents)
    now = stage.definition.fingerprint(config, parents).inputs
    changes = nested_differences(inputs["config"], now["config"])
    rows = [
        Difference(CONFIG, stage.name, f"{stage.name}.{key}", repr(old), repr(new))
        for key, old, new in changes
    ]
    if inputs["contract"] != now["contract"]:
        rows.append(Difference(CONFIG, stage.name, "contract", inputs["contract"], now["contract"]))
    return rows


def _code_differences(origin: Origin, stage: ChainStage[Any]) -> list[Difference]:
    module = stage.definition.module
    recorded, now = origin["stages"][stage.name]["inputs"]["code"], codes([module])
    inputs = stage.definition.fingerprint(None, []).inputs
    if inputs["code"] == recorded:
        return []
    before = origin["code"]
    names = sorted(name for name, code in now.items() if before.get(name) != code)
    rows = [
        Difference(CODE, stage.name, name.replace(".", "/") + ".py", *_hashes(before, now, name))
        for name in names[:NAMED_MAX]
    ]
    if not rows:  # what it imported then and does not now
        rows = [Difference(CODE, stage.name, "its imports", recorded, inputs["code"])]
    return rows + _more(CODE, stage.name, len(names) - NAMED_MAX, "modules")


def _hashes(before: dict[str, str], now: dict[str, str], name: str) -> tuple[str, str]:
    return before.get(name, "not there")[:16], now[name][:16]


def _library_differences(origin: Origin, stage: ChainStage[Any]) -> list[Difference]:
    now = stage.definition.fingerprint(None, []).inputs["libraries"]
    return [
        Difference(LIBRARY, stage.name, name, str(old), str(new))
        for name, old, new in nested_differences(
            origin["stages"][stage.name]["inputs"]["libraries"], now
        )
    ]


def processor_differences(origin: Origin) -> list[Difference]:
    """Name what sums of floating-point numbers depend on; threads are set as they were."""
    recorded = origin["measured"].get(MACHINE)
    if recorded is None:
        return []
    found = this_machine()
    return [
        Difference(PROCESSOR, "train", name, str(recorded[name]), str(found[name]))
        for name in ("processor", "instructions")
        if recorded[name] != found[name]
    ]


def this_machine() -> "Machine":
    """Return the machine that training would be on here."""
    from model.distributed.world import World  # torch: a second to import
    from model.planning.device import machine_of

    return machine_of(World().device)


def result_differences(stage: str, recorded: Content, found: Content) -> list[Difference]:
    """Name the tables and files of an artifact whose bytes are others."""
    return [
        Difference(RESULT, stage, key, _short(old), _short(new))
        for key, old, new in nested_differences(dict(recorded), dict(found))
    ]


def _short(value: Any) -> str:
    return value[:16] if isinstance(value, str) else str(value)


def other_libraries(origin: Origin) -> list[str]:
    """List in words the installed libraries whose versions differ, whether they matter or not."""
    rows = nested_differences(origin["libraries"], installed())
    words = [f"{name} {old or 'none'} -> {new or 'none'}" for name, old, new in rows]
    return words


def _more(kind: str, stage: str, count: int, what: str) -> list[Difference]:
    if count <= 0:
        return []
    return [Difference(kind, stage, f"{count:,} further {what}", "as recorded", "otherwise")]
