"""tokenizer.json: the library that reads it gives the ids of SentencePiece, for any text."""

import functools
import io
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import Tokenizer as Reader

from pipeline import vocabulary
from pipeline.errors import ArtifactError, ConfigError
from pipeline.tokenizer import CONTROLS, Tokenizer
from pipeline.tokenizer_training import SEGMENT, TokenizerConfig, train
from pipeline.tokenizing import to_huggingface
from pipeline.vocabulary import SCORE_STEP, PieceType, read_vocabulary
from tests.conftest import shared_texts
from tests.pipeline.test_tokenizer import model, pieces

TYPES = ("bpe", "unigram")
SHORT = ["the cat sat on the mat", "the hat"] * 20
SAMPLED = ("code_cpython", "en_20news", "zh_lctt", "zh_laws", "langid_udhr", "dirty", "par_tldr")


def reader_of(stored: bytes) -> Reader:
    return Reader.from_str(json.dumps(to_huggingface.as_json(read_vocabulary(stored))))


@functools.cache
def pair(model_type: str) -> tuple[Tokenizer, Reader]:
    return Tokenizer(model(model_type)), reader_of(model(model_type))


@functools.cache
def trained_on_shared(model_type: str) -> tuple[Tokenizer, Reader]:
    first = {"bpe": 60, "unigram": 12}[model_type]  # unigram learns at a tenth of the speed
    texts = [text for name in SAMPLED for text in shared_texts(name, first) if len(text) < 30_000]
    lines = (found.group() for text in texts for found in SEGMENT.finditer(text))
    stored = train(lines, TokenizerConfig(vocab_size=5000, model_type=model_type))
    return Tokenizer(stored), reader_of(stored)


def differing(own: Tokenizer, reader: Reader, texts) -> list[str]:
    return [
        text
        for text in texts
        if (ids := own.encode(text)) != reader.encode(text).ids or reader.decode(ids) != text
    ]


@pytest.mark.parametrize("model_type", TYPES)
@settings(max_examples=300)
@given(st.lists(st.one_of(st.text(), pieces)).map("".join))
def test_any_text_has_the_same_ids(model_type, text):
    assert not differing(*pair(model_type), [text])


@pytest.mark.parametrize("model_type", TYPES)
def test_runs_and_overlapping_pieces_have_the_same_ids(model_type):
    """What repeats itself can be cut in several ways of equal score."""
    own, reader = pair(model_type)
    spelled = [own.piece(i).replace("\u2581", " ") for i in range(260, own.vocab_size)]
    repeating = [p for p in spelled if len(p) > 1 and p[1:] == p[:-1]] + ["ab", "哈", "=", "-="]
    assert len(repeating) > 5
    draw = random.Random(7)
    texts = [
        "".join(
            draw.choice(repeating) * draw.randint(1, 9) + draw.choice(spelled)[draw.randint(0, 1) :]
            for _ in range(draw.randint(1, 6))
        )
        for _ in range(3000)
    ]
    assert not differing(own, reader, texts)


@pytest.mark.parametrize("model_type", TYPES)
def test_shared_samples_have_the_same_ids(model_type, shared_data):
    own, reader = trained_on_shared(model_type)
    texts = [text for name in SAMPLED for text in shared_texts(name, 40) if len(text) < 50_000]
    assert len(texts) > 150
    assert not differing(own, reader, texts)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", TYPES)
def test_all_shared_documents_have_the_same_ids(model_type, shared_data):
    own, reader = trained_on_shared(model_type)
    for file in sorted(shared_data.glob("*.jsonl.gz")):
        for text in shared_texts(file.name.removesuffix(".jsonl.gz")):
            assert not differing(own, reader, [text]), (file.name, text[:200])


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("name", [*CONTROLS, "<0x0A>"])
def test_no_text_becomes_a_control_or_byte_by_its_name(model_type, name):
    own, reader = pair(model_type)
    ids = reader.encode(f"say {name}{name} twice").ids
    assert ids == own.encode(f"say {name}{name} twice")
    assert min(ids) >= len(CONTROLS)
    assert not any(map(own.is_byte, ids))
    assert reader.token_to_id(CONTROLS[1]) == own.bos_id


@pytest.mark.parametrize("model_type", TYPES)
def test_symbols_are_found_by_both(model_type):
    stored = proto.ModelProto.FromString(model(model_type))
    for name in ("<|tool|>", "<|tool|>>", "§"):
        stored.pieces.add(piece=name, type=PieceType.USER_DEFINED, score=0.0)
    own, reader = Tokenizer(stored.SerializeToString()), reader_of(stored.SerializeToString())
    texts = ["<|tool|>hi<|tool|>>", "a <|tool|><|tool|>\n§§ <|bos|>", "x<|too", "the<|tool|>re"]
    assert not differing(own, reader, texts)
    assert own.encode("<|tool|>") == [own.symbol_id("<|tool|>")]


def test_transformers_know_reserved_symbols_and_find_them_in_no_text(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import AutoTokenizer

    config = TokenizerConfig(vocab_size=300, symbols=("<|user|>",), control_symbols=("<|fim|>",))
    stored = train(iter(SHORT), config)
    to_huggingface.write(stored, tmp_path.joinpath)
    own, loaded = Tokenizer(stored), AutoTokenizer.from_pretrained(tmp_path)
    text = "the<|user|>cat <|fim|> sat"
    ids = own.encode(text)
    assert loaded(text).input_ids == ids
    assert own.symbol_id("<|user|>") in ids
    fim = own.symbol_id("<|fim|>")
    assert fim not in ids
    assert loaded.convert_tokens_to_ids("<|fim|>") == fim
    assert loaded.decode([fim, *ids], skip_special_tokens=True) == text


def test_lines_with_their_indentation_have_the_same_ids():
    code = Path(to_huggingface.__file__).read_text("utf-8")
    config = TokenizerConfig(vocab_size=700, indented_lines=True)
    stored = train((found.group() for found in SEGMENT.finditer(code * 3)), config)
    own, reader = Tokenizer(stored), reader_of(stored)
    assert not differing(own, reader, [code, "\n\n\n    a\n" + " " * 16 + "b\n   \n", " \n  c"])
    assert "\n       " in [reader.decode([one]) for one in own.encode(code)]


# Texts that lack what others have: a space, a line feed, digits, Latin letters.
ODD_CORPORA = {
    "Chinese": ["秋天的傍晚，我沿着河边慢慢地走回家。岸上的芦苇已经发白"] * 20,
    "Thai": ["ตอนเย็นฉันเดินกลับบ้านช้าๆตามริมแม่น้ำต้นอ้อริมฝั่ง"] * 20,
    "one word": ["thequickbrownfoxjumpsoverthelazydog"] * 20,
    "a space in a million": ["秋天的傍晚，我沿着河边慢慢地走回家。" * 20] * 200 + ["岸上 的芦苇"],
    "tabs": ["a\tb\tc\td"] * 20,
    "ideographic spaces": ["秋天　的　傍晚"] * 20,
    "marks of spaces": ["秋天▁的▁傍晚"] * 20,
    "digits": ["1234567890"] * 20,
    "spaces": ["the cat sat  on the mat"] * 20,
}


@pytest.mark.parametrize("byte_fallback", [True, False])
@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("corpus", ODD_CORPORA)
def test_any_text_over_an_odd_alphabet_comes_back_with_the_same_ids(
    corpus, model_type, byte_fallback
):
    lines = ODD_CORPORA[corpus]
    config = TokenizerConfig(vocab_size=600, model_type=model_type, byte_fallback=byte_fallback)
    stored = train(iter(lines), config)
    own, reader = Tokenizer(stored), reader_of(stored)
    # U+2581 is three bytes, so without bytes it is a space.
    letters = sorted({*"".join(lines), " ", "\n"} - (set() if byte_fallback else {"▁"}))
    if byte_fallback:
        letters += ["▁", "　", "\t", "\u00a0", "é", "🙂", "7"]
    elif corpus == "a space in a million":
        letters = [*lines[0], " "]
    generator = random.Random(7)
    texts = ["".join(generator.choices(letters, k=generator.randrange(1, 16))) for _ in range(60)]
    texts += [" ", "  ", f" {letters[0]} ", "\n \n"]

    assert not differing(own, reader, texts)
    assert [own.decode(own.encode(text)) for text in texts] == texts
    ids, starts = own.encode_batch(texts)
    assert [ids[a:b].tolist() for a, b in itertools.pairwise(starts)] == [*map(own.encode, texts)]
    if byte_fallback:
        wanted = [SentencePieceProcessor(model_proto=stored).encode(text) for text in texts]
        assert [
            one == other
            for one, other, text in zip(map(own.encode, texts), wanted, texts, strict=True)
            if "▁" not in text
        ].count(False) == 0


def test_a_model_without_byte_fallback_has_the_same_ids():
    settings = TokenizerConfig(vocab_size=60, byte_fallback=False)
    own = Tokenizer(stored := train(iter(SHORT), settings))
    reader = reader_of(stored)
    for text in ("the cat", "the 猫猫 sat", "a\u2581hat", "Ω the Ω"):
        assert reader.encode(text).ids == own.encode(text)


def test_a_model_trained_elsewhere_that_begins_texts_with_a_space_has_the_same_ids():
    """Llama's settings: a dummy prefix, controls by other names and no padding."""
    stored = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(SHORT), model_writer=stored, model_type="bpe", vocab_size=400,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    own = SentencePieceProcessor(model_proto=stored.getvalue())
    reader = reader_of(stored.getvalue())
    for text in ("", " ", "  ", "the cat", " the  cat ", "a\nb", "猫 the", "<s>the</s>", "the🌊"):
        assert reader.encode(text).ids == own.encode(text), text
        assert reader.decode(own.encode(text)) == text


def test_unigram_scores_add_up_exactly():
    stored = read_vocabulary(model("unigram"))
    normal = stored.scores[stored.of_type(PieceType.NORMAL)]
    assert (normal / SCORE_STEP == np.round(normal / SCORE_STEP)).all()
    assert "\n" in [stored.pieces[i] for i in stored.of_type(PieceType.NORMAL)]
    # The same line is cut alike wherever it stands.
    own = Tokenizer(model("unigram"))
    [line] = [own.encode("=-=-=-= banana ....... \n")]
    assert own.encode("=-=-=-= banana ....... \n" * 500) == line * 500


def changed(change) -> bytes:
    stored = proto.ModelProto.FromString(model("unigram"))
    change(stored)
    return stored.SerializeToString()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: setattr(m.normalizer_spec, "precompiled_charsmap", b"x"), "normalization"),
        (lambda m: setattr(m.normalizer_spec, "remove_extra_whitespaces", True), "removes spaces"),
        (lambda m: setattr(m.trainer_spec, "model_type", 3), "'word'"),
        (lambda m: setattr(m.pieces[-1], "type", int(PieceType.UNUSED)), "unused"),
        (lambda m: setattr(m.pieces[-1], "score", -7.3), "with rounding"),
        (lambda m: setattr(m.pieces[-1], "piece", "t\u0fff"), "no piece"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_reason(change, reason):
    with pytest.raises(ConfigError, match=reason):
        to_huggingface.as_json(read_vocabulary(changed(change)))


def test_equal_scores_are_refused():
    stored = proto.ModelProto.FromString(model("bpe"))
    stored.pieces[300].score = stored.pieces[301].score
    with pytest.raises(ConfigError, match="same score"):
        to_huggingface.as_json(read_vocabulary(stored.SerializeToString()))


def test_what_is_no_model_is_refused():
    with pytest.raises(ArtifactError, match="no SentencePiece model"):
        vocabulary.read_vocabulary(b"\xff\xff\xff not a model")
