"""First values of embeddings: what is filled, with what, and how it is when run again."""

import numpy as np
import pytest
import torch

from model.embeddings.config import EmbeddingConfig, Vectors
from model.embeddings.glove import glove, read_glove
from model.embeddings.initialise import SPREAD, initialise_embeddings, rescaled
from model.embeddings.word2vec import word2vec
from model.network.architecture import PRESETS, ModelConfig
from model.network.families import build
from model.train import STAGE
from model.training.config import TrainConfig
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile
from pipeline.stage import run_stage
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards

SMALL = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "hidden": 48, "context": 32}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def tokenizer(shards):
    return load_tokenizer(shards.file("tokenizer.model"))


def test_word2vec_puts_tokens_of_one_kind_together_and_is_the_same_again(shards, tokenizer):
    config = EmbeddingConfig("word2vec", epochs=8)
    told = []
    found = word2vec(
        shards, (tokenizer.vocab_size, 32), config, seed=1, progress=lambda *one: told.append(one)
    )
    assert found.has_vector_V.sum() > 400
    assert [what for what, _, _ in told] == ["word2vec"] * len(told)
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert told[-1][1] == told[-1][2] >= 8 * 400  # every word of every pass
    again = word2vec(shards, (tokenizer.vocab_size, 32), config, seed=1)
    assert np.array_equal(found.values_VW, again.values_VW)
    # Chinese tokens are nearer to one another than to English ones
    kinds = {True: [], False: []}
    for token in np.flatnonzero(found.has_vector_V):
        text = tokenizer.decode([token]).strip()
        if text.isalpha():
            kinds["一" <= text[0] <= "鿿"].append(token)
    units = rescaled(found, 32)
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-9)
    chinese, english = units[kinds[True]], units[kinds[False]]
    assert (chinese @ chinese.T).mean() > 0.1 > (chinese @ english.T).mean()


def glove_file(folder, lines):
    path = folder / "vectors.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_token_gets_the_vector_of_its_word_or_the_mean_of_words_it_is_part_of(
    tokenizer, tmp_path
):
    word = next(w for w in ("the", "is", "to", "of") if len(tokenizer.encode(f" {w}")) == 1)
    rare = "zzyzx"
    path = glove_file(tmp_path, [f"{word} 1 2 3", f"{rare} 4 0 -4"])
    found = glove(InputFile(str(path)), tokenizer)
    (whole,) = tokenizer.encode(f" {word}")
    assert found.values_VW[whole].tolist() == [1, 2, 3]
    part = tokenizer.encode(rare)[-1]
    assert found.values_VW[part].tolist() == [4, 0, -4]
    assert not found.has_vector_V[:4].any()
    unseen = set(range(tokenizer.vocab_size)) - {*tokenizer.encode(f" {word}{word}"),
        *(one for text in (word, rare, f" {rare}") for one in tokenizer.encode(text))}  # fmt: skip
    assert not found.has_vector_V[sorted(unseen)].any()


def test_files_with_a_header_words_with_spaces_and_compression_are_read(tmp_path):
    import gzip

    lines = ["2 3", ". . . 1 2 3", "的 0.5 -1e-3 2"]
    plain = read_glove(glove_file(tmp_path, lines))
    packed = tmp_path / "vectors.gz"
    packed.write_bytes(gzip.compress("\r\n".join(lines).encode()))
    for words, values in (plain, read_glove(packed)):
        assert words == [". . .", "的"]
        assert values.tolist() == [[1, 2, 3], [0.5, pytest.approx(-1e-3), 2]]


def test_a_broken_line_is_named(tmp_path):
    with pytest.raises(ConfigError, match="line 2 is not a word and 3 numbers"):
        read_glove(glove_file(tmp_path, ["a 1 2 3", "b 1 x 3", "c 1 2 3"]))
    with pytest.raises(ConfigError, match="no vectors"):
        read_glove(glove_file(tmp_path, []))


@pytest.mark.parametrize("given", [8, 32, 50])
@pytest.mark.parametrize("preset", ["llama", "vaswani2017"])
def test_known_rows_have_the_usual_spread_and_others_stay_random(preset, given, tmp_path, shards):
    network = build(ModelConfig(**{**SMALL, **PRESETS[preset]}), 720)
    before = network.embed_tokens.weight.detach().clone()
    generator = np.random.default_rng(1)
    known = generator.random(720) < 0.5
    values = generator.normal(3.0, 7.0, (720, given)).astype(np.float32) * known[:, None]
    note = tmp_path / "note.npz"
    table = rescaled(Vectors(values, known), 32)
    np.savez(note, values_VW=table, has_vector_V=known)
    config = EmbeddingConfig("word2vec")
    assert initialise_embeddings(network, config, shards, seed=1, note=note) == known.sum()
    after = network.embed_tokens.weight.detach()
    width = min(given, 32)
    assert torch.equal(after[~known], before[~known])
    assert torch.equal(after[known][:, width:], before[known][:, width:])
    assert after[known][:, :width].std().item() == pytest.approx(SPREAD, rel=0.02)
    assert after[known][:, :width].mean(dim=0).abs().max() < 1e-6


def test_training_begins_from_them(shards, tmp_path):
    losses = {}
    for init in ("random", "word2vec"):
        config = TrainConfig(
            steps=3, batch_size=4, warmup_steps=1, precision="fp32", log_every=1,
            embeddings=EmbeddingConfig(init), model=ModelConfig(**SMALL),
        )  # fmt: skip
        made = run_stage(STAGE, config, [shards], tmp_path / init).artifact
        losses[init] = made.stats["loss"]
    assert losses["random"] != losses["word2vec"]


@pytest.mark.parametrize("wrong", [{"init": "elmo"}, {"init": "glove"}, {"window": 0}])
def test_settings_without_meaning_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"train\.embeddings"):
        EmbeddingConfig(**wrong)
