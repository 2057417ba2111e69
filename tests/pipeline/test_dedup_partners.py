"""Every document that dedup names as a partner is kept and has what it is named for."""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.characters import folding
from pipeline.dedup import STAGE, DedupConfig
from pipeline.duplicates import clusters, signatures
from pipeline.duplicates.config import PassageConfig
from pipeline.duplicates.signatures import Shingling
from pipeline.stage import run_stage
from pipeline.store.artifact import Artifact
from tests.pipeline.corpora import (
    GIVEN,
    Given,
    chinese,
    english,
    files_of,
    rejects,
)

Rows = list[tuple[str, str]]

LINES = [english(n, 9 + n) for n in range(6)] + [chinese(n, 14 + 3 * n) for n in range(6)]
CHANGES = ("same", "upper", "added", "cut", "laid out", "spaced")


def taking(*kinds: str, **options) -> DedupConfig:
    least = {"least_line_bytes": 20, "least_paragraph_bytes": 60, "least_substring_bytes": 64}
    passages = PassageConfig(**dict.fromkeys(kinds, True), **least)
    return DedupConfig(passages=passages, threshold=0.6, **options)


CONFIGS = {
    "documents": taking(),
    "lines": taking("lines"),
    "paragraphs": taking("paragraphs"),
    "runs": taking("substrings"),
    "lines and paragraphs": taking("lines", "paragraphs"),
    "all": taking("lines", "paragraphs", "substrings"),
    "passages alone": taking("lines", "paragraphs", "substrings", near=False, exact=False),
}


@st.composite
def corpora(draw) -> Rows:
    """Documents of a few lines in one of several layouts, and changed forms of earlier ones."""
    texts: list[str] = []
    for _ in range(draw(st.integers(2, 24))):
        if texts and draw(st.integers(0, 2)) == 0:
            texts.append(changed(draw(st.sampled_from(texts)), draw(st.sampled_from(CHANGES))))
            continue
        pieces: list[str] = []
        for line in draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=6)):
            first, end = draw(st.sampled_from([(0, 1), (0, 1), (0, 0.6), (0.3, 1)]))
            piece = line[int(first * len(line)) : int(end * len(line))]
            pieces += [piece, draw(st.sampled_from(["\n", "\n", "\n\n", " ", "", "\n" + " " * 90]))]
        texts.append("".join(pieces))
    return [(f"d{n}", text) for n, text in enumerate(texts)]


def changed(text: str, how: str) -> str:
    if how == "upper":
        return text.upper()
    if how == "added":
        return f"{text}\nand one more"
    if how == "cut":
        return text[len(text) // 8 :]
    if how == "laid out":
        return text.replace("\n", " ")
    return text.replace(" ", "\n ") if how == "spaced" else text


def deduplicated(folder: Path, parts: list[Rows], config: DedupConfig, adding: bool) -> Artifact:
    """Deduplicate each part as a parent, at once or the last added to the others."""
    parents = [
        run_stage(GIVEN, Given((tuple(part),)), [], folder / f"clean{n}").artifact
        for n, part in enumerate(parts)
    ]
    previous = None
    if adding:
        previous = run_stage(STAGE, config, parents[:-1], folder / "old").artifact
    return run_stage(STAGE.going_on_from(previous), config, parents, folder / "out").artifact


def folded(text: str) -> str:
    """Text as passages are compared: case, width, white space and invisible characters aside."""
    codes = (folding()[ord(c)] if ord(c) < len(folding()) else ord(c) for c in text)
    return " ".join("".join(chr(code) for code in codes if code).split())


def similarity(one: str, other: str) -> float:
    texts = pa.array([one, other], pa.large_string())
    made_of = Shingling(5, 5, 20, 6, 1)
    hashes, ends = signatures.shingle_sets(texts, pa.array(["und", "und"]), made_of)
    return float(clusters.jaccard(hashes, ends, np.array([0]), np.array([1]))[0])


def check(artifact: Artifact, rows: Rows, threshold: float) -> None:
    """Look every partner up."""
    before, left = dict(rows), {}
    if artifact.rows:
        left = dict(artifact.scan().select("id", "text").collect().iter_rows())
    gone = rejects(artifact)
    assert left.keys() | gone.keys() == before.keys()
    assert not left.keys() & gone.keys()
    for id_, row in gone.items():
        partner = row["partner"]
        assert partner in left
        if row["rule"] == "exact_duplicate":
            assert folded(before[partner]) == folded(before[id_])
        elif row["rule"] == "near_duplicate":
            found = similarity(before[partner], before[id_])
            assert found >= threshold
            assert found == pytest.approx(row["similarity"], abs=1e-9)
        else:
            assert row["rule"] == "all_repeated"
            assert row["similarity"] is None
            assert row["detail"] is None or "nothing was left" in row["detail"]
    cuts = artifact.scan("changes").collect().to_dicts() if artifact.parts("changes") else []
    for cut in cuts:
        passage = before[cut["id"]].encode()[cut["start"] : cut["end"]].decode()
        assert folded(passage) in folded(left[cut["partner"]]), cut
        assert folded(passage)


def whole(artifact: Artifact, rows: Rows) -> None:
    """What is left of a text and what was cut from it are the text."""
    left = dict(artifact.scan().select("id", "text").collect().iter_rows())
    cuts = artifact.scan("changes").collect() if artifact.parts("changes") else pl.DataFrame()
    for id_, text in rows:
        if id_ not in left:
            continue
        data, taken = text.encode(), np.zeros(len(text.encode()), bool)
        for cut in cuts.filter(pl.col("id") == id_).to_dicts() if len(cuts) else ():
            taken[cut["start"] : cut["end"]] = True
        rest = bytes(np.frombuffer(data, np.uint8)[~taken]).decode()
        assert left[id_] == (rest.strip() if taken.any() else text)


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=4)
@given(rows=corpora(), parts=st.integers(1, 3))
def test_each_partner_is_kept_and_has_what_it_is_named_for(name, rows, parts):
    with tempfile.TemporaryDirectory() as folder:
        split = [rows[n * len(rows) // parts : (n + 1) * len(rows) // parts] for n in range(parts)]
        split = [part for part in split if part]
        once = deduplicated(Path(folder), split, CONFIGS[name], adding=False)
        check(once, rows, 0.6)
        whole(once, rows)
        if len(split) > 1:
            with tempfile.TemporaryDirectory() as other:
                added = deduplicated(Path(other), split, CONFIGS[name], adding=True)
                assert files_of(added) == files_of(once)


def test_a_passage_is_followed_to_the_documents_that_keep_its_parts(tmp_path):
    """The first copy of a paragraph loses one line to an earlier document, its copy to both."""
    known, own = LINES[3], LINES[5]
    paragraph = f"{known}\n{own}"
    rows = [
        ("a", known),
        ("b", f"{paragraph}\n\nb {LINES[1]}"),
        ("c", f"c {LINES[2]}\n\n{paragraph}"),
    ]
    result = deduplicated(tmp_path, [rows], CONFIGS["paragraphs"], adding=False)
    whole_paragraph = result.scan("changes").collect().rows()
    both = deduplicated(tmp_path / "both", [rows], CONFIGS["lines and paragraphs"], adding=False)
    cuts = both.scan("changes").collect().filter(id="c", change="paragraph")

    assert [row[0:2] + row[4:] for row in whole_paragraph] == [("c", "paragraph", "b")]
    text = rows[2][1].encode()
    assert [
        (text[start:end].decode().strip(), partner)
        for start, end, partner in cuts.select("start", "end", "partner").iter_rows()
    ] == [(known, "a"), (own, "b")]


def test_copies_of_a_document_without_text_of_its_own_name_a_kept_one(tmp_path):
    lines = [english(200 + n, 12 + n) for n in range(8)]
    text = "\n".join(lines)
    rows = [*((f"{n}", line) for n, line in enumerate(lines)), ("gone", text)]
    rows += [("copy", text.upper()), ("near", f"{text} and more")]
    result = deduplicated(tmp_path, [rows], CONFIGS["lines"], adding=False)

    assert {
        id_: (row["rule"], row["partner"], row["similarity"])
        for id_, row in rejects(result).items()
    } == dict.fromkeys(("gone", "copy", "near"), ("all_repeated", "7", None))
    assert "near_duplicate (0.9" in rejects(result)["near"]["detail"]
    assert result.ledger.seen == result.rows + 3
