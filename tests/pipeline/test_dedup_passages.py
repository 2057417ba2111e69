"""The stage `dedup` where passages are taken out of what stays."""

import pytest

from pipeline.engine.local import LocalEngine
from tests.pipeline.corpora import chinese, corpus, english, files_of, kept, passages, rejects


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
