"""Best-fit packing: whole documents, every token predicted once, few pads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.config import BEST_FIT
from model.data.loader import Loader
from pipeline.batching.curriculum import Levels
from pipeline.batching.packing import best_fit, pieces
from pipeline.batching.shares import Share
from pipeline.batching.token_file import TokenFile, token_file
from pipeline.batching.token_layout import TokenLayout
from pipeline.errors import ConfigError
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards

BOS, EOS, PAD = 1, 2, 3


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def tokenizer(shards):
    return load_tokenizer(shards.path)


def packed(source: TokenFile, context=64, batch_size=1, **more) -> Loader:
    return Loader(source, context, batch_size, seed=5, packing=BEST_FIT, **more)


@given(st.lists(st.integers(1, 50), max_size=300), st.integers(50, 60))
def test_pieces_fill_rows_as_best_fit_says(lengths, room):
    lengths = sorted(lengths, reverse=True)
    rows, count = best_fit(np.array(lengths, np.int32), room)
    left = []
    for length, row in zip(lengths, rows.tolist(), strict=True):
        fits = [have for have in left if have >= length]
        assert (left[row] if row < len(left) else None) == min(fits, default=None)
        if row == len(left):
            left.append(room)
        left[row] -= length
    assert count == len(left)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=50), st.integers(1, 12))
def test_pieces_predict_every_token_of_a_document_but_its_first_once(sizes, context):
    starts = np.cumsum([0, *sizes[:-1]])
    start_P, length_P = pieces(starts, sum(sizes), context)
    assert length_P.min() >= 2
    assert length_P.max() <= context + 1
    spans = [start + np.arange(1, n) for start, n in zip(start_P, length_P, strict=True)]
    predicted = np.concatenate(spans)
    assert sorted(predicted) == sorted(set(range(sum(sizes))) - set(starts.tolist()))


def test_an_epoch_predicts_every_token_once_and_keeps_documents_apart(shards, tokenizer, tmp_path):
    source = token_file(shards, "train", tokenizer, tmp_path)
    loader = packed(source)
    ids, documents, counted = [], [], []
    for step in range(loader.windows):
        rows = loader.rows(step)
        ids.append(rows.ids_BT[0])
        documents.append(rows.documents_BT[0])
        counted.append(rows.loss_weight_BT[0])
    ids, documents, counted = map(np.array, (ids, documents, counted))
    stream = source.tokens()
    assert sorted(ids[counted]) == sorted(stream[stream != BOS])
    assert (documents[ids == PAD] == 0).all()
    first = np.diff(documents, axis=1, prepend=0) > 0  # the first token of each piece
    assert not counted[first].any()
    assert (first[ids == BOS]).all()
    assert (first | counted | (ids == PAD)).all()
    room = ids.size
    assert abs(loader.padding - (ids == PAD).sum() / room) < 1e-12
    assert loader.padding < 0.05
    assert loader.leftover == 0


def test_short_documents_are_never_cut(shards, tokenizer, tmp_path):
    source = token_file(shards, "train", tokenizer, tmp_path)
    ids = source.tokens()
    documents = np.split(ids, np.flatnonzero(ids == BOS)[1:])
    whole = {tuple(one.tolist()) for one in documents if len(one) <= 401}
    assert len(whole) > 5
    loader, found = packed(source, context=400), set()
    for step in range(loader.windows):
        rows = loader.rows(step)
        for number in range(1, rows.documents_BT.max() + 1):
            found.add(tuple(rows.ids_BT[rows.documents_BT == number].tolist()))
    assert whole <= found


def test_packing_is_made_once_and_is_the_same_for_all_processes(shards, tokenizer, tmp_path):
    source = token_file(shards, "train", tokenizer, tmp_path)
    loader = packed(source, batch_size=4)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    halves = [packed(source, batch_size=4, rank=r, world_size=2) for r in range(2)]
    assert files == {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    for step in range(9):
        both = np.concatenate([half.rows(step).ids_BT for half in halves])
        assert (both == loader.rows(step).ids_BT).all()
        batch = loader.batch(step)
        assert (batch.attention_mask_BT.numpy() == (both != PAD)).all()
        assert batch.loss_weight_BT.shape == batch.documents_BT.shape == both.shape


def test_shares_and_levels_are_packed_apart_and_accounted_for(shards, tokenizer, tmp_path):
    shares = (Share(lang="zh", weight=1.0), Share(lang="en", weight=1.0))
    layout = TokenLayout(shares, Levels("token_count", 3))
    source = token_file(shards, "train", tokenizer, tmp_path, layout)
    loader = packed(source, shares=shares)
    steps = 2 * loader.windows + 7
    account = {row["lang"]: row["tokens"] for row in loader.account(steps)}
    assert list(account) == ["zh", "en"]
    counted = sum(int(loader.rows(step).loss_weight_BT.sum()) for step in range(steps))
    assert sum(account.values()) == counted
    rows = [loader.rows(step).ids_BT for step in range(4)]
    lengths = [np.diff(np.flatnonzero(row[0] == BOS)) for row in rows]
    assert all(len(found) == 0 or found.max() < 65 for found in lengths)


def test_blocks_larger_than_a_row_are_refused(shards, tokenizer, tmp_path):
    source = token_file(shards, "train", tokenizer, tmp_path)
    with pytest.raises(ConfigError, match="leave out block"):
        packed(source, context=32, block=64)
