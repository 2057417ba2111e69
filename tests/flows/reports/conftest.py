"""Runs of the small world whose reports are looked at: first, grown, stopped, failed."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows import config, steps
from flows.local import run_chain
from flows.settings import Settings, read_settings
from pipeline.errors import GateError, TrainingError
from pipeline.stage import silent
from tests import small_world

SMALL = ["train.steps=60", "promotion.seed_spread={all = 0.02}"]
# Words that would do harm on a page that believed them.
HOSTILE = (
    "</script><script>document.title='hurt'</script><img src=x onerror=alert(1)>",
    "\u202e\u2067مرحبا بالعالم txt.exe\u2066",
    "https://reader:s3cr3ts3cr3t@example.org/?token=abcdefabcdefabcdef",
    "{{ 7 * 7 }} {% raw %} ${7*7} `x` <b>bold</b> &amp; \x00\x1b[31m",
    "verylongword" * 400,
)


@dataclass(frozen=True)
class ReportedRuns:
    """Where the runs are, by what came of them: 'first', 'grown', 'stopped', 'failed'."""

    settings: Settings
    pages: dict[str, str]  # as each run left it


def hostile_documents() -> list[dict]:
    """Return records that are dropped by rules and records that are kept, with harm in them."""
    prose = small_world.english()[60 : 60 + len(HOSTILE)]
    short = [{"id": f"{i}{words[:60]}", "text": words} for i, words in enumerate(HOSTILE)]
    long = [{"id": f"kept {i}{words[:40]}", "text": f"{text}\n\n{words}"}
            for i, (text, words) in enumerate(zip(prose, HOSTILE, strict=True))]  # fmt: skip
    return short + long


@pytest.fixture(scope="session")
def reported_runs(tmp_path_factory) -> ReportedRuns:
    folder = tmp_path_factory.mktemp("reported")
    recipe = small_world.begin(folder)
    small_world.write(folder / "texts" / "one<b>.jsonl", small_world.english()[:50])
    small_world.write(folder / "texts" / "zh.jsonl", small_world.chinese())
    settings = read_settings(str(folder / "store"), 1)
    page = settings.runs / "world" / "report.html"
    pages = {}

    def run(name: str, *overrides: str) -> None:
        run_chain(config.load(str(recipe), [*SMALL, *overrides]), settings, silent, lambda _: None)
        pages[name] = page.read_text("utf-8")

    run("first")
    rows = "\n".join(json.dumps(row, ensure_ascii=False) for row in hostile_documents())
    (folder / "texts" / "strangers.jsonl").write_text(rows, "utf-8")
    run("grown")
    with pytest.raises(GateError):
        run("stopped", "gates.dedup.duplicate_share.at_most=-1")
    pages["stopped"] = page.read_text("utf-8")
    real = steps.make

    def fails(stage, *rest):
        if stage.name == "tokenizer":
            raise TrainingError("no tokenizer at https://u:s3cr3ts3cr3t@h/ today")
        return real(stage, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "make", fails)
        with pytest.raises(TrainingError):
            run("failed", "tokenizer.vocab_size=700")
    pages["failed"] = page.read_text("utf-8")
    return ReportedRuns(settings, pages)


@pytest.fixture(scope="session")
def page_file(reported_runs, tmp_path_factory):
    """Write a page under a name and return its path."""
    folder: Path = tmp_path_factory.mktemp("pages")

    def write(name: str, text: str) -> Path:
        path = folder / f"{name}.html"
        path.write_text(text, "utf-8")
        return path

    return write
