"""A sweep trains every algorithm at every size and measures on text none of them saw."""

import pytest

from pipeline.engine.local import LocalEngine
from pipeline.errors import ConfigError, SourceError
from pipeline.stage import run_stage
from pipeline.tokenizer_sweep import BYTE_LEVEL, STAGE, ByteLevel, SweepConfig
from pipeline.tokenizer_training import TokenizerConfig
from tests.pipeline.test_tokenizer_training import corpus, digest, made

CONFIG = SweepConfig((700, 1000), tokenizer=TokenizerConfig(sample_bytes=150_000))


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return made(tmp_path_factory.mktemp("sweep") / "in", corpus(40), 20)


def test_larger_vocabularies_need_fewer_tokens_for_the_same_held_out_text(parent, tmp_path):
    swept = run_stage(STAGE, CONFIG, [parent], tmp_path / "s").artifact
    rows = swept.scan().filter(lang="all").collect()
    assert rows.height == 6
    assert rows["bytes"].n_unique() == 1
    assert 0 < rows["bytes"][0] < 0.3 * swept.stats["sample_bytes"]
    for _, of_one in rows.group_by("algorithm"):
        fewer = of_one.sort("vocab_size")["tokens"].to_list()
        assert fewer[1] < fewer[0]
    assert rows["round_trip_failures"].sum() == 0
    assert rows.filter(algorithm="bpe")["pieces"].to_list() == [700, 1000]


def test_the_same_sweep_on_more_workers_is_the_same_bytes(parent, tmp_path):
    config = SweepConfig((700,), tokenizer=CONFIG.tokenizer)
    one = run_stage(STAGE, config, [parent], tmp_path / "a").artifact
    two = run_stage(STAGE, config, [parent], tmp_path / "b", engine=LocalEngine(2)).artifact
    assert digest(one.path) == digest(two.path)


def test_bytes_of_the_peer_are_those_of_longer_characters():
    own = ByteLevel(["the cat sat"] * 9, TokenizerConfig(vocab_size=300))
    [ids, _] = own.encode_batch(["the cat\n\x00 é 猫\u0081\u00ad"])
    assert own.decode(ids) == "the cat\n\x00 é 猫\u0081\u00ad"
    assert sum(map(own.is_byte, ids)) == 2 + 3 + 2 + 2


def test_what_cannot_be_swept_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="unknown name 'word'"):
        SweepConfig(algorithms=("word",))
    with pytest.raises(ConfigError, match="vocab_size: 7, wanted from"):
        SweepConfig(vocab_sizes=(7,), algorithms=(BYTE_LEVEL,))
    few = made(tmp_path / "in", corpus()[:3])
    with pytest.raises(SourceError, match="needs 10"):
        run_stage(STAGE, CONFIG, [few], tmp_path / "s")
