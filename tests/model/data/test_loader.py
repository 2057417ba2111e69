"""Batches as pure functions of the step: any world size, context, number of threads."""

from dataclasses import replace

import numpy as np
import pytest

from model.data.config import ContextFrom
from model.data.loader import Loader, TokenFile, spread_windows, token_file
from model.network.batch import Batch
from pipeline.batching.shares import Share
from pipeline.batching.token_layout import Stratum
from pipeline.batching.windows import document_numbers
from pipeline.errors import ConfigError, TrainingError
from pipeline.shard import iter_documents
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards

MIXED = (Share("a", weight=1.0), Share("b", weight=3.0))
GROWING = (ContextFrom(0, 16), ContextFrom(3, 32), ContextFrom(5, 64))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


def numbers(tmp_path, count, context=8, batch_size=3, seed=0, strata=(), **more):
    """Return a loader over a file in which every token is its own position."""
    path = tmp_path / f"{count}.tokens"
    np.arange(count, dtype=np.uint32).tofile(path)
    source = TokenFile(path, np.dtype(np.uint32), strata)
    return Loader(source, context, batch_size, seed, **more)


def two_sources(tmp_path, **more):
    strata = (
        Stratum(0, 0, "a", "en", 0, 400, 4), Stratum(0, 0, "a", "zh", 400, 241, 4),
        Stratum(1, 0, "b", "zh", 641, 481, 4),
    )  # fmt: skip
    return numbers(tmp_path, 1122, strata=strata, shares=MIXED, **more)


def rows(loader, first, last):
    return np.concatenate([loader.rows(step).ids_BT for step in range(first, last)])


def test_an_epoch_predicts_every_token_once(tmp_path):
    loader = numbers(tmp_path, 8 * 12 + 1)
    targets = rows(loader, 0, 4)[:, 1:].ravel()
    assert sorted(targets) == list(range(1, 97))
    second = rows(loader, 4, 8)[:, 1:].ravel()
    assert sorted(second) == sorted(targets)
    assert list(second) != list(targets)


def test_a_batch_depends_on_seed_and_step_alone(tmp_path):
    loader = numbers(tmp_path, 500)
    forwards = [loader.batch(step) for step in range(30)]
    backwards = [loader.batch(step) for step in reversed(range(30))]
    assert all((a == b).all() for a, b in zip(forwards, reversed(backwards), strict=True))
    assert not (numbers(tmp_path, 500, seed=1).batch(0) == forwards[0]).all()


def test_any_number_of_processes_makes_the_same_global_batches(tmp_path):
    whole = two_sources(tmp_path, batch_size=12)
    for world_size in (1, 2, 3, 4, 12):
        ranks = [replace(whole, rank=r, world_size=world_size) for r in range(world_size)]
        for step in (0, 1, 7, 1000):
            found = np.concatenate([rank.rows(step).ids_BT for rank in ranks])
            assert (found == whole.rows(step).ids_BT).all()


def test_a_run_changes_its_world_size_and_goes_on_with_the_next_tokens(tmp_path):
    whole = two_sources(tmp_path, batch_size=12)
    got = []
    for world_size, first, last in ((4, 0, 9), (2, 9, 17), (1, 17, 23), (3, 23, 40)):
        ranks = [replace(whole, rank=r, world_size=world_size) for r in range(world_size)]
        got += [rank.rows(step).ids_BT for step in range(first, last) for rank in ranks]
    assert (np.concatenate(got) == rows(whole, 0, 40)).all()


@pytest.mark.parametrize("threads", [1, 4])
def test_batches_prepared_in_the_background_are_the_same(tmp_path, threads):
    plain = two_sources(tmp_path)
    ahead = replace(plain, ahead=3, threads=threads)
    for step in [*range(20), 5, 300, *range(7, 12)]:
        assert (ahead.batch(step) == plain.batch(step)).all()


@pytest.mark.parametrize("change", [{"number_documents": True}, {"contexts": GROWING}])
def test_prepared_batches_are_the_same_with_documents_numbered_or_rows_that_grow(tmp_path, change):
    plain = replace(numbers(tmp_path, 64 * 30 + 1, context=64, batch_size=4), **change)
    ahead = replace(plain, ahead=2)
    for step in [*range(8), 70, 31, 32, 33]:
        made, wanted = ahead.rows(step), plain.rows(step)
        assert (made.ids_BT == wanted.ids_BT).all()
        assert change.get("contexts") or (made.documents_BT == wanted.documents_BT).all()


def test_an_error_in_the_background_is_raised_when_its_step_is_asked_for(tmp_path):
    shares = (Share(epochs_max=1.0),)
    loader = numbers(tmp_path, 8 * 12 + 1, shares=shares, ahead=2)
    assert len({tuple(row) for row in rows(loader, 0, 4)}) == 12
    with pytest.raises(TrainingError, match="exhausted after 12 blocks"):
        loader.batch(4)


def test_a_context_that_changes_with_the_same_tokens_per_step_reads_the_same_tokens(tmp_path):
    """Whatever the context, step s holds the same tokens, cut shorter or longer."""
    short = numbers(tmp_path, 64 * 30 + 1, context=16, batch_size=12, block=64)
    for context, batch_size in ((32, 6), (64, 3)):
        longer = replace(short, context=context, batch_size=batch_size)
        for step in (0, 3, 9, 10, 25):
            assert (longer.batch(step)[:, :-1].ravel() == short.batch(step)[:, :-1].ravel()).all()


def test_rows_that_grow_hold_the_same_tokens_at_every_step(tmp_path):
    plain = numbers(tmp_path, 64 * 30 + 1, context=64, batch_size=4)
    loader = replace(plain, contexts=GROWING)
    for step, shape in ((0, (16, 17)), (2, (16, 17)), (3, (8, 33)), (5, (4, 65)), (90, (4, 65))):
        assert loader.batch(step).shape == shape
        assert (loader.batch(step)[:, 1:].ravel() == plain.batch(step)[:, 1:].ravel()).all()
        ranks = [replace(loader, rank=r, world_size=4).batch(step) for r in range(4)]
        assert (np.concatenate(ranks) == loader.batch(step)).all()


@pytest.mark.parametrize("wrong", [((0, 24),), ((1, 32),), ((0, 32), (0, 64)), ((0, 0),)])
def test_contexts_that_do_not_divide_or_ascend_are_refused(tmp_path, wrong):
    contexts = tuple(ContextFrom(*one) for one in wrong)
    with pytest.raises(ConfigError, match=r"train\.data\.contexts"):
        numbers(tmp_path, 64 * 30 + 1, context=64, contexts=contexts)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"context": 9}, "does not divide the block"), ({"world_size": 2}, "multiple of the number"),
     ({"rank": 1}, "rank 1 of 1")],
)  # fmt: skip
def test_sizes_that_do_not_divide_are_refused(tmp_path, wrong, message):
    with pytest.raises(ConfigError, match=message):
        replace(numbers(tmp_path, 500, block=8), **wrong)


def test_any_step_of_a_large_corpus_is_at_hand(tmp_path):
    """A hundred billion tokens, as a file with a hole: an order held in memory would not fit."""
    path = tmp_path / "large.tokens"
    with path.open("wb") as file:
        file.truncate(2 * 10**11)
    loader = Loader(TokenFile(path, np.dtype(np.uint16)), 1024, 64, seed=3)
    assert loader.windows == 97_656_249
    assert loader.batch(10**9).shape == (64, 1025)


@pytest.mark.parametrize("steps", [0, 1, 9, 40, 400])
def test_the_account_is_what_the_batches_held(tmp_path, steps):
    loader = two_sources(tmp_path, context=4, batch_size=5, block=8)
    account = loader.account(steps)
    read = rows(loader, 0, steps)[:, :-1].ravel() if steps else np.zeros(0)
    for entry, (first, last) in zip(account, ((0, 400), (400, 641), (641, 1122)), strict=True):
        assert entry["tokens"] == ((read >= first) & (read < last)).sum()
        assert entry["epochs"] == entry["tokens"] / (last - first)
    if steps >= 40:
        assert 0.24 < account[0]["share"] + account[1]["share"] < 0.26


def test_documents_are_numbered_where_they_are_not_to_see_each_other(shards, tmp_path):
    source = token_file(shards, "train", load_tokenizer(shards.path), tmp_path)
    batch = Loader(source, 64, 32, seed=1, number_documents=True).batch(2)
    assert isinstance(batch, Batch)
    ids, documents = batch.ids_BT.numpy(), batch.documents_BT.numpy()
    assert (documents == document_numbers(ids)).all()
    steps = np.diff(documents, axis=1)
    assert ((steps == 1) == (ids[:, 1:] == 1)).all()
    assert steps.max() == 1


def test_tokens_lie_end_to_end_between_their_controls(shards, tmp_path):
    tokenizer = load_tokenizer(shards.path)
    tokens = token_file(shards, "train", tokenizer, tmp_path).tokens()
    documents = [ids for b in iter_documents(shards, "train", ["tokens"])
                 for ids in b.column("tokens").to_pylist()]  # fmt: skip
    wanted = [t for ids in documents for t in (tokenizer.bos_id, *ids, tokenizer.eos_id)]
    assert tokens.tolist() == wanted
    assert len(tokens) == shards.stats["tokens"]["train"] + 2 * len(documents)


def test_too_little_text_says_what_to_do(tmp_path):
    with pytest.raises(TrainingError, match=r"train\.model\.context"):
        numbers(tmp_path, 8)
    (tmp_path / "e.tokens").touch()
    empty = TokenFile(tmp_path / "e.tokens", np.dtype(np.uint16))
    assert spread_windows(empty, 8, 4).shape == (0, 9)
    with pytest.raises(TrainingError, match="0 training tokens"):
        Loader(empty, 8, 4, seed=0)


def test_validation_windows_are_spread_over_the_split(tmp_path):
    source = numbers(tmp_path, 8 * 100 + 1).source
    assert spread_windows(source, 8, 4)[:, 0].tolist() == [0, 200, 400, 600]
    assert spread_windows(source, 8, 1000)[:, 0].tolist() == list(range(0, 800, 8))


def test_shards_of_another_tokenizer_are_refused(shards, tmp_path):
    other = make_shards(tmp_path, vocab_size=680)
    with pytest.raises(TrainingError, match="run `shard` again"):
        token_file(shards, "train", load_tokenizer(other.path), tmp_path)
