"""Token files: where documents lie, which parts are left out, what damage is found."""

import os
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.batching.curriculum import Levels
from pipeline.batching.shares import Share
from pipeline.batching.token_file import framed, token_file
from pipeline.batching.token_layout import TokenLayout
from pipeline.batching.windows import Stream
from pipeline.errors import ArtifactError, ConfigError, TrainingError
from pipeline.schema import shard_contract
from pipeline.shard import iter_documents
from pipeline.stage import Stage, run_stage
from pipeline.store.artifact import load_artifact
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards

PARTS = 5


@dataclass(frozen=True)
class Nothing:
    """No settings."""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def tokenizer(small):
    return load_tokenizer(small.path)


@pytest.fixture
def shards(small, tmp_path):
    """The small shards again, in several parts."""
    rows = pa.concat_tables(pa.Table.from_batches([b]) for b in iter_documents(small))

    def write(part, sink):
        mine = rows.take(np.arange(part, rows.num_rows, PARTS))
        ends = np.cumsum(pc.list_value_length(mine["tokens"]).to_numpy())
        at = mine.schema.get_field_index("offset")
        mine = mine.set_column(at, mine.schema.field(at), pa.array(np.r_[0, ends[:-1]]))
        sink.saw(mine.num_rows)
        half = mine.num_rows // 2
        sink.write("main", mine.slice(0, half))
        sink.write("main", mine.slice(half))

    def run(job):
        job.map(write, list(range(PARTS)))
        job.stats.update(small.stats)

    stage = Stage("shard", shard_contract(720), run, "pipeline.store.ledger", ("pyarrow",))
    return run_stage(stage, Nothing(), [], tmp_path / "shards").artifact


def documents(shards, split="train"):
    return [row for batch in iter_documents(shards, split) for row in batch.to_pylist()]


def laid(source, stratum):
    """Documents of a stratum as lists of ids."""
    ids = source.tokens()[stratum.start : stratum.start + stratum.tokens].tolist()
    text = ",".join(map(str, ids))
    assert text.startswith("1,")
    assert text.endswith(",2")
    return [[int(i) for i in one.split(",")] for one in text[2:-2].split(",2,1,")]


def test_shards_of_another_tokenizer_are_refused(shards, tmp_path):
    other = load_tokenizer(make_shards(tmp_path, vocab_size=680).path)
    with pytest.raises(TrainingError, match="run `shard` again with this tokenizer"):
        token_file(shards, "train", other, tmp_path)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_every_document_lies_once_in_the_stratum_of_its_source(shards, tokenizer, tmp_path, split):
    source = token_file(shards, split, tokenizer, tmp_path)
    assert [(s.source, s.lang) for s in source.strata] == [("en-source", "en"), ("zh-source", "zh")]
    for stratum in source.strata:
        own = [row["tokens"] for row in documents(shards, split) if row["lang"] == stratum.lang]
        assert laid(source, stratum) == own
        assert stratum.documents == len(own)
    assert sum(stratum.tokens for stratum in source.strata) == len(source)


def test_shares_lie_apart_and_what_none_takes_is_counted(shards, tokenizer, tmp_path):
    everything = token_file(shards, "train", tokenizer, tmp_path)
    shares = (Share(lang="zh"), Share("en-source"))
    source = token_file(shards, "train", tokenizer, tmp_path, TokenLayout(shares))
    assert [[s.lang for s in group] for group in source.groups()] == [["zh"], ["en"]]
    assert laid(source, source.strata[0]) == laid(everything, everything.strata[1])
    only = token_file(shards, "train", tokenizer, tmp_path, TokenLayout((Share(lang="zh"),)))
    assert len(only) == source.strata[0].tokens
    assert only.outside == source.strata[1].tokens


def test_a_share_without_documents_is_refused_with_what_there_is(shards, tokenizer, tmp_path):
    layout = TokenLayout((Share(), Share(lang="zh")))
    with pytest.raises(ConfigError, match=r"\*/zh takes no documents .* en-source/en, zh-source"):
        token_file(shards, "train", tokenizer, tmp_path, layout)


@pytest.mark.parametrize("measure", ["token_count", "tokens_per_byte"])
@pytest.mark.parametrize("descending", [False, True])
def test_levels_lie_in_the_order_of_their_measure(shards, tokenizer, tmp_path, measure, descending):
    layout = TokenLayout(levels=Levels(measure, 4, descending))
    source = token_file(shards, "train", tokenizer, tmp_path, layout)
    size = {tuple(row["tokens"]): row["bytes"] for row in documents(shards)}
    levels = {}
    for stratum in source.strata:
        for ids in laid(source, stratum):
            value = len(ids) / (size[tuple(ids)] if measure == "tokens_per_byte" else 1)
            levels.setdefault(stratum.level, []).append(-value if descending else value)
    assert sorted(levels) == [0, 1, 2, 3]
    assert all(max(levels[n]) <= min(levels[n + 1]) for n in range(3))
    assert max(map(len, levels.values())) - min(map(len, levels.values())) <= 2
    [blocks] = Stream(source, 16, False).blocks
    assert sum(blocks.levels) == blocks.count
    assert len(blocks.levels) == 4


def test_levels_go_by_a_measure_of_cleaning(tmp_path):
    shards = make_shards(tmp_path, measures=("words", "mean_word_length"))
    tokenizer = load_tokenizer(shards.path)
    layout = TokenLayout(levels=Levels("mean_word_length", 3))
    source = token_file(shards, "train", tokenizer, tmp_path, layout)
    value = {tuple(row["tokens"]): row["measure_mean_word_length"] for row in documents(shards)}
    found = [(s.level, value[tuple(ids)]) for s in source.strata for ids in laid(source, s)]
    assert len(found) == len(value)
    levels = [[v for level, v in found if level == n] for n in range(3)]
    assert all(max(levels[n]) <= min(levels[n + 1]) for n in range(2))
    with pytest.raises(ConfigError, match=r"no column measure_lines.*shard.measures=\[\"lines\"\]"):
        token_file(shards, "train", tokenizer, tmp_path, TokenLayout(levels=Levels("lines")))


def test_a_token_file_is_made_once_and_again_when_it_was_altered(shards, tokenizer, tmp_path):
    source = token_file(shards, "train", tokenizer, tmp_path)
    written = source.path.read_bytes()
    made = source.path.stat().st_mtime_ns
    assert token_file(shards, "train", tokenizer, tmp_path) == source
    os.utime(source.path)  # another time, the same bytes: hashed and kept
    touched = source.path.stat().st_mtime_ns
    assert token_file(shards, "train", tokenizer, tmp_path) == source
    assert made != source.path.stat().st_mtime_ns == touched
    source.path.write_bytes(written[:-2] + b"\x07\x00")
    assert token_file(shards, "train", tokenizer, tmp_path).path.read_bytes() == written


def truncate(path):
    path.write_bytes(path.read_bytes()[:-9])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "missing": (lambda path: path.unlink(), "missing"),
    "truncated": (truncate, r"\d+ bytes, the manifest says \d+"),
    "altered": (flip, "content differs from its SHA-256"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_parts_are_all_named_before_any_is_read(shards, tokenizer, tmp_path, kind):
    break_it, message = DAMAGES[kind]
    first, _, third, *_ = shards.parts()
    break_it(first)
    break_it(third)
    wanted = f'{first.name}: {message}.*; {third.name}: .*"{first.name}", "{third.name}"'
    with pytest.raises(ArtifactError, match=wanted):
        token_file(shards, "train", tokenizer, tmp_path)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_part_is_left_out_on_request_and_recorded(shards, tokenizer, tmp_path, kind):
    break_it, message = DAMAGES[kind]
    bad = shards.parts()[1]
    rows = [row["tokens"] for row in documents(shards)]
    entry = shards.manifest["tables"]["main"][1]
    break_it(bad)
    layout = TokenLayout(skip_parts=(bad.name,))
    source = token_file(shards, "train", tokenizer, tmp_path, layout)
    [skipped] = source.skipped
    assert (skipped["path"], skipped["rows"]) == (bad.name, entry["rows"])
    assert re.match(message, skipped["reason"])
    kept = [ids for stratum in source.strata for ids in laid(source, stratum)]
    assert len(kept) < len(rows)
    assert all(ids in rows for ids in kept)


def test_a_part_that_is_not_there_cannot_be_left_out(shards, tokenizer, tmp_path):
    with pytest.raises(ConfigError, match="no part 'part-9'; it has part-00000"):
        token_file(shards, "train", tokenizer, tmp_path, TokenLayout(skip_parts=("part-9",)))


def test_damage_is_met_at_the_next_opening_even_if_the_file_was_sound_at_the_first(
    shards, tokenizer, tmp_path
):
    token_file(shards, "validation", tokenizer, tmp_path)
    flip(shards.parts()[0])
    load_artifact(shards.path, checksums=False)  # sizes alone say nothing
    with pytest.raises(ArtifactError, match="SHA-256"):
        token_file(shards, "train", tokenizer, tmp_path)


def test_framing_no_documents_gives_no_tokens(small):
    batch = next(iter_documents(small, "train", ["tokens"]))
    assert len(framed(batch.column("tokens").slice(0, 0), np.dtype(np.uint16))) == 0
