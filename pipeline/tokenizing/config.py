"""The settings of the stage `tokenizer`, and what they ask of a vocabulary's size."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pipeline.config_checks import Between, OneOf, refused, require
from pipeline.errors import ConfigError
from pipeline.prompts.turns import ROLE_SYMBOLS
from pipeline.tokenizer import CONTROLS, SPACE_MARK
from pipeline.tokenizing.drift import DriftRule
from pipeline.tokenizing.vocabulary_size import AUTO, alphabet, choose

NORMALIZATIONS = ("identity", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf")
# BPE finds the same pieces on any number of threads, unigram does not.
TRAINING_THREADS = {"bpe": 2, "unigram": 1}
INDENTED_LINES = ("\n\n", *("\n" + SPACE_MARK * spaces for spaces in (3, 7, 11, 15)))


@dataclass(frozen=True)
class TokenizerConfig:
    """What is trained, and on how much."""

    # Pieces at most, a small corpus gives fewer. "auto": as the text needs (`vocabulary_size`).
    vocab_size: int | Literal["auto"] = "auto"
    model_type: str = "bpe"  # or 'unigram'
    byte_fallback: bool = True  # characters outside the vocabulary become bytes, never unk
    character_coverage: float = 0.9995  # share of characters that become pieces of their own
    sample_bytes: int = 32 << 20  # text trained on
    normalization: str = "identity"  # the others change text, so that it does not round-trip
    split_digits: bool = True  # one piece per digit
    max_piece_characters: int = 16
    # A line feed as a piece of its own. Without it each one is a byte piece: as many tokens, but on
    # mixed manuals 120k instead of 12k of a language's byte tokens, hiding what bytes report.
    keep_newlines: bool = True
    # Also two line feeds, and one with 3, 7, 11 or 15 spaces: the space before the word is left to
    # the word's own piece. BPE only: in a unigram model their scores would be rounded in sums.
    indented_lines: bool = False
    symbols: tuple[str, ...] = ()  # pieces of their own wherever a text has them
    # Reserved for programs: no text contains them. Those of roles are for conversations, later on.
    control_symbols: tuple[str, ...] = tuple(ROLE_SYMBOLS.values())
    # Languages, and sources within each, share the sample by size ** (1 - balance): 0 is the
    # corpus's own mixture, 1 the same for all. Matters where the corpus is larger than the sample.
    balance: float = 0.5
    drift: DriftRule = field(default_factory=DriftRule)  # when an earlier one is not kept

    def __post_init__(self) -> None:
        if isinstance(self.vocab_size, int):
            require(
                self,
                "tokenizer",
                'or "auto"; controls and, with byte_fallback, all 256 bytes are in it',
                vocab_size=Between(self.reserved + 1, 1_000_000),
            )
        require(
            self,
            "tokenizer",
            "the trainer needs about 20 times the sample in memory",
            sample_bytes=Between(1 << 10, 8 << 30),
        )
        require(
            self,
            "tokenizer",
            model_type=OneOf([*TRAINING_THREADS]),
            normalization=OneOf(NORMALIZATIONS),
            character_coverage=Between(0.98, 1),
            balance=Between(0, 1),
        )
        if self.indented_lines and (self.model_type != "bpe" or not self.keep_newlines):
            raise ConfigError(
                f"tokenizer.indented_lines is set with model_type {self.model_type!r} and "
                f"keep_newlines {self.keep_newlines}; it needs 'bpe' and true"
            )
        if isinstance(self.vocab_size, str) and self.vocab_size != AUTO:
            wanted = f'a whole number, or "{AUTO}"'
            raise refused("tokenizer.vocab_size", self.vocab_size, wanted)
        _check_names(self.line_pieces, [*self.symbols, *self.control_symbols])
        require(self, "tokenizer", max_piece_characters=Between(1, 256))

    @property
    def reserved(self) -> int:
        """Pieces that no text decides on."""
        named = len(self.line_pieces) + len(self.symbols) + len(self.control_symbols)
        return len(CONTROLS) + 256 * self.byte_fallback + named

    def needed(self, counts: np.ndarray) -> int:
        """Return the least size for a text of these character counts (CODE_POINTS,)."""
        return self.reserved + alphabet(counts, self.character_coverage, ("\n",))

    @property
    def line_pieces(self) -> tuple[str, ...]:
        """Pieces that begin with a line feed."""
        return (*("\n",) * self.keep_newlines, *INDENTED_LINES * self.indented_lines)


def _check_names(lines: tuple[str, ...], named: list[str]) -> None:
    taken = [*CONTROLS, *lines]
    for name in named:
        if [*taken, *named].count(name) > 1 or not name or {SPACE_MARK, " "} & {*name}:
            raise ConfigError(
                f"tokenizer.symbols and tokenizer.control_symbols have {name!r}; give each "
                f"name once, not empty, without spaces or U+2581 and none of {taken}"
            )


class TooFewPieces(ConfigError):
    """A vocabulary without room for the characters of the text; `needed` is the least size."""

    def __init__(self, config: TokenizerConfig, needed: int, where: str = "this text"):
        super().__init__(
            f"tokenizer.vocab_size is {config.vocab_size}, but controls, bytes and the characters "
            f"of {where} alone are {needed}; give --set tokenizer.vocab_size={choose(needed, 0)}, "
            f"or --set tokenizer.vocab_size=auto for one that follows from the text, or lower "
            f"tokenizer.character_coverage ({config.character_coverage})"
        )
        self.needed = needed
