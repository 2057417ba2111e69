"""Adding text to what was deduplicated gives the bytes of starting from scratch."""

import random

import pytest

from pipeline.dedup import DedupConfig
from pipeline.engine.local import LocalEngine
from pipeline.errors import ConfigError
from tests.pipeline.corpora import corpus, edited, english, files_of, passages, rejects


@pytest.mark.parametrize("workers", [1, 2])
def test_adding_text_gives_the_bytes_of_starting_from_scratch(clean, deduped, workers):
    rows = corpus(90)
    first, second = clean(rows[:60], rows[60:90]), clean(rows[90:130])
    third = clean(rows[130:170], rows[170:])
    scratch = deduped(first, second, third)
    engine = LocalEngine(workers)

    old = deduped(first)
    grown = deduped(first, second, previous=old, engine=engine)
    known = [first, second]
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
    grown = deduped(first, second, previous=old)

    assert files_of(grown) == files_of(deduped(first, second))
    assert {(r["id"], r["partner"], r["rule"]) for r in rejects(grown).values()} == {
        ("b", "a", "near_duplicate"), ("c", "a", "near_duplicate"), ("d", "a", "exact_duplicate"),
    }  # fmt: skip


def test_taking_over_from_an_artifact_without_an_index_is_refused(clean, deduped):
    first, second = clean([("a", english(1))]), clean([("b", english(2))])
    bare = DedupConfig(keep_index=False)
    with pytest.raises(ConfigError, match="carries no index"):
        deduped(first, second, config=bare, previous=deduped(first, config=bare))


def test_text_that_is_gone_takes_only_the_decisions_about_it(clean, deduped):
    rows = corpus(60)
    first, second, third = clean(rows[:40]), clean(rows[40:80]), clean(rows[80:])
    old = deduped(first, second, third)

    for left in ([second, third], [first, third], [third, first], [third]):
        assert files_of(deduped(*left, previous=old)) == files_of(deduped(*left))
    back = set(rejects(old)) & set(deduped(second, third, previous=old).scan().collect()["id"])
    assert len(back) > 3  # copies of documents that are gone


def test_adding_under_other_settings_is_refused_by_name(clean, deduped):
    first, second = clean([("a", english(1))]), clean([("b", english(2))])
    old = deduped(first)

    with pytest.raises(ConfigError, match=r"threshold 0\.8 -> 0\.7"):
        deduped(first, second, config=DedupConfig(threshold=0.7), previous=old)


def passage(seed: int) -> str:
    """A paragraph of three lines, each long enough to count."""
    return "\n".join(english(1000 + 10 * seed + line, 18) for line in range(3))


def woven(count: int) -> list[tuple[str, str]]:
    """Texts that share paragraphs, lines and byte runs, some nothing but; near and exact copies."""
    generator = random.Random(5)
    rows: list[tuple[str, str]] = []
    for n in range(count):
        shared = [passage(n // 9 + generator.randrange(8)) for _ in range(generator.randrange(4))]
        if n % 3 == 0:
            shared = [piece.replace("\n", " ") for piece in shared]  # a run, but no line
        elif n % 4 == 1:
            shared = [piece.split("\n")[1] for piece in shared]  # a line, but no paragraph
        own = [f"  {english(n, 60 + n % 90)}"] if n % 6 else []
        pieces = [*own, *shared] or [english(n, 30)]
        generator.shuffle(pieces)
        rows.append((f"{n}", "\n\n".join(pieces) + "\n" * (n % 3)))
        if n % 5 == 0:
            rows.append((f"{n}-near", edited(generator.choice(rows)[1], 50, "new")))
        if n % 7 == 0:
            rows.append((f"{n}-copy", generator.choice(rows)[1].upper()))
    return rows


KINDS = ("lines", "paragraphs", "substrings")


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS])
def test_adding_text_after_passages_were_taken_out_gives_the_same_bytes(clean, deduped, kinds):
    rows, config = woven(100), passages(*kinds)
    first, second, third = clean(rows[:30], rows[30:60]), clean(rows[60:90]), clean(rows[90:])
    scratch = deduped(first, second, third, config=config)

    old = deduped(first, config=config)
    grown = deduped(first, second, config=config, previous=old)
    known = [first, second]
    again = deduped(*known, third, config=config, previous=grown)

    assert files_of(again) == files_of(scratch)
    assert again.fingerprint == scratch.fingerprint
    added = {id_ for id_, _ in rows[60:]}
    cuts = again.scan("changes").collect()
    partners = cuts.filter(cuts["id"].is_in(added))["partner"].is_in(added)
    assert partners.any()
    assert not partners.all()


def test_new_text_is_compared_with_all_that_an_old_one_had(clean, deduped):
    """Near copies of texts that lost passages, or all they had, and runs inside what they lost."""
    config = passages("lines", "substrings")
    shared, own = [passage(n) for n in range(6)], english(50, 40)
    first = clean([
        *((f"{n}", piece) for n, piece in enumerate(shared)), ("gone", "\n".join(shared)),
        ("less", f"\n {own}\n{shared[0]}\n \n"),
    ])  # fmt: skip
    added = clean([
        ("like gone", edited("\n".join(shared), 80, "new")), ("GONE", "\n".join(shared).upper()),
        ("like less", edited(f"{own} {shared[0]}", 60, "new")),
    ])  # fmt: skip

    old = deduped(first, config=config)
    grown = deduped(first, added, config=config, previous=old)

    assert rejects(old)["gone"]["rule"] == "all_repeated"
    assert {r["id"]: (r["rule"], r["partner"]) for r in rejects(grown).values()} == {
        "gone": ("all_repeated", "1"), "GONE": ("all_repeated", "1"),
        "like gone": ("all_repeated", "1"), "like less": ("near_duplicate", "less"),
    }  # fmt: skip
    details = [rejects(grown)[id_]["detail"] for id_ in ("gone", "GONE")]
    assert details == [None, "exact_duplicate (1.0) of gone, of which nothing was left"]
    assert files_of(grown) == files_of(deduped(first, added, config=config))
