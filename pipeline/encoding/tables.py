"""A model file as arrays for the compiled encoder: what joins, what merges, what is a piece.

A space stands for U+2581 throughout. Text is cut between two characters that stand side by side in
no piece: no piece spans that place, so what is left of it and what is right of it are encoded
alone. The parts are *segments*.
"""

import itertools
from collections import Counter
from typing import NamedTuple

import numpy as np

from pipeline.encoding.lookup import NUMBER_BITS, pair_bits, table_of
from pipeline.encoding.segment_cache import ID_BITS
from pipeline.vocabulary import PieceType, Vocabulary

CODES = 0x110000
UNKNOWN_PENALTY = np.float32(10)  # SentencePiece's, below the lowest score
NONE = -1
PIECES_MAX = 1 << ID_BITS
CHARACTERS_MAX = 1 << NUMBER_BITS - 1  # so that nodes and characters have numbers
MARK = "\u2581"
# What a pair of characters, or by the low bits of its code a character, can be: false alarms are
# told apart later.
JOINED, BEGINS_FROZEN, IS_FROZEN, IS_MARK = 1, 2, 4, 8
FLAG_MASK = 0xFFF


class Tables(NamedTuple):
    """What encoding looks up. A *node* is a state of a tree of pieces, read by characters.

    A node where a piece ends has that piece's id, others have numbers from `vocab_size` on.
    BPE: `start` gives the symbol of a character, `edges` maps left and right to what they merge to;
    the smaller rank merges first. Symbols from `vocab_size` on are characters that occur in pieces
    without being one. User-defined pieces are taken out before anything merges.
    Unigram: `start` numbers the characters of pieces by the node after them, or where no piece
    begins so beyond all nodes; `edges` maps node and character to the next node.
    """

    is_unigram: bool
    start: np.ndarray  # (CODES,) int32, NONE where there is none
    edges: np.ndarray
    ranks: np.ndarray  # (vocab_size,) int32, of BPE
    frozen_edges: np.ndarray  # of user-defined pieces, by code points; its root is `vocab_size`
    flags: np.ndarray  # (FLAG_MASK + 1,) uint8
    pairs: np.ndarray  # of characters side by side in a piece
    ascii_pairs: np.ndarray  # (1 << 14,) uint8: flags by first << 7 | second
    scores: np.ndarray  # (vocab_size + 1,) float32: added to a path by an id; the last one is 0
    unknown_score: np.float32
    cost_bound: float  # no character changes a path's score by more
    is_exact: bool  # sums of scores are never rounded: what stands before changes no path
    byte_ids: np.ndarray  # (256,) int32; without byte fallback only the unknown id
    vocab_size: int


def skip_reason(model: Vocabulary) -> str | None:
    """Return what in a model the compiled encoder does not do, None if it does it all."""
    types = {*model.types.tolist()}
    reasons = {
        f"the algorithm '{model.model_type}'": model.model_type not in ("bpe", "unigram"),
        f"the normalization '{model.normalization}'": bool(model.charsmap),
        "a space before each text": model.add_dummy_prefix,
        "spaces that are removed": model.remove_extra_whitespaces,
        "spaces that stay spaces": not model.escape_whitespaces,
        "pieces that end with a space": model.whitespace_as_suffix,
        "unused pieces": PieceType.UNUSED in types,
        "no unknown piece": PieceType.UNKNOWN not in types,
        "no piece of text": PieceType.NORMAL not in types,
        "a piece with a space or NUL in it": any(" " in p or "\0" in p for p in model.pieces),
        "no piece for a space, which would be three bytes": MARK not in model.pieces,
        "a piece that is there twice": len({*model.pieces}) < len(model.pieces),
        f"more than {PIECES_MAX} pieces": len(model.pieces) > PIECES_MAX,
        f"pieces of more than {CHARACTERS_MAX} characters": sum(map(len, model.pieces))
        > CHARACTERS_MAX,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def build_tables(model: Vocabulary) -> Tables:
    """Return the arrays of a model for which `skip_reason` is None."""
    is_unigram = model.model_type == "unigram"
    normal, own = _of_type(model, PieceType.NORMAL), _of_type(model, PieceType.USER_DEFINED)
    in_path, frozen = (normal | own, {}) if is_unigram else (normal, own)
    left, right = _neighbours([*in_path])
    start, edges = (_paths if is_unigram else _merges)(in_path, len(model.pieces))
    flags = _flags(frozen, model.byte_fallback)
    scores, unknown_score = _scores(model)
    return Tables(
        is_unigram=is_unigram,
        start=start,
        edges=edges,
        ranks=_ranks(model),
        frozen_edges=table_of(_tree(frozen, len(model.pieces))),
        flags=flags,
        pairs=pair_bits(left, right),
        ascii_pairs=_ascii_pairs(left, right, flags),
        scores=scores,
        unknown_score=unknown_score,
        cost_bound=float(np.abs(np.append(scores, unknown_score)).max()),
        is_exact=not is_unigram or _adds_up(np.append(scores, unknown_score)),
        byte_ids=_byte_ids(model),
        vocab_size=len(model.pieces),
    )


def _of_type(model: Vocabulary, piece_type: PieceType) -> dict[str, int]:
    """Return the ids of the pieces of a type by their text, with spaces as spaces."""
    return {model.pieces[number].replace(MARK, " "): number for number in model.of_type(piece_type)}


def _neighbours(pieces: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return code points side by side in pieces: each first one, each second one."""
    codes = np.frombuffer("\0".join(pieces).encode("utf-32-le"), np.uint32)
    inside = (codes[:-1] != 0) & (codes[1:] != 0)
    return codes[:-1][inside], codes[1:][inside]


def _flags(frozen: dict[str, int], splits_marks: bool) -> np.ndarray:
    flags = np.zeros(FLAG_MASK + 1, np.uint8)
    begins = Counter(piece[0] for piece in frozen)
    for character, pieces in begins.items():
        is_frozen = character in frozen and pieces == 1 and ord(character) < 128
        flags[ord(character) & FLAG_MASK] |= IS_FROZEN if is_frozen else BEGINS_FROZEN
    if splits_marks:
        flags[ord(MARK) & FLAG_MASK] |= IS_MARK
    return flags


def _ascii_pairs(left: np.ndarray, right: np.ndarray, flags: np.ndarray) -> np.ndarray:
    table = np.zeros((128, 128), np.uint8)
    plain = (left < 128) & (right < 128)
    table[left[plain], right[plain]] = JOINED
    return (table | flags[:128]).reshape(-1)


def _merges(pieces: dict[str, int], vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `start` and `edges` for BPE: every way to put a piece together from two symbols."""
    symbols = dict(pieces)
    for number, character in enumerate(sorted(set("".join(pieces)) - set(pieces))):
        symbols[character] = vocab_size + number
    merged = {}
    for piece, token_id in pieces.items():
        for cut in range(1, len(piece)):
            left, right = symbols.get(piece[:cut]), symbols.get(piece[cut:])
            if left is not None and right is not None:
                merged[left, right] = token_id
    characters = {symbol: number for symbol, number in symbols.items() if len(symbol) == 1}
    return _start(characters), table_of(merged)


def _ranks(model: Vocabulary) -> np.ndarray:
    """Return the place of each id's score among all, from the best; equal scores share it."""
    bits = model.scores.view(np.int32).astype(np.int64)
    # As SentencePiece compares them: by their bits, so that -0.0 is less than 0.0.
    ordered = np.where(bits < 0, -1 - (bits & 0x7FFFFFFF), bits)
    return np.unique(-ordered, return_inverse=True)[1].astype(np.int32)


def _paths(pieces: dict[str, int], vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `start` and `edges` for unigram."""
    edges = _tree(pieces, vocab_size)
    nodes = vocab_size + 1 + len(edges)  # more than there are
    numbers = {c: nodes + number for number, c in enumerate(sorted(set("".join(pieces))))}
    numbers |= {chr(code): node for (begun, code), node in edges.items() if begun == vocab_size}
    inside = {
        (begun, numbers[chr(code)]): node
        for (begun, code), node in edges.items()
        if begun != vocab_size
    }
    return _start(numbers), table_of(inside)


def _start(numbers: dict[str, int]) -> np.ndarray:
    start = np.full(CODES, NONE, np.int32)
    start[[ord(character) for character in numbers]] = [*numbers.values()]
    return start


def _tree(pieces: dict[str, int], vocab_size: int) -> dict[tuple[int, int], int]:
    """Return the node after each node and code point of the tree of pieces, from its root on.

    The root is `vocab_size`.
    """
    edges: dict[tuple[int, int], int] = {}
    unnamed = itertools.count(vocab_size + 1)
    for piece, token_id in sorted(pieces.items(), key=lambda item: len(item[0])):
        node = vocab_size
        for character in piece[:-1]:
            step = node, ord(character)
            node = edges[step] if step in edges else edges.setdefault(step, next(unnamed))
        edges[node, ord(piece[-1])] = token_id
    return edges


def _scores(model: Vocabulary) -> tuple[np.ndarray, np.float32]:
    """Return what each id adds to a path, and an unknown character.

    A user-defined piece has a bonus by its bytes instead of its score. Of the bytes of an unknown
    character the first stands for it, so that the sum over ids is the sum over the path.
    """
    unknown = model.scores[model.types == PieceType.NORMAL].min() - UNKNOWN_PENALTY
    scores = np.where(model.types == PieceType.NORMAL, model.scores, unknown)
    for token_id in model.of_type(PieceType.USER_DEFINED):
        scores[token_id] = 0.1 * (len(model.pieces[token_id].encode()) - 1)
    for piece, token_id in _of_type(model, PieceType.BYTE).items():
        if 0x80 <= int(piece[1:-1], 16) < 0xC0:
            scores[token_id] = 0
    return np.append(scores, np.float32(0)), unknown


def _adds_up(scores: np.ndarray) -> bool:
    """Tell whether float32 holds every sum of these up to where SentencePiece begins anew.

    That is at 100,000, below 2^17: of 24 bits seven are left for the fraction.
    """
    return bool((scores % 2.0**-6 == 0).all() and (np.abs(scores) < 1000).all())


def _byte_ids(model: Vocabulary) -> np.ndarray:
    if not model.byte_fallback:
        return np.array([model.of_type(PieceType.UNKNOWN)[0]], np.int32)
    ids = np.zeros(256, np.int32)
    for piece, token_id in _of_type(model, PieceType.BYTE).items():
        ids[int(piece[1:-1], 16)] = token_id
    return ids
