"""The stage `dedup`: what is removed, for whom, and that nothing goes without a partner."""

import gzip
import json
import random
from dataclasses import dataclass

import pyarrow as pa
import pytest

from pipeline import dedup, storage
from pipeline.dedup import STAGE, DedupConfig, partition_bits
from pipeline.duplicates import layout
from pipeline.duplicates.passage_phases import PassageConfig
from pipeline.duplicates.tables import cluster_sizes
from pipeline.engine.local import LocalEngine
from pipeline.errors import ConfigError
from pipeline.schema import CLEAN, DEDUPED
from pipeline.stage import Stage, run_stage


@dataclass(frozen=True)
class Given:
    parts: tuple[tuple[tuple[str, ...], ...], ...]  # (id, text) or (id, text, lang)


def emit(rows, sink):
    sink.saw(len(rows))
    documents = [
        {"id": id_, "text": text, "source": "tests", "path": "a", "position": at, "lang": lang}
        for at, (id_, text, lang) in enumerate((*row, "und")[:3] for row in rows)
    ]
    for start in range(0, len(rows), 50):
        sink.write("main", pa.Table.from_pylist(documents[start : start + 50], schema=CLEAN.schema))


GIVEN = Stage(
    "clean", CLEAN, lambda job: job.map(emit, job.config.parts) and None, "pipeline.schema", ()
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


@pytest.fixture
def clean(tmp_path):
    def make(*parts):
        given = Given(tuple(tuple(part) for part in parts))
        return run_stage(
            GIVEN, given, [], tmp_path / f"clean{len(list(tmp_path.iterdir()))}"
        ).artifact

    return make


@pytest.fixture
def deduped(tmp_path):
    def run(*parents, config=DedupConfig(), **options):  # noqa: B008 - frozen
        folder = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        return run_stage(STAGE, config, parents, folder, **options).artifact

    return run


def kept(artifact) -> dict[str, int]:
    if not artifact.rows:
        return {}
    sizes = dict.fromkeys(artifact.scan().collect()["id"], 1)
    if artifact.parts("rejects"):
        sizes |= dict(cluster_sizes(artifact.scan("rejects")).collect().iter_rows())
    return sizes


def rejects(artifact) -> dict[str, dict]:
    if not artifact.parts("rejects"):
        return {}
    return {row["id"]: row for row in artifact.scan("rejects").collect().to_dicts()}


def english(seed: int, words: int = 200) -> str:
    generator = random.Random(seed)
    return " ".join(f"w{generator.randrange(5000)}" for _ in range(words))


def chinese(seed: int, characters: int = 300) -> str:
    generator = random.Random(seed)
    return "".join(chr(0x4E00 + generator.randrange(3000)) for _ in range(characters))


def edited(text: str, every: int, to: str) -> str:
    pieces = text.split(" ") if " " in text else list(text)
    pieces[every // 2 :: every] = [to] * len(pieces[every // 2 :: every])
    return (" " if " " in text else "").join(pieces)


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


def corpus(groups: int) -> list[tuple[str, str]]:
    rows = []
    for n in range(groups):
        text = english(n, 120) if n % 2 else chinese(n, 150)
        rows.append((f"{n}-0", text))
        rows += [
            (f"{n}-{i + 1}", edited(text, 40 + 7 * i, f"e{i}" if n % 2 else "改"))
            for i in range(n % 4)
        ]
        rows += [(f"{n}-copy", text)] * (n % 3 == 0)
    random.Random(3).shuffle(rows)
    return rows


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

    monkeypatch.setattr(dedup, "PARTITION_ROWS", 300)
    monkeypatch.setattr(layout, "CHUNKS_PER_PART", 50)
    split = deduped(parent)

    assert storage.canonical_json(split.manifest) == storage.canonical_json(whole.manifest)


@dataclass(frozen=True)
class Known:
    """A parent of which nothing is at hand but what it was."""

    stage: str
    fingerprint: str


def files_of(artifact) -> dict[str, str]:
    names = (f for f in artifact.path.rglob("*") if f.is_file() and f.name != "timing.json")
    return {str(f.relative_to(artifact.path)): storage.sha256_of(f) for f in names}


@pytest.mark.parametrize("workers", [1, 2])
def test_adding_text_gives_the_bytes_of_starting_from_scratch(clean, deduped, workers):
    rows = corpus(90)
    first, second = clean(rows[:60], rows[60:90]), clean(rows[90:130])
    third = clean(rows[130:170], rows[170:])
    scratch = deduped(first, second, third)
    engine = LocalEngine(workers)

    old = deduped(first)
    grown = deduped(Known("clean", first.fingerprint), second, previous=old, engine=engine)
    known = [Known("clean", parent.fingerprint) for parent in (first, second)]
    again = deduped(*known, third, previous=grown, engine=engine)

    assert files_of(again) == files_of(scratch)
    assert again.fingerprint == scratch.fingerprint
    added = {row[0] for row in rows[90:]}
    inside = [r for r in rejects(again).values() if r["id"] in added and r["partner"] in added]
    across = [r for r in rejects(again).values() if r["id"] in added and r["partner"] not in added]
    assert len(inside) > 5
    assert len(across) > 5


def test_a_copy_of_a_removed_document_goes_to_its_keeper_when_added_later(clean, deduped):
    text = english(1)
    near = edited(text, 60, "new")
    first, second = clean([("a", text), ("b", near)]), clean([("c", near), ("d", text.upper())])

    old = deduped(first)
    grown = deduped(Known("clean", first.fingerprint), second, previous=old)

    assert files_of(grown) == files_of(deduped(first, second))
    assert {(r["id"], r["partner"], r["rule"]) for r in rejects(grown).values()} == {
        ("b", "a", "near_duplicate"), ("c", "a", "near_duplicate"), ("d", "a", "exact_duplicate"),
    }  # fmt: skip


def test_adding_to_other_text_or_without_an_index_is_refused(clean, deduped):
    first, second = clean([("a", english(1))]), clean([("b", english(2))])

    with pytest.raises(ConfigError, match="not made of the first"):
        deduped(second, first, previous=deduped(first))
    bare = DedupConfig(keep_index=False)
    with pytest.raises(ConfigError, match="carries no index"):
        deduped(first, second, config=bare, previous=deduped(first, config=bare))


def test_documents_of_one_address_are_copies_where_asked_for(tmp_path, deduped):
    urls = ["https://e.com/a?utm_source=x", "http://www.e.com/a/", "https://e.com/b", None, None]
    rows = tuple((str(n), english(n), url) for n, url in enumerate(urls))
    parent = run_stage(ADDRESSED, Given((rows,)), [], tmp_path / "in").artifact

    result = deduped(parent, config=DedupConfig(same_address=True))

    assert kept(result) == {"0": 2, "2": 1, "3": 1, "4": 1}
    assert rejects(result)["1"]["rule"] == "same_address"
    assert deduped(parent).rows == 5


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


def test_partition_count_follows_the_number_of_rows():
    assert [partition_bits(rows) for rows in (0, 1, 1 << 20, (1 << 20) + 1, 9 << 18)] == [
        0,
        0,
        0,
        1,
        2,
    ]


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
                row["similarity"], abs=1e-3
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


def passages(*kinds: str) -> DedupConfig:
    return DedupConfig(passages=PassageConfig(**dict.fromkeys(kinds, True)))


@pytest.mark.parametrize(
    ("shared", "others", "sep"),
    [
        ("The library opens at nine every day but Sunday, and it closes late.", english, "\n"),
        ("图书馆除星期天外每天上午九点开门，很晚才关门，读者可以一直待在里面看书。", chinese, "\n"),
    ],
)
@pytest.mark.parametrize("kind", ["lines", "paragraphs", "substrings"])
def test_a_passage_stays_where_it_stands_first_only(clean, deduped, kind, shared, others, sep):
    gap = sep if kind == "lines" else sep * 2
    run = shared * 3 if kind != "lines" else shared
    own = [f"{others(n)} {'xyz'[n]}" for n in range(3)]
    texts = [f"{own[0]}{gap}{run}", f"{run}{gap}{own[1]}", f"{own[2]}{gap}{run}"]
    rows = [(str(n), text) for n, text in enumerate(texts)]
    result = deduped(clean(rows[:1], rows[1:]), config=passages(kind))

    kept_texts = result.scan().select("text").collect()["text"].to_list()
    assert kept_texts == [texts[0], own[1], own[2]]
    cuts = result.scan("changes").collect().to_dicts()
    assert [(c["id"], c["change"] + "s", c["partner"]) for c in cuts] == [
        ("1", kind, "0"), ("2", kind, "0"),
    ]  # fmt: skip
    data = texts[1].encode()[cuts[0]["start"] : cuts[0]["end"]].decode()
    assert data.strip() == run
    assert result.ledger.changed == {kind[:-1]: 2}


def test_a_document_of_repeated_lines_alone_goes_and_is_accounted_for(clean, deduped):
    lines = [english(n, 14) for n in range(4)]
    rows = [("a", f"{lines[0]}\n{lines[1]}"), ("b", f"{lines[2]}\n{lines[3]}"),
            ("c", f"{lines[3]}\n{lines[0]}"), ("d", f"{english(9)}\n{lines[0]}")]  # fmt: skip
    result = deduped(clean(rows), config=passages("lines"))

    assert list(kept(result)) == ["a", "b", "d"] or set(kept(result)) == {"a", "b", "d"}
    gone = rejects(result)["c"]
    assert (gone["rule"], gone["partner"] in ("a", "b")) == ("all_repeated", True)
    assert result.ledger.seen == 4


def test_taking_out_passages_gives_the_same_bytes_on_two_workers(clean, deduped):
    rows = [(i, f"{t}\n\n{english(int(i[0]), 40)}\n{t[:90]}") for i, t in corpus(50)]
    parent = clean(rows[:40], rows[40:70], rows[70:])
    config = passages("lines", "paragraphs", "substrings")

    one = deduped(parent, config=config)
    assert files_of(deduped(parent, config=config, engine=LocalEngine(2))) == files_of(one)
    assert len(one.ledger.changed) == 3
    with pytest.raises(ConfigError, match="carries no index"):
        deduped(parent, clean(rows[:3]), config=config, previous=one)
