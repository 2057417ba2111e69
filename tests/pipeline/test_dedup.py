"""The stage `dedup`: what is removed, for whom, and that nothing goes without a partner."""

import gzip
import itertools
import json

import pyarrow as pa
import pytest

from pipeline.dedup import DedupConfig
from pipeline.duplicates import deduplication, numbering
from pipeline.duplicates.config import PassageConfig
from pipeline.duplicates.deduplication import key_ranges
from pipeline.engine.local import LocalEngine
from pipeline.errors import ConfigError
from pipeline.reject_samples import sample_pairs
from pipeline.schema import CLEAN, DEDUPED
from pipeline.stage import Stage, run_stage
from pipeline.store import storage
from tests.pipeline.corpora import (
    Given,
    chinese,
    corpus,
    edited,
    english,
    kept,
    rejects,
)


def emit_addressed(rows, sink):
    sink.saw(len(rows))
    documents = [
        {"id": id_, "text": text, "source": "tests", "path": "a", "position": at, "lang": "en",
         "meta": json.dumps({"url": url}) if url else None}
        for at, (id_, text, url) in enumerate(rows)
    ]  # fmt: skip
    sink.write("main", pa.Table.from_pylist(documents, schema=CLEAN.schema))


ADDRESSED = Stage(
    "clean", CLEAN, lambda job: job.map(emit_addressed, job.config.parts) and None,
    "pipeline.schema", (),
)  # fmt: skip


def test_copies_differing_in_case_and_space_are_exact_across_parts(clean, deduped):
    text = english(1)
    result = deduped(
        clean(
            [("a", text), ("b", english(2))],
            [("c", text.upper())],
            [("d", text.replace(" ", "\n"))],
        )
    )

    assert kept(result) == {"a": 3, "b": 1}
    assert rejects(result)["d"] == {
        "id": "d", "source": "tests", "rule": "exact_duplicate", "value": 1.0, "threshold": 1.0,
        "partner": "a", "similarity": 1.0, "detail": None,
    }  # fmt: skip
    assert (result.stats["exact_duplicates"], result.stats["near_duplicates"]) == (2, 0)
    assert result.contract == DEDUPED.label


@pytest.mark.parametrize(("make", "every", "to"), [(english, 60, "new"), (chinese, 80, "新")])
def test_near_duplicate_is_found_in_another_part_and_its_copy_goes_along(
    clean, deduped, make, every, to
):
    text = make(1)
    near = edited(text, every, to)
    result = deduped(
        clean([("a", text), ("x", make(2))], [("b", near)], [("c", near), ("y", make(3))])
    )

    assert kept(result) == {"a": 3, "x": 1, "y": 1}
    gone = rejects(result)
    assert {gone[id_]["rule"] for id_ in "bc"} == {"near_duplicate"}
    assert {gone[id_]["partner"] for id_ in "bc"} == {"a"}
    assert 0.8 <= gone["b"]["value"] == gone["b"]["similarity"] == gone["c"]["similarity"] < 1
    assert gone["b"]["threshold"] == 0.8


def test_less_similar_texts_and_templates_stay(clean, deduped):
    template = "On {} the council of {} met and voted {} to {} on the plan for the {} road. "
    forms = [
        "".join(template.format(*(english(100 * n + i, 1) for i in range(5))) for _ in range(4))
        for n in range(20)
    ]
    texts = [english(1), edited(english(1), 12, "new"), *forms]

    result = deduped(clean([(str(n), text) for n, text in enumerate(texts)]))

    assert result.rows == len(texts)
    assert result.stats["near_duplicates"] == 0


def test_chain_keeps_the_end_that_no_kept_document_stands_for(clean, deduped):
    first = english(1, 300)
    second = edited(first, 60, "new")
    third = " ".join(second.split(" ")[25:]) + " " + english(9, 12)

    result = deduped(clean([("first", first)], [("second", second)], [("third", third)]))

    assert kept(result) == {"first": 2, "third": 1}
    assert rejects(result)["second"]["partner"] == "first"


def test_texts_without_words_are_only_compared_exactly(clean, deduped):
    result = deduped(clean([("a", "!!!"), ("b", "???"), ("c", "!!!"), ("d", "")]))

    assert kept(result) == {"a": 2, "b": 1, "d": 1}


def test_phases_can_be_switched_off(clean, deduped):
    text = english(1)
    parent = clean([("a", text), ("b", text), ("c", edited(text, 60, "new"))])

    assert list(kept(deduped(parent, config=DedupConfig(near=False)))) == ["a", "c"]
    assert list(kept(deduped(parent, config=DedupConfig(exact=False)))) == ["a"]
    assert list(kept(deduped(parent, config=DedupConfig(exact=False, near=False)))) == [
        "a",
        "b",
        "c",
    ]


def test_empty_parent_gives_an_empty_artifact(clean, deduped):
    result = deduped(clean())

    assert (result.rows, result.stats["documents"], result.stats["near_duplicates"]) == (0, 0, 0)


def test_two_workers_write_the_same_bytes_as_one(clean, deduped):
    rows = corpus(60)
    parent = clean(rows[:70], rows[70:90], rows[90:])

    one, two = deduped(parent), deduped(parent, engine=LocalEngine(2))

    assert storage.canonical_json(one.manifest) == storage.canonical_json(two.manifest)
    assert one.stats["near_duplicates"] > 20


def test_partitions_and_chunks_do_not_change_the_result(clean, deduped, monkeypatch):
    rows = corpus(60)
    parent = clean(rows[:70], rows[70:])
    whole = deduped(parent)

    monkeypatch.setattr(deduplication, "PARTITION_ROWS", 300)
    monkeypatch.setattr(numbering, "CHUNKS_PER_PART", 50)
    split = deduped(parent)

    assert storage.canonical_json(split.manifest) == storage.canonical_json(whole.manifest)


def test_documents_of_one_address_are_copies_where_asked_for(tmp_path, deduped):
    urls = ["https://e.com/a?utm_source=x", "http://www.e.com/a/", "https://e.com/b", None, None]
    rows = tuple((str(n), english(n), url) for n, url in enumerate(urls))
    parent = run_stage(ADDRESSED, Given((rows,)), [], tmp_path / "in").artifact

    result = deduped(parent, config=DedupConfig(same_address=True))

    assert kept(result) == {"0": 2, "2": 1, "3": 1, "4": 1}
    assert rejects(result)["1"]["rule"] == "same_address"
    assert deduped(parent).rows == 5


def test_a_corpus_without_any_address_has_no_copies_by_address(tmp_path, deduped):
    rows = tuple((str(n), english(n), None) for n in range(3))
    parent = run_stage(ADDRESSED, Given((rows,)), [], tmp_path / "in").artifact

    assert deduped(parent, config=DedupConfig(same_address=True)).rows == 3


def test_what_has_the_address_of_a_copy_is_not_taken_for_one(tmp_path, deduped):
    near = edited(english(1), 60, "new")
    rows = (
        ("a", english(1), None), ("b", english(1), "https://e.com/b"),
        ("c", near, "https://e.com/c"), ("like b", english(2), "https://e.com/b"),
        ("like c", english(3), "https://e.com/c"), ("copy", english(3), None),
    )  # fmt: skip
    parent = run_stage(ADDRESSED, Given((rows,)), [], tmp_path / "in").artifact
    gone = rejects(deduped(parent, config=DedupConfig(same_address=True)))

    assert {row["partner"] for row in gone.values()} == {"a"}
    assert {id_: row["rule"] for id_, row in gone.items()} == {
        "b": "exact_duplicate", "c": "near_duplicate", "like b": "same_address",
        "like c": "same_address", "copy": "same_address",
    }  # fmt: skip
    assert gone["like c"]["similarity"] == 1.0


def test_a_sample_of_pairs_is_kept_for_people_to_judge(clean, deduped):
    rows = corpus(160)
    result = deduped(clean(rows))

    pairs = result.scan("pairs").collect()
    assert 10 < pairs.height <= 20
    assert pairs["similarity"].is_sorted()
    texts = dict(rows)
    for row in pairs.to_dicts():
        assert texts[row["id"]].startswith(row["text"])
        assert texts[row["partner"]].startswith(row["partner_text"])
        assert rejects(result)[row["id"]]["partner"] == row["partner"]
    shown = sample_pairs(result)
    assert shown.height == 10
    assert shown["similarity"][[0, -1]].equals(pairs["similarity"][[0, -1]])


def test_keys_are_parted_into_even_ranges_without_gaps():
    counts = [len(key_ranges(rows)) for rows in (0, 1, 1 << 20, (1 << 20) + 1, 9 << 20)]
    assert counts == [1, 1, 1, 2, 9]
    ranges = key_ranges(7 << 20)
    assert (ranges[0][0], ranges[-1][1]) == (0, 1 << 63)
    assert all(one[1] == two[0] for one, two in itertools.pairwise(ranges))
    assert len({(end - first) >> 4 for first, end in ranges}) == 1


def test_no_pair_survives_and_none_goes_without_a_kept_partner(clean, deduped):
    rows = corpus(80)
    result = deduped(clean(rows[:50], rows[50:]))
    ids, gone = kept(result), rejects(result)
    texts = dict(rows)

    assert result.ledger.seen == len(rows) == len(ids) + len(gone)
    for id_, row in gone.items():
        assert row["partner"] in ids
        assert row["value"] >= row["threshold"]
        assert texts[id_] != texts[row["partner"]] or row["similarity"] == 1.0
    assert sum(ids.values()) == len(rows)
    families = [id_.partition("-")[0] for id_ in ids]
    assert len(set(families)) == 80


@pytest.mark.parametrize(
    "options", [{"threshold": 0}, {"threshold": 1.2}, {"bands": 0}, {"neighbours": 0}, {"seed": -1}]
)
def test_config_that_cannot_be_used_is_refused(options):
    with pytest.raises(ConfigError, match="dedup"):
        DedupConfig(**options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"least_line_bytes": 0}, r"dedup\.passages\.least_line_bytes: 0, wanted from 1 to"),
        ({"least_substring_bytes": 63}, r"least_substring_bytes: 63, wanted from 64 .*phrases"),
    ],
)
def test_a_passage_length_that_cannot_be_used_is_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        PassageConfig(**options)


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue  # the stress set has lines that are broken on purpose


@pytest.mark.parametrize(
    "name", ["enzh_paddlex", "en_20news", "zh_laws", "zh_poetry", "zh_dureader_web"]
)
def test_real_pairs_are_found_and_nothing_else_goes(shared_data, clean, deduped, name):
    pairs = list(lines(shared_data / f"{name}.pairs.jsonl.gz"))[1:]
    wanted = {id_ for pair in pairs for id_ in (pair["a"], pair["b"])}
    rows = []
    for number, row in enumerate(lines(shared_data / f"{name}.jsonl.gz")):
        if row["id"] in wanted or number % 20 == 0:
            text = row["text"].partition("\n\n")[2] if name == "en_20news" else row["text"]
            rows.append((row["id"], text, row["lang"]))

    result = deduped(clean(rows[::2], rows[1::2]))
    ids, gone = kept(result), rejects(result)

    similar = {frozenset((p["a"], p["b"])): p["j"] for p in pairs}
    close = [pair for pair, value in similar.items() if value >= 0.8]
    assert sum(pair <= set(ids) for pair in close) <= 0.01 * len(close)
    for id_, row in gone.items():
        if row["rule"] == "near_duplicate":
            assert similar[frozenset((id_, row["partner"]))] == pytest.approx(
                row["similarity"],
                abs=1e-2,  # theirs is of words alone: symbols change tables
            )


def test_stress_set_loses_its_copies_and_keeps_its_lookalikes(shared_data, clean, deduped):
    pairs = list(lines(shared_data / "dirty.pairs.jsonl.gz"))
    lang = {id_: pair["lang"] for pair in pairs for id_ in (pair["a"], pair["b"])}
    rows = [
        (row["id"], row["text"].encode("utf-8", "replace").decode(), lang[row["id"]])
        for row in lines(shared_data / "dirty.jsonl.gz")
        if isinstance(row, dict) and row.get("id") in lang and isinstance(row.get("text"), str)
    ]

    result = deduped(clean(rows[::3], rows[1::3], rows[2::3]))
    ids = set(kept(result))

    close = [pair for pair in pairs if pair["j5"] >= 0.8]
    missed = [pair for pair in close if {pair["a"], pair["b"]} <= ids]
    lookalikes = [pair for pair in pairs if pair["how"] == "template_lookalike"]
    assert len(missed) <= 0.01 * len(close), missed
    assert all({pair["a"], pair["b"]} <= ids for pair in lookalikes)
