"""The size that follows from the text fits every script and size, and is the trainer's count."""

import random
from dataclasses import replace

import pytest

from pipeline.errors import ConfigError
from pipeline.tokenizer import Tokenizer
from pipeline.tokenizer_training import SEGMENT, train
from pipeline.tokenizing.config import TokenizerConfig, TooFewPieces
from pipeline.tokenizing.vocabulary_size import alphabet, character_counts, choose

RANDOM = random.Random(17)
IDEOGRAPHS = "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))
TEXTS = {
    "one character": "a",
    "a line": "hello world, this is all there is.\n",
    "a poem": "床前明月光，疑是地上霜。举头望明月，低头思故乡。\n",
    "spaces": "   ",
    "tabs": "\ta\tb\t",
    "emoji": "😀👩‍👩‍👧🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "marks of the trainer": "▁ a ▁▁ b",
    "digits": "123 456 789",
    "one word often": "ab " * 5000,
    "ideographs": "".join(RANDOM.choices(IDEOGRAPHS, k=20_000)),
    "mixed": "".join(RANDOM.choices(IDEOGRAPHS + "abcdefghij  \n", k=20_000)),
}


def lines(text):
    return [found.group() for found in SEGMENT.finditer(text)]


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_vocabulary_of_the_size_chosen_can_be_trained_and_comes_back(name, model_type):
    text = TEXTS[name]
    config = TokenizerConfig(model_type=model_type)
    size = choose(config.needed(character_counts(lines(text))), len(text.encode()))
    own = Tokenizer(train(iter(lines(text)), replace(config, vocab_size=size)))
    assert own.vocab_size <= size
    assert own.decode(own.encode(text)) == text


@pytest.mark.parametrize("coverage", [1.0, 0.9995, 0.98])
def test_the_characters_counted_are_those_the_trainer_asks_room_for(coverage):
    text = TEXTS["mixed"]
    config = TokenizerConfig(character_coverage=coverage)
    needed = config.needed(character_counts(lines(text)))
    train(iter(lines(text)), replace(config, vocab_size=needed))
    with pytest.raises(TooFewPieces) as refusal:
        train(iter(lines(text)), replace(config, vocab_size=needed - 1))
    assert refusal.value.needed == needed


def test_the_refusal_names_a_line_that_works():
    text = TEXTS["ideographs"]
    config = TokenizerConfig(vocab_size=1024)
    with pytest.raises(ConfigError, match=r"--set tokenizer\.vocab_size=(\d+)") as refusal:
        train(iter(lines(text)), config)
    size = choose(refusal.value.needed, 0)
    assert f"--set tokenizer.vocab_size={size}" in str(refusal.value)
    train(iter(lines(text)), replace(config, vocab_size=size))


def test_more_text_gets_more_pieces_and_many_characters_get_room():
    assert [choose(300, 10**n) for n in (6, 7, 8, 9, 12)] == [1024, 4096, 16384, 32768, 32768]
    assert choose(3000, 10**6) == 3840
    assert choose(60_000, 10**9) == 1 << 16
    assert choose(100_000, 10**9) == 100_000  # what is needed is given, whatever the bound
    assert alphabet(character_counts([]), 0.9995) == 0


@pytest.mark.parametrize("wrong", ["many", 5, -1, 1 << 30])
def test_other_sizes_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"tokenizer\.vocab_size"):
        TokenizerConfig(vocab_size=wrong)
