"""Every line of the dirty set after cleaning and deduplication, beside what its truth expects.

Ingest alone is tested in `test_dirty_input.py`; here a line counts as kept, dropped or set aside,
whichever stage decides.
"""

import gzip
import json
import re
import shutil
from collections import defaultdict

import pytest

from pipeline.clean import STAGE as CLEAN
from pipeline.clean import CleanConfig
from pipeline.cleaning.lists import ListsConfig
from pipeline.cleaning.pii import PiiConfig
from pipeline.dedup import STAGE as DEDUP
from pipeline.dedup import DedupConfig
from pipeline.ingest import STAGE as INGEST
from pipeline.ingest import IngestConfig
from pipeline.inputs import InputFile
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage

ASIDE, DROPPED, DUPLICATE, KEPT, FIXED = "aside", "dropped", "duplicate", "kept", "fixed"
CONTAMINATED, BLANK = "contaminated", "no row"
# What may become of a line, by what its truth expects; of others, anything but vanishing.
ALLOWED = {
    "keep": {KEPT, FIXED},
    "fix": {FIXED},
    "mask": {FIXED},
    "fix_or_drop": {FIXED, DROPPED, ASIDE},
    "drop": {DROPPED, ASIDE},
    "skip": {ASIDE, BLANK},
    "decontam": {CONTAMINATED},
    "lang": {KEPT, FIXED, DUPLICATE},
    "dedup": {KEPT, FIXED, DUPLICATE},
    "neardup": {KEPT, FIXED, DUPLICATE},
}
# What ends lines: a line feed for a form feed or for a lone CR is no lost text.
_SPACE = re.compile(r"\s+")
_ID = re.compile(rb'"id": ?"([^"]+)"')


@pytest.fixture(scope="module")
def outcomes(shared_data, tmp_path_factory):
    """position -> (what became of the line, its final text or None)."""
    folder = tmp_path_factory.mktemp("dirty")
    (folder / "in").mkdir()
    shutil.copy(shared_data / "dirty.jsonl.gz", folder / "in")
    sources = SourceSet.open([Source(str(folder / "in"))], folder / "in")
    config = CleanConfig(
        pii=PiiConfig(action="replace"),
        lists=ListsConfig(evaluation_sets=(InputFile(str(shared_data / "dirty.evalset.jsonl")),)),
    )
    raw = run_stage(INGEST, IngestConfig(), [sources], folder / "raw").artifact
    clean = run_stage(CLEAN, config, [raw], folder / "clean").artifact
    unique = run_stage(DEDUP, DedupConfig(), [clean], folder / "unique").artifact

    texts = {row["id"]: row["text"] for row in clean.scan().collect().to_dicts()}
    changed = set(clean.scan("changes").collect()["id"])
    rejects = clean.scan("rejects").select("id", "rule").collect().rows()
    gone = {id_: CONTAMINATED if rule == CONTAMINATED else DROPPED for id_, rule in rejects}
    gone |= dict.fromkeys(unique.scan("rejects").collect()["id"], DUPLICATE)
    found = {
        position: (gone.get(id_, FIXED if id_ in changed else KEPT), texts.get(id_))
        for id_, position in raw.scan().select("id", "position").collect().rows()
    }
    aside = raw.scan("quarantine").collect()["position"]
    return found | dict.fromkeys(aside, (ASIDE, None))


@pytest.fixture(scope="module")
def truth(shared_data):
    with gzip.open(shared_data / "dirty.truth.jsonl.gz") as file:
        return [json.loads(line) for line in file][1:]


def test_every_line_ends_as_its_truth_says(outcomes, truth):
    wrong = defaultdict(list)
    for row in truth:
        outcome, text = outcomes.get(row["line"] - 1, (BLANK, None))
        allowed = ALLOWED.get(row["expect"], {outcome} - {BLANK})
        # Some lines to be repaired are whole: the ligature that should stand in them does not.
        whole = row["expect"] == "fix" and outcome == KEPT and text == row["clean_text"]
        quoted = outcome == CONTAMINATED and row["kind"] in ("mojibake", "long_line")
        joined = (
            outcome == DROPPED and row.get("sub") == "list"
        )  # its strings are a text, too short
        if outcome not in allowed and not whole and not quoted and not joined:
            wrong[row["kind"], row.get("sub")].append((row["line"], outcome))
    assert dict(wrong) == {}
    blank = sum(row.get("sub") == "blank" for row in truth)
    assert len(outcomes) == len(truth) - blank


def test_duplicates_go_though_no_line_states_its_language(outcomes, shared_data):
    with gzip.open(shared_data / "dirty.jsonl.gz") as file:
        lines = file.read().split(b"\n")
    with gzip.open(shared_data / "dirty.pairs.jsonl.gz") as file:
        pairs = [json.loads(line) for line in file]
    ids = {id_ for pair in pairs for id_ in (pair["a"], pair["b"])}
    found = {}
    for position, (outcome, _) in outcomes.items():
        id_ = _ID.search(lines[position])
        if outcome in (KEPT, FIXED) and id_ is not None:
            found[id_[1].decode()] = position
    close = [pair for pair in pairs if pair["j5"] >= 0.8]
    missed = [pair for pair in close if {pair["a"], pair["b"]} <= found.keys()]
    lookalikes = [pair for pair in pairs if pair["how"] == "template_lookalike"]

    assert len(ids & found.keys()) > 800
    assert len(missed) <= 0.015 * len(close), missed
    # Of short texts another number says something else; in those that are long it says little.
    numbers = [pair for pair in close if pair["how"] == "date_number_change"]
    assert len([pair for pair in missed if pair not in numbers]) <= 0.01 * len(close), missed
    assert len([pair for pair in missed if pair in numbers]) <= 0.1 * len(numbers), missed
    assert all({pair["a"], pair["b"]} <= found.keys() for pair in lookalikes)


def test_what_is_repaired_has_the_text_it_had_before_it_was_damaged(outcomes, truth):
    repaired = [row for row in truth if row["expect"] in ("fix", "fix_or_drop")]
    kinds = {"boilerplate", "html_residue", "mojibake", "control_chars"}
    wrong, compared = defaultdict(int), 0
    for row in repaired:
        outcome, text = outcomes[row["line"] - 1]
        if outcome in (KEPT, FIXED) and row["kind"] in kinds and row.get("clean_text"):
            compared += 1
            wrong[row["kind"], row.get("sub")] += _bare(text) != _bare(row["clean_text"])
    assert compared > 300
    lost = {
        ("mojibake", "kun_jin_kao"): 5,  # what was replaced before is gone
        ("mojibake", "gbk_as_utf8_replaced"): 6,  # letters that are gone
        ("mojibake", "utf8_as_cp1252"): 2,
        ("mojibake", "half_document"): 1,
        ("control_chars", "c1_controls"): 1,  # masked as personal data too
    }
    assert {what: n for what, n in wrong.items() if n > lost.get(what, 0)} == {}


def _bare(text):
    return _SPACE.sub("", text)
