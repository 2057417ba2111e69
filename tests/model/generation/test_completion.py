"""Prompts in, text out: whole characters, stop strings, refusal of broken folders."""

import pytest
import torch

from model.formats import model_folder
from model.generation import completion
from model.generation.completion import complete, complete_batch, load_model, stream
from model.generation.generate import SamplingConfig
from model.network.architecture import ModelConfig
from model.network.networks import GPT
from pipeline.errors import ArtifactError
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder with random weights: its samples are full of half characters."""
    place = tmp_path_factory.mktemp("model")
    tokenizer_file = make_shards(tmp_path_factory.mktemp("shards")).file("tokenizer.model")
    torch.manual_seed(1)
    config = ModelConfig(layers=1, width=32, heads=2, kv_heads=2, hidden=48, context=32)
    network = GPT(config, load_tokenizer(tokenizer_file).vocab_size)
    model_folder.write(network, tokenizer_file, place.joinpath)
    return place


@pytest.fixture(scope="module")
def loaded(folder):
    return load_model(folder)


def scripted(monkeypatch, loaded, wanted: str, extra=()):
    ids = [*loaded.tokenizer.encode(wanted), *extra]

    class Scripted(completion.GenerationBatch):
        def __iter__(self):
            for token in ids:
                if self._live:
                    yield [(0, token)]

    monkeypatch.setattr(completion, "GenerationBatch", Scripted)


def test_writing_and_reading_a_folder_keeps_every_logit(folder, loaded):
    ids = torch.randint(0, loaded.network.vocab_size, (2, 20))
    with torch.no_grad():
        assert torch.equal(model_folder.read(folder)(ids), loaded.network(ids))


@pytest.mark.parametrize("seed", range(8))
def test_pieces_of_a_stream_are_the_whole_text(loaded, seed):
    sampling = SamplingConfig(max_new_tokens=60, temperature=1.5, seed=seed)
    done = complete(loaded, "中文 text", sampling)
    assert "".join(stream(loaded, "中文 text", sampling)) == done.text
    assert done.completion_tokens <= 60
    assert done.prompt_tokens == 1 + len(loaded.tokenizer.encode("中文 text"))


def test_a_character_of_four_byte_tokens_comes_out_whole(loaded, monkeypatch):
    scripted(monkeypatch, loaded, "a🦜b")
    pieces = list(stream(loaded, "x", SamplingConfig()))
    assert "".join(pieces) == "a🦜b"
    assert "🦜" in pieces


def test_stop_strings_are_cut_even_across_tokens(loaded, monkeypatch):
    scripted(monkeypatch, loaded, "one two STOP three")
    sampling = SamplingConfig(stop=("STOP", "never"))
    done = complete(loaded, "x", sampling)
    assert (done.text, done.finish_reason) == ("one two ", "stop")
    assert "".join(stream(loaded, "x", sampling)) == "one two "


def test_text_that_only_looks_like_a_stop_string_is_given_out(loaded, monkeypatch):
    scripted(monkeypatch, loaded, "one ST")
    done = complete(loaded, "x", SamplingConfig(stop=("STOP",)))
    assert (done.text, done.finish_reason) == ("one ST", "length")


def test_the_end_token_ends_the_text(loaded, monkeypatch):
    scripted(monkeypatch, loaded, "the end", [loaded.tokenizer.eos_id, 10, 11])
    done = complete(loaded, "x", SamplingConfig())
    assert (done.text, done.finish_reason) == ("the end", "stop")
    assert done.completion_tokens == len(loaded.tokenizer.encode("the end"))


def test_a_stream_can_be_stopped_after_any_token_while_others_go_on(loaded):
    sampling = SamplingConfig(max_new_tokens=20, temperature=1.5, seed=2)
    streamers = [completion.TextStreamer(loaded, "中文", sampling) for _ in range(2)]
    for row, _ in completion.stream_batch(streamers):
        if row == 0 and streamers[0].completion_tokens == 3:
            streamers[0].stop()
    assert [streamer.completion_tokens for streamer in streamers] == [3, 20]
    assert streamers[0].ids == streamers[1].ids[:3]
    assert streamers[0].finish_reason == "length"


def test_an_empty_prompt_is_continued_too(loaded):
    assert complete(loaded, "", SamplingConfig(max_new_tokens=3)).prompt_tokens == 1


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.model"])
@pytest.mark.parametrize("harm", ["missing", "broken"])
def test_a_broken_folder_is_refused_with_the_reason(folder, tmp_path, name, harm):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if harm == "missing":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(b"\x80\x04not what it says")
    with pytest.raises(ArtifactError, match=name if harm == "missing" else "."):
        load_model(tmp_path)


def test_prompts_together_give_the_texts_that_each_gives_alone(loaded):
    prompts = ["中文 text", "a", "", "def area(width):"]
    samplings = [
        SamplingConfig(max_new_tokens=40, temperature=1.2, seed=seed, stop=("e", "的"))
        for seed in range(len(prompts))
    ]
    together = complete_batch(loaded, prompts, samplings)
    assert together == [complete(loaded, *one) for one in zip(prompts, samplings, strict=True)]
    assert "stop" in {one.finish_reason for one in together}
