"""A corpus that lives: months of files that come, change and go, on real servers.

Each month the recipe runs as the schedule's deployment does. Before it `explain` says what will be
made again; afterwards that must have been true. At the end the registry, the records and the disk
must look as the history says.
"""

import json
import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import small_world
from tests.e2e.commands import Commands
from tests.e2e.servers import Up, running

ENGLISH, CHINESE = small_world.english(), small_world.chinese()
GARBAGE_RECORDS = 3000
STAGES = ("ingest", "clean", "dedup", "tokenizer", "shard", "train", "evaluate")


def delivery(number: int, size: int = 80) -> list[str]:
    """Return the documents of a delivery; no two deliveries share one."""
    return ENGLISH[number * size :][:size]


def texts(folder: Path) -> Path:
    return folder / "texts"


def first(folder: Path) -> None:
    small_world.write(texts(folder) / "2026-01.jsonl", delivery(0))


def more(month: int) -> Callable[[Path], None]:
    """A new file, named after the month."""
    return lambda folder: small_world.write(
        texts(folder) / f"2026-{month:02}.jsonl", delivery(month - 1)
    )


def nothing(folder: Path) -> None:
    assert texts(folder).is_dir()


def changed_and_withdrawn(folder: Path) -> None:
    """A file comes, another says something else in some documents, a third is withdrawn."""
    more(3)(folder)
    small_world.write(texts(folder) / "2026-01.jsonl", [*delivery(0)[5:], *delivery(12)[:9]])
    (texts(folder) / "2026-02.jsonl").unlink()


def garbage(folder: Path) -> None:
    """A delivery that was cut off and scrambled on its way."""
    draw = random.Random(5)
    lines = ["{" + "".join(draw.choices("abc{}[]:,\\", k=60)) for _ in range(GARBAGE_RECORDS)]
    (texts(folder) / "2026-05.jsonl").write_text("\n".join(lines))


def garbage_replaced(folder: Path) -> None:
    more(5)(folder)


def renamed(folder: Path) -> None:
    """The same files in folders of their own, and one more."""
    (texts(folder) / "early").mkdir()
    (texts(folder) / "2026-01.jsonl").rename(texts(folder) / "early" / "january.jsonl")
    more(8)(folder)


def another_language(folder: Path) -> None:
    small_world.write(texts(folder) / "2026-10.jsonl", CHINESE)


@dataclass(frozen=True)
class Month:
    """What happens to the files, what the run is told beside, and how it must end."""

    change: Callable[[Path], None]
    ends: str  # new: champion; held: a person decides; worse; same: no news; stopped: by a gate
    overrides: tuple[str, ...] = ()


QUARTER = (
    Month(first, "new"),
    Month(more(2), "new"),
    Month(nothing, "same"),
)
YEAR = (
    *QUARTER[:2],
    Month(changed_and_withdrawn, "held"),
    Month(nothing, "same"),
    Month(garbage, "stopped"),
    Month(garbage_replaced, "new"),
    Month(more(7), "worse", ("train.steps=60",)),
    Month(renamed, "new"),
    Month(nothing, "same"),
    Month(another_language, "held"),
    Month(more(11), "held"),
    Month(more(12), "held"),
)


@dataclass
class History:
    """What was seen month by month."""

    folder: Path
    up: Up
    textmill: Commands
    results: list[dict] = field(default_factory=list)  # of runs that ended well
    text_bytes: list[int] = field(default_factory=list)
    disk_bytes: list[int] = field(default_factory=list)

    def live(self, month: Month) -> None:
        """Let a month pass and see that it ended as it must."""
        month.change(self.folder)
        overrides = [word for override in month.overrides for word in ("--set", override)]
        said = self.textmill("explain", "world.toml", "--json", *overrides)
        assert said.code == 0, said.stderr
        before = artifacts(self.folder)
        ran = self.textmill("run", "world.toml", "--workers", "1", "--json", *overrides)
        made = {name.split("/")[0] for name in artifacts(self.folder) - before}
        announced = {s["stage"] for s in said.json["stages"] if s["decision"] == "make"}
        if month.ends == "stopped":
            assert ran.code == 1
            assert "gate after ingest" in ran.stderr
            assert made == {"ingest"} <= announced
        else:
            assert ran.code == 0, ran.stderr
            assert made == announced
            self._ended(month, ran.json)
        pruned = self.textmill("prune", "world", "--keep", "2", "--json")
        assert pruned.code == 0, pruned.stderr
        self._measure()

    def _ended(self, month: Month, result: dict) -> None:
        before = self.results[-1]["model"]["version"] if self.results else "0"
        model = result["model"]
        assert result["reused"] == (month.ends == "same")
        assert int(model["version"]) == int(before) + (month.ends != "same")
        if month.ends == "same":
            assert model == self.results[-1]["model"]
        else:
            assert ("champion" in model["aliases"]) == (month.ends == "new")
        self.results.append(result)

    def _measure(self) -> None:
        files = [path for path in texts(self.folder).rglob("*") if path.is_file()]
        self.text_bytes.append(sum(path.stat().st_size for path in files))
        store = self.folder / "store" / "artifacts"
        used = subprocess.check_output(["du", "-sk", str(store)])
        self.disk_bytes.append(1024 * int(used.split()[0]))


def artifacts(folder: Path) -> set[str]:
    made = (folder / "store" / "artifacts").glob("*/*/manifest.json")
    return {f"{path.parts[-3]}/{path.parts[-2]}" for path in made}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(QUARTER, id="a quarter"),
        pytest.param(YEAR, id="a year", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def history(request, tmp_path_factory):
    """A history that has been lived through, its servers still up."""
    folder = tmp_path_factory.mktemp("year")
    small_world.begin(folder)
    with running(folder) as up, Commands(folder) as textmill:
        assert textmill("schedule", "pause", "sources").code == 0  # the months come by hand
        lived = History(folder, up, textmill)
        for month in request.param:
            lived.live(month)
        yield lived, request.param


def test_the_right_versions_and_the_right_champion(history):
    lived, months = history
    new = [month for month in months if month.ends in ("new", "worse", "held")]
    client = lived.up.mlflow + "/api/2.0/mlflow"
    search = client + "/model-versions/search?filter=name%3D'world'"
    versions = json.loads(lived.up.get(search))["model_versions"]
    assert len(versions) == len(new)
    model = json.loads(lived.up.get(client + "/registered-models/get?name=world"))
    aliases = {a["alias"]: a["version"] for a in model["registered_model"]["aliases"]}
    promoted = [number for number, month in enumerate(new, 1) if month.ends == "new"]
    assert aliases == {"champion": str(promoted[-1]), "challenger": str(len(new))}


def test_every_run_is_explained(history):
    lived, months = history
    records = sorted((lived.folder / "store" / "runs" / "world").glob("[0-9]*.json"))
    told = [json.loads(record.read_text()) for record in records]
    assert len(told) == sum(month.ends != "same" for month in months)
    stopped = [month.ends == "stopped" for month in months if month.ends != "same"]
    assert [record["registration"] is None for record in told] == stopped
    for record, was_stopped in zip(told, stopped, strict=True):
        assert set(record["stages"]) == ({"ingest"} if was_stopped else set(STAGES))
    runs = lived.up.post("/flow_runs/filter", {  # the watcher may have looked before its pause
        "flows": {"name": {"any_": ["textmill"]}},
        "flow_runs": {"parent_task_run_id": {"is_null_": True}}})  # fmt: skip
    states = sorted(run["state"]["type"] for run in runs if run["state"]["type"] != "SCHEDULED")
    assert states == sorted("FAILED" if m.ends == "stopped" else "COMPLETED" for m in months)


def test_nothing_is_left_to_do_and_all_versions_serve(history):
    lived, _ = history
    said = lived.textmill("explain", "world.toml", "--json")
    assert {stage["decision"] for stage in said.json["stages"]} == {"reuse"}
    for number in range(1, int(lived.results[-1]["model"]["version"]) + 1):
        address = f"models:/world/{number}"
        assert lived.textmill("generate", address, "The", "--max-tokens", "4").code == 0


def test_the_disk_grows_with_the_text_and_no_faster(history):
    lived, _ = history
    per_byte = [d / t for d, t in zip(lived.disk_bytes, lived.text_bytes, strict=True)]
    assert max(per_byte[2:]) <= 2 * per_byte[1], per_byte
