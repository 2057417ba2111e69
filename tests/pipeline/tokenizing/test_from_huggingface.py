"""tokenizer.json back to SentencePiece: the same ids, or the reason why not."""

import json
import pydoc_data.topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import ByteLevelBPETokenizer, SentencePieceBPETokenizer
from tokenizers import Tokenizer as Reader

from pipeline.errors import ArtifactError, ConfigError
from pipeline.tokenizer import SPACE_MARK, Tokenizer, load_tokenizer
from pipeline.tokenizing import to_huggingface
from pipeline.tokenizing.from_huggingface import read_tokenizer_json, to_model
from pipeline.vocabulary import read_vocabulary
from tests.pipeline.test_tokenizer import model, pieces

TYPES = ("bpe", "unigram")
LINES = ["the cat sat on the mat", "the hat that the cat had", "天地玄黄，宇宙洪荒。"] * 9


def exported(model_type: str) -> dict:
    return to_huggingface.as_json(read_vocabulary(model(model_type)))


def marked(content: dict) -> dict:
    """The same tokenizer as converters of Llama and Gemma write it: U+2581 in pieces, a prefix."""

    def mark(text):
        return text.replace(" ", SPACE_MARK)

    inner = content["model"]
    if inner["type"] == "BPE":
        inner["vocab"] = {mark(piece): token_id for piece, token_id in inner["vocab"].items()}
        inner["merges"] = [f"{mark(left)} {mark(right)}" for left, right in inner["merges"]]
    else:
        inner["vocab"] = [[mark(piece), score] for piece, score in inner["vocab"]]
    rules = [{"type": "Prepend", "prepend": SPACE_MARK},
             {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}]  # fmt: skip
    content["normalizer"] = {"type": "Sequence", "normalizers": rules}
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    content["added_tokens"] = [{"id": 1, "content": "<|bos|>", "special": True, **added}]
    return content


@pytest.mark.parametrize("model_type", TYPES)
def test_what_was_exported_comes_back(model_type, tmp_path):
    to_huggingface.write(model(model_type), tmp_path.joinpath)
    back = read_tokenizer_json(tmp_path / "tokenizer.json")
    assert to_huggingface.as_json(read_vocabulary(back))["model"].keys() == {
        *exported(model_type)["model"]
    }
    (tmp_path / "tokenizer.model").write_bytes(back)
    own, first = load_tokenizer(tmp_path), Tokenizer(model(model_type))
    assert [own.piece(i) for i in range(1024)] == [first.piece(i) for i in range(1024)]
    kinds = [read_vocabulary(m).types.tolist() for m in (back, model(model_type))]
    assert sum(a != b for a, b in zip(*kinds, strict=True)) <= 1  # the line feed


@pytest.mark.parametrize("model_type", TYPES)
@settings(max_examples=150)
@given(st.lists(st.one_of(st.text(), pieces)).map("".join))
def test_ids_are_those_of_the_file(model_type, text):
    again = Tokenizer(to_model(exported(model_type), {}))
    assert again.encode(text) == Tokenizer(model(model_type)).encode(text)


@pytest.mark.parametrize("model_type", TYPES)
def test_the_llama_way_to_write_it_is_read_too(model_type):
    content = marked(exported(model_type))
    reader, own = Reader.from_str(json.dumps(content)), Tokenizer(to_model(content, {}))
    for text in (*LINES[:3], "  two\n\nlines", "x=1 🌊", "def f(x):\n        return x", ""):
        assert own.encode(text) == reader.encode(text).ids
    assert own.encode("a") == Tokenizer(model(model_type)).encode(" a")


def test_controls_elsewhere_keep_their_ids_and_names():
    content = marked(exported("bpe"))
    vocabulary = content["model"]["vocab"]
    for new, old in {"</s>": "<|eos|>", "<s>": "<|bos|>", "<unk>": "<|unk|>"}.items():
        vocabulary[new] = vocabulary.pop(old)
    vocabulary["<pad>"], vocabulary["z"] = vocabulary["z"], vocabulary.pop("<|pad|>")
    content["model"]["unk_token"] = "<unk>"
    content["added_tokens"] = []
    stored = read_vocabulary(to_model(content, {}))
    assert stored.controls == {"unk": 0, "bos": 1, "eos": 2, "pad": vocabulary["<pad>"]}
    assert stored.pieces[:4] == ("<unk>", "<s>", "</s>", "z")


def test_byte_level_is_refused_with_the_reason():
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(LINES, vocab_size=300, show_progress=False)
    with pytest.raises(ConfigError, match=r"byte-level.*characters only"):
        to_model(json.loads(trained.to_str()), {})


def test_merges_that_leave_ways_out_are_refused_by_name():
    trained = SentencePieceBPETokenizer(fuse_unk=True)
    topics = [text for _, text in sorted(pydoc_data.topics.topics.items())[:15]]
    trained.train_from_iterator(topics, vocab_size=600, show_progress=False)
    content = {**json.loads(trained.to_str()), "normalizer": None}
    with pytest.raises(ConfigError, match="merges do not"):
        to_model(content, {})
    content = exported("bpe")
    content["model"]["merges"][5:7] = content["model"]["merges"][5:7][::-1]
    with pytest.raises(ConfigError, match="merges do not"):
        to_model(content, {})


@pytest.mark.parametrize(
    ("part", "step", "reason"),
    [
        ("normalizer", {"type": "Lowercase"}, "Lowercase"),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AA=="}, "Precompiled"),
        ("pre_tokenizer", {"type": "Whitespace"}, "Whitespace"),
        ("model", {"type": "WordPiece"}, "WordPiece"),
    ],
)
def test_other_ways_to_cut_are_refused_by_name(part, step, reason):
    with pytest.raises(ConfigError, match=reason):
        to_model({**exported("bpe"), part: step}, {})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", r"not JSON in UTF-8 .*column 2"),
        ("[]", r"the file is \[\], wanted an object"),
        ('{"version": 1}', "model is absent, wanted an object; there is version"),
        ('{"model": {"type": "BPE"}}', "model.vocab is absent, wanted an object; there is type"),
        ('{"model": {"type": "BPE", "vocab": []}}', r"model.vocab is \[\], wanted an object"),
        ('{"model": {"type": "BPE", "vocab": {"a": "b"}}}', r"vocab\['a'\] is 'b', wanted a whole"),
        ('{"model": {"type": "BPE", "vocab": {"a": 0}}}', "model.merges is absent, wanted a list"),
        ('{"model": {"type": "BPE", "vocab": {}, "merges": ["a"]}}', r"merges\[0\] .*two pieces"),
        ('{"model": {"type": "Unigram", "vocab": [["a"]]}}', r"vocab\[0\] .*piece and its score"),
        ('{"model": {}, "added_tokens": [{}]}', r"added_tokens\[0\].id is absent"),
        ('{"model": {}, "decoder": {"type": "Sequence", "decoders": [{}]}}',
         r"decoder.decoders\[0\].type is absent"),
        ('{"model": {}, "normalizer": {"type": "Prepend"}}', "normalizer.prepend is absent"),
    ],
)  # fmt: skip
def test_a_broken_file_says_what_lacks_where_and_what_to_do(text, found, tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text(text)
    with pytest.raises(ArtifactError, match=rf"tokenizer\.json: .*{found}.*write the file again"):
        read_tokenizer_json(file)


def test_a_broken_config_beside_it_is_named(tmp_path):
    to_huggingface.write(model("bpe"), tmp_path.joinpath)
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": {"lstrip": false}}')
    with pytest.raises(ArtifactError, match=r"_config\.json: .*bos_token.content is absent"):
        read_tokenizer_json(tmp_path / "tokenizer.json")
