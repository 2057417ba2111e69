"""What general compressors need for the same text, in bits per byte: a yardstick of no training.

Each compressor first reads training text, as the model did, and is charged for what comes after.
"""

import lzma
from collections.abc import Iterable, Mapping

import pyppmd

PPMD_ORDER = 8  # bytes of context
PPMD_MEMORY_BYTES = 256 << 20  # when it is full the model starts anew
XZ_WINDOW_BYTES = 64 << 20
Key = tuple[str, str]  # a slice of the text: kind, name


def ppmd_bytes(primer: Iterable[bytes], documents: Iterable[bytes]) -> list[int]:
    """Return the bytes PPMd (variant H, Shkarin 2002) writes while it reads each document.

    A document's figure may be off by the four bytes the coder holds back; sums are not.
    """
    encoder = pyppmd.Ppmd7Encoder(PPMD_ORDER, PPMD_MEMORY_BYTES)
    for text in primer:
        encoder.encode(text)
    sizes = [len(encoder.encode(text)) for text in documents]
    if sizes:
        sizes[-1] += len(encoder.flush())
    return sizes


def xz_bytes(primer: bytes, texts: Mapping[Key, bytes]) -> dict[Key, int]:
    """Return by how many bytes each text lengthens the LZMA2 compression of the primer."""
    before = _xz_size(primer)
    return {key: _xz_size(primer + text) - before for key, text in texts.items()}


def _xz_size(text: bytes) -> int:
    window = min(max(len(text), 4096), XZ_WINDOW_BYTES)  # memory is eleven times the window
    packing = {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": window}
    return len(lzma.compress(text, lzma.FORMAT_RAW, filters=[packing]))
