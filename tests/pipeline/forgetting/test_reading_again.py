"""Ingest without what is forgotten: what it touches is read again, everything else is linked."""

import json
from dataclasses import replace

from pipeline.examples import STAGE as EXAMPLES
from pipeline.examples import ExamplesConfig
from pipeline.examples import documents_of as records_of
from pipeline.forgetting.matching import text_tombstone
from pipeline.forgetting.reading_again import forgotten_places, matcher_of
from pipeline.ingest import STAGE, IngestConfig, documents_of
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage, store_path
from pipeline.store.tombstones import ID, Tombstones, hash_of
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


def test_records_that_say_it_teach_nothing(tmp_path):
    wanted, other, third = english()[7], english()[8], english()[9]
    near = wanted.split(" ")
    near[len(near) // 2] = "altered"
    chats = [[("user", "What is said?"), ("assistant", text)]
             for text in (wanted, " ".join(near), other, third)]  # fmt: skip
    rows = [{"id": f"c{n}", "messages": [{"role": role, "content": text} for role, text in turns]}
            for n, turns in enumerate(chats)]  # fmt: skip
    (tmp_path / "chats.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sources = SourceSet.open([Source("chats.jsonl")], tmp_path)
    config = ExamplesConfig("chat")

    def taught(sources, name):
        return run_stage(EXAMPLES, config, [sources], tmp_path / name).artifact

    before = taught(sources, "before")
    by_id = {"id": hash_of(ID, "c3")}
    tombstones = Tombstones.of([text_tombstone(wanted), by_id])
    (file,) = sources.files
    places = forgotten_places(records_of(file, config), file, matcher_of(tombstones))
    held = {file.sha256: tuple(sorted(set(places)))}
    after = taught(replace(sources, tombstones=tombstones, touched=held), "after")
    assert len(held[file.sha256]) == 3
    assert before.ledger.dropped == {}
    assert after.ledger.dropped == {"forgotten": 3}
    assert [row["id"] for row in after.rows_of()] == ["c2"]
    assert after.ledger.seen == before.ledger.seen == 4
    assert {row["rule"] for row in after.rows_of("rejects")} == {"forgotten"}
    assert not {"c0", "c1", "c3"} & {row["id"] for row in after.rows_of("rejects")}
    assert before.fingerprint != after.fingerprint
