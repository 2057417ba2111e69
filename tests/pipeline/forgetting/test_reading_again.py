"""Ingest without what is forgotten: what it touches is read again, everything else is linked."""

import json
from dataclasses import replace

from pipeline.forgetting.matching import text_tombstone
from pipeline.forgetting.reading_again import forgotten_places, matcher_of
from pipeline.ingest import STAGE, IngestConfig, documents_of
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage, store_path
from pipeline.store.tombstones import Tombstones
from tests.small_world import english

CONFIG = IngestConfig()


def made(sources, store):
    digest = STAGE.fingerprint(CONFIG, [sources]).digest
    return run_stage(STAGE, CONFIG, [sources], store_path(store, "ingest", digest)).artifact


def touched(sources, tombstones):
    matcher = matcher_of(tombstones)
    places = {
        file.sha256: tuple(sorted(forgotten_places(documents_of(file, CONFIG), file, matcher)))
        for file in sources.files
    }
    held = {sha256: found for sha256, found in places.items() if found}
    return replace(sources, tombstones=tombstones, touched=held)


def corpus(folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
    texts = english()[:40]
    lines = [json.dumps({"id": str(n), "text": text}) for n, text in enumerate(texts)]
    (folder / "a" / "many.jsonl").write_text("\n".join([*lines, lines[7], "{broken"]) + "\n")
    (folder / "b" / "one.txt").write_text(english()[50])
    return SourceSet.open([Source("a"), Source("b")], folder)


def test_only_the_parts_of_files_that_hold_it_are_made_again(tmp_path):
    sources = corpus(tmp_path)
    before = made(sources, tmp_path / "store")
    without = touched(sources, Tombstones.of([text_tombstone(english()[7])]))
    after = made(without, tmp_path / "store")
    assert after.ledger.dropped == {"forgotten": 2}  # a copy of it as well
    assert after.ledger.seen == before.ledger.seen
    assert after.rows == before.rows - 2
    inodes = {part.stat().st_ino for part in before.parts()}
    same = [part.stat().st_ino in inodes for part in after.parts()]
    assert same == [False, True]
    scratch = made(without, tmp_path / "another-store")
    assert scratch.manifest == after.manifest
    again = made(without, tmp_path / "store")
    assert again.fingerprint == after.fingerprint


def test_tombstones_that_touch_nothing_are_no_part_of_the_identity(tmp_path):
    sources = corpus(tmp_path)
    others = touched(sources, Tombstones.of([text_tombstone(english()[60])]))
    assert others.tombstones
    assert others.fingerprint == sources.fingerprint


def test_a_later_copy_takes_the_id_when_the_first_is_forgotten(tmp_path):
    """Ids are given among what is kept, as if the forgotten one had never been there."""
    (tmp_path / "a").mkdir()
    rows = [{"id": "same", "text": english()[n]} for n in range(3)]
    (tmp_path / "a" / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = SourceSet.open([Source("a")], tmp_path)
    without = touched(sources, Tombstones.of([text_tombstone(english()[0])]))
    ids = [row["id"] for row in made(without, tmp_path / "store").rows_of()]
    assert ids[0] == "same"
    assert len({*ids}) == 2


def test_of_a_file_that_is_forgotten_nothing_is_shown_of_what_cannot_be_read(tmp_path):
    sources = corpus(tmp_path)
    (many,) = [file for file in sources.files if file.relative == "many.jsonl"]
    artifact = made(touched(sources, Tombstones.of([{"file": many.sha256}])), tmp_path / "store")
    assert artifact.rows == 1
    assert artifact.ledger.dropped == {"forgotten": 41}
    (aside,) = artifact.rows_of("quarantine")
    assert (aside["reason"], aside["sample"]) == ("bad_json", "")
    assert "broken" not in aside["detail"]
