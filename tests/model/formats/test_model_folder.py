"""The model folder as other tools read it."""

import pytest

from model.formats.model_folder import TOKENIZER
from pipeline.tokenizer import load_tokenizer

TEXTS = ["Hello 你好 <|bos|> \u2581 <0x0A>\n\n  x=1 🌊", "<|eos|>", "", " a", "the 长城 长城"]


@pytest.fixture
def loaded(tiny_model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


def test_transformers_load_the_tokenizer_of_a_model_folder_with_the_same_ids(tiny_model, loaded):
    own = load_tokenizer(tiny_model / TOKENIZER)
    for text in TEXTS:
        ids = own.encode(text)
        assert loaded(text).input_ids == ids
        assert loaded.decode([own.bos_id, *ids, own.eos_id], skip_special_tokens=True) == text
    assert (loaded.unk_token_id, loaded.bos_token_id, loaded.eos_token_id) == (0, 1, 2)
    assert (loaded.pad_token_id, loaded.model_max_length) == (own.pad_id, 64)
    assert len(loaded) == own.vocab_size


def test_a_tokenizer_saved_by_transformers_keeps_its_ids(tiny_model, loaded, tmp_path):
    from transformers import AutoTokenizer

    loaded.save_pretrained(tmp_path)
    again, own = AutoTokenizer.from_pretrained(tmp_path), load_tokenizer(tiny_model / TOKENIZER)
    assert [again(text).input_ids for text in TEXTS] == [own.encode(text) for text in TEXTS]
