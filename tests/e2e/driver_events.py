"""Run a recipe here and on a server, for a test; print what happened, in which order.

`python driver_events.py FOLDER`, with a server at PREFECT_API_URL. Prints one JSON object:
{case: {"here": {...}, "server": {...}}}.
"""

import json
import re
import sys
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import patch

from expectations import gate
from flows import config, local, server, steps
from flows.settings import read_settings
from model.distributed import launch
from model.distributed.launch import FSDP, Launch
from pipeline.errors import TextmillError
from pipeline.sources.source_set import SourceSet
from pipeline.stage import silent

SMALL = (
    "train.steps=4",
    "train.checkpoint_every=2",
    "train.validate_every=2",
    "train.warmup_steps=1",
    "evaluate.documents_max=8",
    "evaluate.memorisation.examples=4",
    "evaluate.toxicity.samples=1",
    "gates.evaluate.gain_over_unigram.at_least=-1000",
    "gates.train.loss_ratio.at_most=1000",
)
FAILING = "gates.dedup.duplicate_share.at_most=-1"


UNIT = "( ?([kMG]B|[kMGT]?FLOP/s|ms|s|min|h|[kM])\\b)?"


class Broken(TextmillError):
    """What a stage of the case `raises` raises."""


def events_of(call, failing_stage=None, error=None):
    """Return what happened in a call: its steps and lines in order, how it ended."""
    events = []

    def spy(name, function, label):
        def noted(*arguments, **named):
            events.append(f"{name} {label(*arguments)}".strip())
            if name == "make" and arguments[0].name == failing_stage:
                raise error
            return function(*arguments, **named)

        return noted

    def nothing(*_):
        return ""

    watched = (
        (steps, "make", lambda stage, *_: stage.name),
        (steps, "judge", lambda artifact, *_: artifact.stage),
        (gate, "enforce", lambda verdict: verdict.stage),
        (steps, "write_report", nothing),
        (steps, "register", nothing),
        (steps, "record", nothing),
        (SourceSet, "open", nothing),
        (launch, "command", lambda launched, _: json.dumps(asdict(launched), sort_keys=True)),
    )
    with ExitStack() as patches:
        for owner, name, label in watched:
            spied = spy(f"{owner.__name__}.{name}" if name == "open" else name,
                        getattr(owner, name), label)  # fmt: skip
            patches.enter_context(patch.object(owner, name, spied))
        try:
            state = call(lambda line: events.append(f"line {line}"))
        except BaseException as stop:
            return {"events": events, "error": f"{type(stop).__name__}: {stop}"}
    return {
        "events": events,
        "error": None,
        "reused": state.reused,
        "runs": {name: run.reused for name, run in state.runs.items()},
        "verdicts": {name: verdict.word for name, verdict in state.verdicts.items()},
        "model": [state.registration.name, str(state.registration.version)],
    }


def main(folder: Path) -> None:
    """Run every case in both ways, each way on a store of its own."""
    found = server.running_server(read_settings(str(folder / "here")))
    assert found is not None, "no server at PREFECT_API_URL"

    def here(recipe, settings, narrate):
        return local.run_chain(recipe, settings, silent, narrate)

    def on_server(recipe, settings, narrate):
        return server.run_on_server(recipe, settings, found, silent, narrate)

    cases = {
        "a gate fails": ([*SMALL, FAILING], None, None, Launch()),
        "a stage raises": (SMALL, "tokenizer", Broken("no tokenizer today"), Launch()),
        "stopped half way": (SMALL, "shard", KeyboardInterrupt(), Launch()),
        "all is well": (SMALL, None, None, Launch(processes=2, parallel=FSDP)),
        "once more": (SMALL, None, None, Launch()),
    }
    told = {}
    for case, (overrides, stage, error, launched) in cases.items():
        for way, run in (("here", here), ("server", on_server)):
            settings = replace(read_settings(str(folder / way), 1), launch=launched)
            recipe = config.load("smoke", overrides)
            told.setdefault(case, {})[way] = seen = events_of(
                lambda narrate, run=run, r=recipe, s=settings: run(r, s, narrate), stage, error
            )
            records = sorted((settings.runs / "smoke").glob("[0-9]*.json"))
            seen["records"] = [json.loads(record.read_text("utf-8")) for record in records]
            page = (settings.runs / "smoke" / "report.html").read_text("utf-8")
            # Some of the page's figures are measured: numbers, their units, and the axes of charts.
            page = re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
            seen["page"] = re.sub(rf"\d[\d.,e+-]*{UNIT}", "N", page)
    text = json.dumps(told, ensure_ascii=False)
    for way in ("here", "server"):
        text = text.replace(str(folder / way), "STORE")
    print(re.sub(r"\d+\.\d s\b", "N s", text))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
