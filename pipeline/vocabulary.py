"""What a SentencePiece .model file says: its pieces, their scores and types, how text is prepared.

The file is a protocol buffer (`sentencepiece_model.proto` of SentencePiece, Kudo and Richardson
2018, arXiv:1808.06226).
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from pipeline.errors import ArtifactError

# Unigram scores are multiples of this, in nats: then SentencePiece's float32 sums are exact to 2 M
# nats (about 600 kB of text), and equal ways to cut a run do not depend on what stands before it.
SCORE_STEP = 0.125
# More than any other way to cut a symbol and what pieces across its ends would have covered, at
# most 16 characters of about -20 nats on each side.
SYMBOL_SCORE = 1000.0
MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


class PieceType(IntEnum):
    """What a piece is for; the numbers are the file's."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3  # never found in text
    USER_DEFINED = 4  # found in text before all others
    UNUSED = 5
    BYTE = 6  # one byte of a character that is no piece


@dataclass(frozen=True)
class Vocabulary:
    """A .model file as plain data; `scores` (float32) and `types` (int8) have one entry per id.

    In `pieces` U+2581 stands for a space. An id of a control that the model lacks is None.
    """

    model_type: str  # one of MODEL_TYPES
    pieces: tuple[str, ...]
    scores: np.ndarray
    types: np.ndarray
    byte_fallback: bool
    controls: dict[str, int | None]  # unk, bos, eos, pad
    normalization: str
    charsmap: bytes  # compiled rules of that normalization, empty for none
    add_dummy_prefix: bool  # a space before every text
    remove_extra_whitespaces: bool
    escape_whitespaces: bool
    whitespace_as_suffix: bool

    def of_type(self, *types: PieceType) -> list[int]:
        """Return the ids of pieces of these types, in order."""
        return np.flatnonzero(np.isin(self.types, types)).tolist()


def read_vocabulary(model: bytes) -> Vocabulary:
    """Return what a .model file holds; raise ArtifactError if it is none."""
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2 as proto

    stored = proto.ModelProto()  # type: ignore[attr-defined] # made at import
    try:
        stored.ParseFromString(model)
    except DecodeError as error:
        raise ArtifactError(
            f"{len(model)} bytes that are no SentencePiece model ({error}); give a .model file"
        ) from error
    pieces = tuple(entry.piece for entry in stored.pieces)
    if not all(isinstance(piece, str) for piece in pieces):  # bytes where they are no UTF-8
        raise ArtifactError("a SentencePiece model with pieces that are no UTF-8; make it again")
    trainer, normalizer = stored.trainer_spec, stored.normalizer_spec
    ids = {name: getattr(trainer, f"{name}_id") for name in ("unk", "bos", "eos", "pad")}
    return Vocabulary(
        model_type=MODEL_TYPES[trainer.model_type],
        pieces=pieces,
        scores=np.array([entry.score for entry in stored.pieces], np.float32),
        types=np.array([entry.type for entry in stored.pieces], np.int8),
        byte_fallback=trainer.byte_fallback,
        controls={name: number if number >= 0 else None for name, number in ids.items()},
        normalization=normalizer.name,
        charsmap=normalizer.precompiled_charsmap,
        add_dummy_prefix=normalizer.add_dummy_prefix,
        remove_extra_whitespaces=normalizer.remove_extra_whitespaces,
        escape_whitespaces=normalizer.escape_whitespaces,
        whitespace_as_suffix=trainer.treat_whitespace_as_suffix,
    )


def with_exact_scores(model: bytes) -> bytes:
    """Return a unigram model whose scores are rounded to SCORE_STEP and whose symbols are found.

    SentencePiece scores a user-defined symbol by its bytes, so that a long one may lose to pieces
    of its name, and by no multiple. Here it is a piece like others: one character in no other
    piece, as the line feed, needs no more than that, a longer one gets SYMBOL_SCORE.
    """
    from sentencepiece import sentencepiece_model_pb2 as proto

    stored = proto.ModelProto()  # type: ignore[attr-defined] # made at import
    stored.ParseFromString(model)
    best = max(entry.score for entry in stored.pieces if entry.type == PieceType.NORMAL)
    inside = "".join(entry.piece for entry in stored.pieces if entry.type == PieceType.NORMAL)
    changed_by_rules = stored.normalizer_spec.precompiled_charsmap
    for entry in stored.pieces:
        if entry.type == PieceType.USER_DEFINED and not changed_by_rules:
            alone = len(entry.piece) == 1 and entry.piece not in inside
            entry.type, entry.score = PieceType.NORMAL, best if alone else SYMBOL_SCORE
        if entry.type == PieceType.NORMAL:
            entry.score = round(entry.score / SCORE_STEP) * SCORE_STEP
    return stored.SerializeToString(deterministic=True)
