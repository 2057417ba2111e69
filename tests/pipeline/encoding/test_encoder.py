"""The compiled encoder gives SentencePiece's ids: on random, hostile and real text, every model."""

import functools
import gzip
import io
import itertools
import json
import pydoc_data.topics
import random
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.encoding.encoder import CompiledEncoder
from pipeline.encoding.segment_cache import LONG_BYTES, SHORT_BITS
from pipeline.encoding.tables import skip_reason
from pipeline.tokenizer import CONTROLS, SPACE_MARK, Tokenizer
from pipeline.tokenizer_training import SEGMENT, TokenizerConfig, train
from pipeline.vocabulary import read_vocabulary

CHINESE = Path(__file__).parents[2] / "data" / "tokenizer_zh.txt"
SYMBOLS = ("<|user|>", "<|user", "==", "好的")
SPACES = ("\n\n", "\n", "\u2581" * 4, "\u2581" * 2, "\u2581x", "<|user|>", "的")
# Scores as trained are no multiples of anything: sums of them are rounded, so that what stands
# before a segment can change it.
RAW = {"model_type": "unigram", "add_dummy_prefix": False, "remove_extra_whitespaces": False,
       "normalization_rule_name": "identity", "minloglevel": 2}  # fmt: skip
MODELS = {
    "bpe": TokenizerConfig(vocab_size=1500),
    "bpe with symbols": TokenizerConfig(vocab_size=1200, symbols=SYMBOLS, control_symbols=()),
    "bpe with indented lines": TokenizerConfig(vocab_size=1200, indented_lines=True),
    "bpe without bytes": TokenizerConfig(
        vocab_size=1200, byte_fallback=False, character_coverage=0.98, keep_newlines=False
    ),
    "raw bpe with spaces": {**RAW, "model_type": "bpe", "vocab_size": 1300, "byte_fallback": True,
                            "user_defined_symbols": [*SPACES], "character_coverage": 0.99},
    "raw bpe with spaces without bytes": {**RAW, "model_type": "bpe", "vocab_size": 1100,
                                          "user_defined_symbols": [*SPACES],
                                          "character_coverage": 0.98},
    "unigram": TokenizerConfig(vocab_size=1500, model_type="unigram"),
    "unigram with symbols": TokenizerConfig(
        vocab_size=1200, model_type="unigram", symbols=SYMBOLS, control_symbols=()
    ),
    "raw unigram": {**RAW, "vocab_size": 1500, "byte_fallback": True,
                    "allow_whitespace_only_pieces": True},
    "raw unigram with spaces": {**RAW, "vocab_size": 1300, "byte_fallback": True,
                                "user_defined_symbols": [*SPACES]},
    "raw unigram without bytes": {**RAW, "vocab_size": 1000, "character_coverage": 0.98},
}  # fmt: skip


def lines() -> list[str]:
    topics = [text for _, text in sorted(pydoc_data.topics.topics.items())[:30]]
    return "\n".join([*topics, CHINESE.read_text(encoding="utf-8")]).splitlines()


@functools.cache
def model(name: str) -> bytes:
    options = MODELS[name]
    if isinstance(options, TokenizerConfig):
        return train(iter(lines()), options)
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines()), model_writer=trained, **options
    )
    return trained.getvalue()


@functools.cache
def encoder(name: str) -> CompiledEncoder:
    vocabulary = read_vocabulary(model(name))
    assert skip_reason(vocabulary) is None
    return CompiledEncoder(vocabulary)


@functools.cache
def sentencepiece_of(name: str) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=model(name))


def reference(name: str, text: str) -> list[int]:
    """SentencePiece's ids; with bytes, U+2581 is its three and parts texts."""
    own = sentencepiece_of(name)
    if not own.is_byte(own.piece_to_id("<0xE2>")):
        return own.encode(text)
    mark = [own.piece_to_id(piece) for piece in ("<0xE2>", "<0x96>", "<0x81>")]
    first, *others = (own.encode(part) for part in text.split(SPACE_MARK))
    return sum(([*mark, *other] for other in others), first)


def check(name: str, texts: list[str], own: CompiledEncoder | None = None) -> None:
    ids, starts = (own or encoder(name)).encode(pa.array(texts, pa.large_string()))
    assert (ids.dtype, starts.dtype, len(starts)) == (np.int32, np.int64, len(texts) + 1)
    for row, text in enumerate(texts):
        assert ids[starts[row] : starts[row + 1]].tolist() == reference(name, text), text[:500]


WORDS = [
    *CONTROLS, *SYMBOLS, "\n\n", "    x", "\n", "\r\n", " ", "  ", "        ", "\t", SPACE_MARK,
    "\u2585", "\0",
    "<0x0A>", "<unk>", "🌊👩‍👩‍👧",
    "河堤", "磨坊机器学习", " the", "object", "statement", "__init__",
    "1234567", "--------", "aaaaaaa", "é", "e\u0301", "\u200b", "\ufeff", "\U0010ffff", "好",
    "，。", "= self.", "AXAXAX", ">'>'",
]  # fmt: skip
characters = st.characters(exclude_categories=["Cs"])
texts = st.lists(
    st.one_of(st.text(characters, max_size=20), st.sampled_from(WORDS)), max_size=30
).map("".join)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=60)
@given(st.lists(texts, max_size=4))
@example([SPACE_MARK, SPACE_MARK * 2 + " a" + SPACE_MARK, "", " "])
@example(["<|user|><|user<|user|>" + " " * 11 + " x\n\n\n x"])
def test_any_text_gets_the_ids_of_sentencepiece(name, batch):
    check(name, batch)


@pytest.mark.parametrize("name", MODELS)
def test_long_texts_without_a_place_to_cut(name):
    runs = [
        "a" * 20000,
        " " * 20001,
        "-=" * 9000,
        "的" * 9000,
        "🌊" * 3000,
        "\n" * 5000,
        "\0" * 999,
    ]
    check(name, [*runs, "".join(runs), "the " * 20000, SPACE_MARK * 500])
    check(name, ["x" * size for size in range(1, 2 * LONG_BYTES)])


@pytest.mark.parametrize("name", MODELS)
def test_every_character_alone_and_among_others(name):
    every = [chr(c) for c in range(0, sys.maxunicode, 5) if not 0xD800 <= c < 0xE000]
    random.Random(7).shuffle(every)
    check(name, ["".join(every[i : i + 300]) for i in range(0, len(every), 3000)])
    check(name, every[:4000])


@pytest.mark.parametrize("name", ["unigram", "raw unigram", "raw unigram with spaces"])
def test_scores_that_pass_the_bound_where_sentencepiece_begins_anew(name):
    text = "\n".join(lines())
    assert len(reference(name, text)) > 40_000, "too short to pass 100,000"
    check(name, [text * 2, text[5:]])


@pytest.mark.parametrize("name", ["bpe", "raw unigram"])
def test_more_segments_than_are_kept_change_nothing(name):
    chance = random.Random(11)
    words = ["".join(chance.choices("etaoinshrdlu", k=7)) for _ in range(3 << SHORT_BITS)]
    batch = [" ".join(words[i : i + 5000]) for i in range(0, len(words), 5000)]
    own = CompiledEncoder(read_vocabulary(model(name)))
    first, _ = own.encode(pa.array(batch, pa.large_string()))
    check(name, batch[:5], own)
    again, _ = own.encode(pa.array(batch, pa.large_string()))
    assert np.array_equal(first, again)


def test_a_column_may_be_chunked_sliced_or_empty():
    column = pa.array(["x", "a\u2581b", "", "老街的裁缝铺", " the end"], pa.large_string())
    ids, starts = encoder("bpe").encode(pa.chunked_array([column[1:3], column[3:], column[:0]]))
    wanted = [reference("bpe", text) for text in column[1:].to_pylist()]
    assert ids.tolist() == [*itertools.chain(*wanted)]
    assert np.diff(starts).tolist() == [len(one) for one in wanted]
    none, start = encoder("bpe").encode(pa.array([], pa.string()))
    assert (none.size, start.tolist()) == (0, [0])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"normalization_rule_name": "nmt_nfkc"}, "nmt_nfkc"),
        ({"add_dummy_prefix": True}, "before each text"),
        ({"remove_extra_whitespaces": True}, "removed"),
        ({"model_type": "char"}, "char"),
    ],
)
def test_what_is_not_covered_is_encoded_by_sentencepiece(changes, reason):
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines()),
        model_writer=trained,
        **{**RAW, "vocab_size": 900, "hard_vocab_limit": False, **changes},
    )
    assert reason in (skip_reason(read_vocabulary(trained.getvalue())) or "")
    own = Tokenizer(trained.getvalue())
    batch = ["ＡＢＣ  the end ", "", "河堤 object"]
    ids, starts = own.encode_batch(batch)
    theirs = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    assert [ids[a:b].tolist() for a, b in itertools.pairwise(starts)] == [
        theirs.encode(text) for text in batch
    ]


def shared_texts(folder: Path, bytes_per_file: int) -> list[str]:
    found = []
    for file in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8", errors="replace") as rows:
            size = 0
            for line in rows:
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                texts = row.values() if isinstance(row, dict) else ()
                for text in (value for value in texts if isinstance(value, str)):
                    found.append(text.encode("utf-8", "replace").decode())
                    size += len(found[-1])
                if size > bytes_per_file:
                    break
    return found


@pytest.mark.parametrize("name", MODELS)
def test_real_text_gets_the_ids_of_sentencepiece(shared_data, name):
    check(name, shared_texts(shared_data, 20_000))


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
@pytest.mark.parametrize("vocab_size", [4096, 16384])
def test_all_real_text_gets_the_ids_of_sentencepiece(shared_data, model_type, vocab_size):
    everything = [*WORDS, "".join(WORDS), *shared_texts(shared_data, 1 << 40)]
    sample = (line.group() for text in everything[::40] for line in SEGMENT.finditer(text[:20_000]))
    config = TokenizerConfig(vocab_size=vocab_size, model_type=model_type, character_coverage=0.98)
    trained = train(sample, config)
    own, theirs = Tokenizer(trained), sentencepiece.SentencePieceProcessor(model_proto=trained)
    for start in range(0, len(everything), 2000):
        batch = [text for text in everything[start : start + 2000] if SPACE_MARK not in text]
        ids, starts = own.encode_batch(batch)
        for row, wanted in enumerate(theirs.encode_as_numpy(batch, num_threads=1)):
            assert np.array_equal(ids[starts[row] : starts[row + 1]], wanted), batch[row][:500]
