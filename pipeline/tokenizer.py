"""A trained tokenizer: text to ids and back, for the pipeline and for the model.

Wraps SentencePiece (Kudo and Richardson 2018, arXiv:1808.06226). Ids of control tokens are fixed,
and text that spells a control token's name is text: no input can produce a control id.
"""

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import sentencepiece

from pipeline.errors import ArtifactError
from pipeline.store.artifact import check_hashes
from pipeline.store.loading import reading
from pipeline.vocabulary import read_vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.encoding.encoder import CompiledEncoder

MODEL_FILE = "tokenizer.model"
CONTROLS = ("<|unk|>", "<|bos|>", "<|eos|>", "<|pad|>")  # ids 0 to 3
# A million pieces of 16 ideographs are 60 MB; more is no tokenizer.
MODEL_BYTES_MAX = 256 << 20
# SentencePiece writes spaces as this character and would give it back as a space.
SPACE_MARK = "\u2581"
MARK_BYTES = tuple(f"<0x{byte:02X}>" for byte in SPACE_MARK.encode())


class Tokenizer:
    """Encode and decode by one .model file; build one with `load_tokenizer`."""

    unk_id, bos_id, eos_id, pad_id = range(4)

    def __init__(self, model: bytes):
        self._file = model
        self._model = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.fingerprint = hashlib.sha256(model).hexdigest()
        self.vocab_size: int = self._model.vocab_size()
        marks = [self._model.piece_to_id(piece) for piece in MARK_BYTES]
        self._mark_ids = np.array([] if self.unk_id in marks else marks, np.int32)

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without control tokens."""
        return self._encode_one(text).tolist()

    def encode_batch(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return all ids end to end (int32, N) and where each text starts (int64, texts + 1)."""
        import pyarrow as pa  # late: who only serves a model does without its 30 MB

        return self.encode_column(pa.array(texts, pa.large_string()))

    def encode_column(self, texts: "pa.Array | pa.ChunkedArray") -> tuple[np.ndarray, np.ndarray]:
        """Return the same as `encode_batch` for a column of strings without nulls."""
        if self._encoder is not None:
            return self._encoder.encode(texts)
        ids = [self._encode_one(text) for text in texts.to_pylist()]
        offsets = np.zeros(len(ids) + 1, np.int64)
        np.cumsum([len(row_ids) for row_ids in ids], out=offsets[1:])
        return np.concatenate([np.zeros(0, np.int32), *ids]), offsets

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Return the text of `ids`; controls are nothing, bytes that form no character U+FFFD.

        Raises IndexError for an id outside 0 to vocab_size - 1.
        """
        return self._model.decode(np.asarray(ids, np.int64).tolist())

    def is_byte(self, token_id: int) -> bool:
        """Tell whether an id stands for one byte rather than for characters."""
        return self._model.is_byte(token_id)

    def piece(self, token_id: int) -> str:
        """Return an id's name in the vocabulary, where U+2581 stands for a space."""
        return self._model.id_to_piece(token_id)

    def text_of(self, token_id: int) -> str:
        """Return the text of an id alone: nothing for a control, U+FFFD for one byte of several."""
        if self._model.is_control(token_id):
            return ""
        if self.is_byte(token_id):
            value = int(self.piece(token_id)[3:5], 16)
            return chr(value) if value < 0x80 else "\ufffd"
        return self.piece(token_id).replace(SPACE_MARK, " ")

    def symbol_id(self, name: str) -> int | None:
        """Return the id of a piece of this very name, None if the vocabulary has none."""
        token_id = self._model.piece_to_id(name)
        return token_id if self._model.id_to_piece(token_id) == name else None

    @functools.cached_property
    def _encoder(self) -> "CompiledEncoder | None":
        # Imported here: what encodes a prompt now and then needs no compiled loops.
        from pipeline.encoding.encoder import encoder_of

        return encoder_of(self._file)

    def _encode_one(self, text: str) -> np.ndarray:
        if SPACE_MARK not in text or not len(self._mark_ids):
            return self._model.encode_as_numpy(text)
        # The mark itself becomes its three bytes, so that decoding gives it back.
        first, *others = self._model.encode_as_numpy(text.split(SPACE_MARK), num_threads=1)
        joined = [first]
        for other in others:
            joined += [self._mark_ids, other]
        return np.concatenate(joined)


def load_tokenizer(path: Path) -> Tokenizer:
    """Open a .model file, or the one in a tokenizer, shard or model folder.

    Raises ArtifactError if it is missing, cannot be read or numbers its controls differently.
    """
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        raise ArtifactError(
            f"{file}: no tokenizer there; give a folder that `tokenizer` wrote or a .model file"
        )
    if file.stat().st_size > MODEL_BYTES_MAX:
        raise ArtifactError(
            f"{file}: {file.stat().st_size} bytes, a tokenizer has at most {MODEL_BYTES_MAX}"
        )
    check_hashes(file.parent, [file.name])
    with reading(file, "a SentencePiece model", "run `tokenizer` again"):
        model = file.read_bytes()
        if not model:
            raise ValueError("0 bytes")
        tokenizer = Tokenizer(model)
        read_vocabulary(model)  # all of it; SentencePiece has looked at parts
        controls = tuple(
            tokenizer.piece(i) for i in range(min(len(CONTROLS), tokenizer.vocab_size))
        )
    if controls != CONTROLS:
        raise ArtifactError(
            f"{file}: ids 0 to 3 are {controls}, wanted {CONTROLS}; give a tokenizer "
            f"textmill trained"
        )
    return tokenizer
