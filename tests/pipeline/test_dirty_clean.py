"""Every line of the dirty set after cleaning and deduplication, beside what its truth expects.

Ingest alone is tested in `test_dirty_input.py`; here a line counts as kept, dropped or set aside,
whichever stage decides.
"""

import gzip
import json
import re
import shutil
from collections import Counter, defaultdict

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
from pipeline.sources import Source, SourceSet
from pipeline.stage import run_stage

ASIDE, DROPPED, DUPLICATE, KEPT, FIXED = "aside", "dropped", "duplicate", "kept", "fixed"
CONTAMINATED = "contaminated"
# What may become of a line, by what its truth expects; of others, anything but vanishing.
ALLOWED = {
    "keep": {KEPT, FIXED},
    "fix": {FIXED},
    "mask": {FIXED},
    "fix_or_drop": {FIXED, DROPPED, ASIDE},
    "drop": {DROPPED, ASIDE},
    "skip": {ASIDE},
    "decontam": {CONTAMINATED},
    "lang": {KEPT, FIXED, DUPLICATE},
    # Some of these texts are passages that an evaluation item quotes.
    "dedup": {KEPT, FIXED, DUPLICATE, CONTAMINATED},
    "neardup": {KEPT, FIXED, DUPLICATE, CONTAMINATED},
}
# (kind, sub) -> how many lines end otherwise, and why.
EXCEPTIONS = {
    # A list of Apache's settings, four records; two that hold what an evaluation item quotes.
    ("control", None): 4,
    ("broken_json", "blank"): 4,  # an empty line is no row
    # Words in another order that few function words betray; a third of it names in Latin letters.
    ("gibberish", "word_salad"): 3,
    ("gibberish", "shuffled_chars"): 1,
    ("gibberish", "ocr_noise"): 1,
    ("control_chars", "ligature_fullwidth"): 2,  # nothing in it needs a change
    ("mojibake", "gbk_as_utf8_replaced"): 6,  # English with a few lost marks, below 1 %
    ("mojibake", "half_document"): 1,  # contaminated
    ("other_lang", "ii"): 1,  # Yi is read as words without end
    ("near_dup", "edit_35%"): 1,  # words put anywhere: out of order, as the rule says
}
# What ends lines: a line feed for a form feed or for a lone CR is no lost text.
_SPACE = re.compile(r"\s+")


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
    wrong = defaultdict(Counter)
    for row in truth:
        outcome, _ = outcomes.get(row["line"] - 1, ("no row", None))
        allowed = ALLOWED.get(row["expect"], {outcome} - {"no row"})
        if outcome not in allowed:
            wrong[row["kind"], row.get("sub")][outcome] += 1
    more = {what: dict(n) for what, n in wrong.items() if n.total() > EXCEPTIONS.get(what, 0)}
    assert more == {}
    assert sum(outcome == CONTAMINATED for outcome, _ in outcomes.values()) <= 30 + 14


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
        ("mojibake", "gbk_as_utf8_replaced"): 6,
        ("mojibake", "utf8_as_cp1252"): 2,
        ("mojibake", "half_document"): 1,
        ("control_chars", "c1_controls"): 1,  # masked as personal data too
    }
    assert {what: n for what, n in wrong.items() if n > lost.get(what, 0)} == {}


def _bare(text):
    return _SPACE.sub("", text)
