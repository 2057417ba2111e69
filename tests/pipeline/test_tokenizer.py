"""Encoding and decoding: nothing is lost, nothing in a text becomes a control."""

import functools
import itertools
import pydoc_data.topics
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import ArtifactError
from pipeline.tokenizer import CONTROLS, Tokenizer, load_tokenizer
from pipeline.tokenizer_training import TokenizerConfig, train

CHINESE = Path(__file__).parents[1] / "data" / "tokenizer_zh.txt"


@functools.cache
def model(model_type: str = "bpe") -> bytes:
    topics = [text for _, text in sorted(pydoc_data.topics.topics.items())[:15]]
    lines = "\n".join([*topics, CHINESE.read_text(encoding="utf-8")]).splitlines()
    return train(iter(lines), TokenizerConfig(vocab_size=1024, model_type=model_type))


@functools.cache
def tokenizer(model_type: str = "bpe") -> Tokenizer:
    return Tokenizer(model(model_type))


pieces = st.sampled_from(
    [
        *CONTROLS,
        "\n",
        "\r\n",
        "   ",
        "\t",
        "\u2581",
        "\u2585",
        "<0x0A>",
        "🌊👩‍👩‍👧",
        "河堤",
        " the",
        "\0",
    ]
)


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
@settings(max_examples=150)
@given(st.lists(st.one_of(st.text(), pieces)).map("".join))
@example("\u2581\u2581 a\u2581")
@example(" <|bos|>\n\n  <|eos|> ")
def test_any_text_comes_back(model_type, text):
    own = tokenizer(model_type)
    ids = own.encode(text)
    assert own.decode(ids) == text
    assert min(ids, default=4) >= 4


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_named_in_a_text_is_plain_text(name):
    own = tokenizer()
    ids = own.encode(f"say {name} twice")
    assert not set(ids) & {own.unk_id, own.bos_id, own.eos_id, own.pad_id}
    assert own.piece(CONTROLS.index(name)) == name
    assert own.decode(ids) == f"say {name} twice"


def test_a_batch_is_its_texts_end_to_end():
    own = tokenizer()
    texts = ["def f():\n    return 1", "", "老街的裁缝铺", "a\u2581b", "x" * 5000]
    flat, offsets = own.encode_batch(texts)
    assert (flat.dtype, offsets.dtype) == (np.int32, np.int64)
    assert [flat[a:b].tolist() for a, b in itertools.pairwise(offsets)] == [
        own.encode(text) for text in texts
    ]
    none, start = own.encode_batch([])
    assert (none.size, start.tolist()) == (0, [0])


def test_bytes_that_form_no_character_are_replaced():
    own = tokenizer()
    [first, *_] = own.encode("🌊")
    assert own.is_byte(first)
    assert own.decode([own.bos_id, first, own.eos_id]) == "\ufffd"
    assert own.decode(np.array([own.unk_id])) == "\ufffd"
    with pytest.raises(IndexError):
        own.decode([own.vocab_size])


def test_a_tokenizer_loads_from_its_folder_or_file(tmp_path):
    file = tmp_path / "tokenizer.model"
    file.write_bytes(model())
    assert load_tokenizer(tmp_path).fingerprint == load_tokenizer(file).fingerprint
    assert load_tokenizer(file).vocab_size == 1024


def test_what_is_no_tokenizer_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no tokenizer there"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"not a model")
    with pytest.raises(ArtifactError, match="wanted a SentencePiece model"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(model().replace(b"<|bos|>", b"<|sob|>"))
    with pytest.raises(ArtifactError, match="wanted"):
        load_tokenizer(tmp_path)
