"""When a training reads a document: computed, and as the loader's rows really have it."""

from collections import defaultdict

import numpy as np
import pyarrow.parquet as pq
import pytest

from model.data.config import BEST_FIT, ContextFrom, DataConfig
from model.data.exposure import Exposures, TrainingOrder
from model.data.loader import Loader
from model.data.training_data import RowShare, open_loader
from pipeline.batching.shares import Share
from pipeline.batching.token_file import TokenFile
from pipeline.batching.token_layout import Replay
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import grown_shards, make_shards

STEPS = 25
MIXTURE = (Share(source="zh-source", epochs=2.0), Share(source="en-source", epochs_max=4.0))
CONFIGS = {
    "plain": DataConfig(),
    "mixture": DataConfig(mixture=MIXTURE, block=64),
    "contexts": DataConfig(block=64, contexts=(ContextFrom(0, 8), ContextFrom(9, 32))),
    "curriculum": DataConfig(curriculum="token_count", curriculum_levels=3),
    "packed": DataConfig(packing=BEST_FIT, mixture=MIXTURE),
    "skipped": DataConfig(skip_parts=("part-00001-000.parquet",)),
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("exposed"), parts=3)


def documents_of(shards):
    """Return the tokens of each row of the main table by part and row, controls around them."""
    for part in shards.parts():
        for row, tokens in enumerate(pq.read_table(part, columns=["tokens"])["tokens"].to_pylist()):
            yield (part.name, row), np.array([1, *tokens, 2])


def really_read(batches: Loader, numbers: list[int]) -> dict[int, set[int]]:
    """Return the steps that showed each token of the file: rows of positions in place of ids."""
    tokens = batches.tokens
    path = batches.source.path.with_name(f"positions-{tokens}.tokens")
    np.arange(tokens, dtype=np.uint32).tofile(path)
    windows = batches._windows
    windows._tokens = TokenFile(path, np.dtype(np.uint32)).tokens()
    steps = defaultdict(set)
    for step, number in enumerate(numbers, 1):
        rows = batches.rows(number)
        shown = rows.ids_BT if rows.documents_BT is None else rows.ids_BT[rows.documents_BT > 0]
        for position in np.unique(shown).tolist():
            steps[position].add(step)
    return steps


def compare(shards, config, tmp_path, replay=None):
    tokenizer = load_tokenizer(shards.file("tokenizer.model"))
    order = TrainingOrder(config, 32, 4, 7, np.arange(STEPS), replay)
    batches = open_loader(config, shards, tokenizer, tmp_path, RowShare(32, 4, 7), replay)
    file = np.array(batches.source.tokens())
    steps = really_read(batches, order.batches.tolist())
    exposures, read = Exposures(order, shards), 0
    begins = defaultdict(list)
    for start in np.flatnonzero(file == file[0]).tolist():
        begins[file[start : start + 6].tobytes()].append(start)
    for (part, row), tokens in documents_of(shards):
        tokens[0], tokens[-1] = file[0], file[-1]
        starts = [
            start
            for start in begins[tokens[:6].astype(file.dtype).tobytes()]
            if np.array_equal(file[start : start + len(tokens)], tokens)
        ]
        real = {s for at in starts for place in range(at, at + len(tokens)) for s in steps[place]}
        found = exposures.steps({part: [row]})
        assert found == sorted(real), (part, row)
        read += bool(found)
    assert read > 10


@pytest.mark.parametrize("name", CONFIGS)
def test_steps_are_those_of_the_rows_that_the_loader_yields(shards, tmp_path, name):
    compare(shards, CONFIGS[name], tmp_path)


def test_steps_of_a_training_that_replays_old_text(tmp_path):
    small, large = {"english": 20, "chinese": 10}, {"english": 40, "chinese": 20}
    earlier, grown = grown_shards(tmp_path, small, large)
    compare(grown, DataConfig(), tmp_path / "tokens", Replay(earlier, 0.25, 33))


def test_batches_that_a_rollback_passed_by_are_read_by_no_step(shards):
    training = _Training(kept_step=12, rollbacks=[
        {"reason": "", "diverged_step": 8, "resumed_step": 5},
        {"reason": "", "diverged_step": 6, "resumed_step": 4},
    ])  # fmt: skip
    batches = TrainingOrder.of(training, None).batches.tolist()
    assert batches == [0, 1, 2, 3, *range(4 + 4 + 3, 12 + 7)]


class _Training:
    def __init__(self, **stats):
        config = {"data": {}, "model": {"context": 32}, "batch_size": 4, "seed": 7}
        self.manifest, self.stats = {"inputs": {"config": config}}, stats
