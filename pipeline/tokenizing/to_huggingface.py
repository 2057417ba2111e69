"""A SentencePiece model as Hugging Face's tokenizer.json, with the same ids for every text.

Three things make the ids the same. Pieces hold spaces themselves rather than U+2581 in their place,
so text needs no rewriting and a U+2581 in it becomes its three bytes, as in `Tokenizer`. Controls
stay out of `added_tokens`, which would be found in text; `split_special_tokens` in
tokenizer_config.json keeps transformers from adding them (but see `tokenizer_config`). And BPE
merges stand in the order of SentencePiece's scores, every way to split a piece among them.

Written by hand, with `from_huggingface` 581 lines: the ids of transformers' converters differ for
some texts.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ConfigError
from pipeline.store import storage
from pipeline.tokenizer import SPACE_MARK
from pipeline.vocabulary import SCORE_STEP, PieceType, Vocabulary, read_vocabulary

TOKENIZER_JSON, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
# Byte and control pieces are in the trie of Hugging Face's unigram: no text may come to choose
# them, so they cost more than any way to spell their names.
NEVER = -1e4


def write(
    model: bytes,
    place: Callable[[str], Path],
    context: int | None = None,
    chat_template: str | None = None,
) -> None:
    """Write both files for a .model file's bytes to the paths that `place(name)` gives.

    Raises ConfigError, before anything is written, if they cannot give the same ids.
    """
    vocabulary = read_vocabulary(model)
    content = storage.canonical_json(as_json(vocabulary))
    storage.write_bytes(place(TOKENIZER_JSON), content.encode())
    config = tokenizer_config(vocabulary, context, chat_template)
    storage.write_json(place(TOKENIZER_CONFIG), config)


def as_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the content of tokenizer.json.

    Raises ConfigError if no tokenizer.json can give this model's ids, saying why.
    """
    _refuse_what_differs(vocabulary)
    symbols = _symbols_to_match(vocabulary)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token_id,
                "content": vocabulary.pieces[token_id].replace(SPACE_MARK, " "),
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": False,
            }
            for token_id in symbols
        ],
        "normalizer": _normalizer(vocabulary),
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": _decoders(vocabulary)},
        "model": MODELS[vocabulary.model_type](vocabulary),
    }


def tokenizer_config(
    vocabulary: Vocabulary, context: int | None = None, chat_template: str | None = None
) -> dict[str, Any]:
    """Return the content of tokenizer_config.json; `context` is the model's length in tokens.

    A chat template writes controls by their names, so with one they are found in text; it has to
    refuse messages that spell them.
    """
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "add_eos_token": False,
        # text that spells a control's name is text
        "split_special_tokens": chat_template is None,
    }
    for name, token_id in vocabulary.controls.items():
        if token_id is not None:
            config[f"{name}_token"] = vocabulary.pieces[token_id]
    more = [
        i for i in vocabulary.of_type(PieceType.CONTROL) if i not in vocabulary.controls.values()
    ]
    if more:
        config["extra_special_tokens"] = [vocabulary.pieces[i] for i in more]
    if chat_template is not None:
        config["chat_template"] = chat_template
    return config if context is None else config | {"model_max_length": context}


def _refuse_what_differs(vocabulary: Vocabulary) -> None:
    for wrong, reason in (
        (vocabulary.model_type not in MODELS, f"its type is {vocabulary.model_type!r}"),
        (vocabulary.of_type(PieceType.UNUSED), "it has pieces marked unused"),
        (vocabulary.charsmap, f"its normalization is {vocabulary.normalization!r}"),
        (vocabulary.remove_extra_whitespaces, "it removes spaces"),
        (not vocabulary.escape_whitespaces, "it leaves spaces as they are"),
        (vocabulary.whitespace_as_suffix, "its spaces end words"),
        (
            SPACE_MARK not in vocabulary.pieces and vocabulary.byte_fallback,
            "it has no piece for a space",
        ),
        (
            _is_rounded(vocabulary),
            "its scores add up with rounding, so cuts depend on what precedes",
        ),
    ):
        if wrong:
            raise ConfigError(f"no tokenizer.json gives the ids of this model: {reason}; {NEXT}")
    known = {
        vocabulary.pieces[i] for i in vocabulary.of_type(PieceType.NORMAL, PieceType.USER_DEFINED)
    }
    for token_id in vocabulary.of_type(PieceType.NORMAL):
        lacking = [c for c in vocabulary.pieces[token_id] if c not in known]
        if lacking:
            raise ConfigError(
                f"no tokenizer.json gives the ids of this model: piece {token_id} "
                f"({vocabulary.pieces[token_id]!r}) has {lacking[0]!r}, which is no piece; {NEXT}"
            )
    if vocabulary.add_dummy_prefix and _symbols_to_match(vocabulary):
        raise ConfigError(
            "no tokenizer.json gives the ids of this model: it puts a space before texts and has "
            f"symbols that a text may begin with; {NEXT}"
        )


def _is_rounded(vocabulary: Vocabulary) -> bool:
    scores = vocabulary.scores[vocabulary.of_type(PieceType.NORMAL)] / SCORE_STEP
    return vocabulary.model_type == "unigram" and bool((scores != np.round(scores)).any())


NEXT = "train one with tokenizer.normalization = 'identity', or use tokenizer.model"


def _symbols_to_match(vocabulary: Vocabulary) -> list[int]:
    """Return the ids of user-defined symbols that the model alone would not find.

    One character that is part of no other piece, such as the line feed, needs no search of its own;
    in a unigram model symbols are pieces of high score.
    """
    if vocabulary.model_type == "unigram":
        return []
    inside = "".join(p for p in vocabulary.pieces if len(p) > 1)
    symbols = vocabulary.of_type(PieceType.USER_DEFINED)
    return [i for i in symbols if len(vocabulary.pieces[i]) > 1 or vocabulary.pieces[i] in inside]


def _normalizer(vocabulary: Vocabulary) -> dict[str, Any] | None:
    steps: list[dict[str, Any]] = []
    if not vocabulary.byte_fallback:  # nothing else can stand for a U+2581
        steps.append({"type": "Replace", "pattern": {"String": SPACE_MARK}, "content": " "})
    if vocabulary.add_dummy_prefix:
        steps.append({"type": "Prepend", "prepend": " "})
    return {"type": "Sequence", "normalizers": steps} if steps else None


def _decoders(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"type": "ByteFallback"}, {"type": "Fuse"}]
    if vocabulary.add_dummy_prefix:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return steps


def _spelled(vocabulary: Vocabulary) -> list[str]:
    """Return the pieces as text has them."""
    return [piece.replace(SPACE_MARK, " ") for piece in vocabulary.pieces]


def _bpe(vocabulary: Vocabulary) -> dict[str, Any]:
    spelled = _spelled(vocabulary)
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": spelled[vocabulary.controls["unk"] or 0],
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": vocabulary.byte_fallback,
        "ignore_merges": False,
        "vocab": {piece: token_id for token_id, piece in enumerate(spelled)},
        "merges": list(merges(vocabulary)),
    }


def merges(vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    """Yield pairs of pieces in the order in which SentencePiece prefers to join them.

    SentencePiece joins the pair that makes the piece of highest score, whatever its halves; of
    several the leftmost. The halves of one piece therefore stand together. Where two ways to split
    a piece can meet in a text (in a run of one character) the one with the longer left half comes
    first, since runs are joined from the left and what is short stands at their end.
    Raises ConfigError if two pieces have the same score, which no order of merges expresses.
    """
    spelled = _spelled(vocabulary)
    normal = np.array([i for i in vocabulary.of_type(PieceType.NORMAL) if len(spelled[i]) > 1], int)
    order = normal[np.argsort(-vocabulary.scores[normal], kind="stable")]
    for before, after in pairwise(order):
        if vocabulary.scores[before] == vocabulary.scores[after]:
            raise ConfigError(
                f"pieces {spelled[before]!r} and {spelled[after]!r} have the same score, which no "
                f"tokenizer.json can say; {NEXT}"
            )
    joined = {spelled[i] for i in vocabulary.of_type(PieceType.NORMAL)}
    for token_id in order:
        piece = spelled[token_id]
        for cut in range(len(piece) - 1, 0, -1):
            if piece[:cut] in joined and piece[cut:] in joined:
                yield piece[:cut], piece[cut:]


def _unigram(vocabulary: Vocabulary) -> dict[str, Any]:
    scores = vocabulary.scores.astype(np.float64)
    best = scores[vocabulary.of_type(PieceType.NORMAL)].max()
    for token_id in vocabulary.of_type(PieceType.USER_DEFINED):
        scores[token_id] = len(vocabulary.pieces[token_id].encode()) * best - 0.1
    scores[vocabulary.of_type(PieceType.CONTROL, PieceType.UNKNOWN, PieceType.BYTE)] = NEVER
    return {
        "type": "Unigram",
        "unk_id": vocabulary.controls["unk"],
        "byte_fallback": vocabulary.byte_fallback,
        "vocab": list(zip(_spelled(vocabulary), scores.tolist(), strict=True)),
    }


MODELS = {"bpe": _bpe, "unigram": _unigram}
