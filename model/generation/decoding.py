"""Texts in the making, several at once: a network that reads what is new and keeps the rest.

Shapes: B rows, T new ids, S positions of a source, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.network.attention import KeyValueCache
from model.network.batch import attention_mask, pad
from model.network.blocks import AttentionInputs
from model.network.families import AnyNetwork, Encode, family_of, logits_after
from pipeline.errors import ConfigError
from pipeline.tokenizer import Tokenizer


class DecodingBatch:
    """Grow rows of ids by one id at a time; the logits of each row are as if it were alone.

    A decoder goes on from its prompts. An encoder-decoder reads them as sources and begins its
    targets with <|bos|>. Rows of different lengths are padded on the left. Where a row passes the
    context its oldest half is forgotten and the rest read again.
    """

    def __init__(self, network: AnyNetwork, prompts: Sequence[Sequence[int]]):
        if not prompts or any(not prompt for prompt in prompts):
            raise ConfigError("generate needs at least one prompt token, such as the bos token")
        family = family_of(network)
        if not family.generates:
            raise ConfigError(f"a model of the family {network.config.family!r} continues no text")
        self.network = network
        context = network.config.context
        recent = [list(prompt)[-context:] for prompt in prompts]
        self.source: AttentionInputs | None = None
        self.ids = recent
        if family.encode_source is not None:
            self.source = _read_sources(network, family.encode_source, recent)
            self.ids = [[Tokenizer.bos_id] for _ in recent]
        self._read_anew()

    def _read_anew(self) -> None:
        lengths = [len(row) for row in self.ids]
        longest = max(lengths)
        pads = [longest - length for length in lengths]
        pad = Tokenizer.pad_id
        padded = [[pad] * count + row for count, row in zip(pads, self.ids, strict=True)]
        device = self.network.device
        pads_B = torch.tensor(pads, device=device) if any(pads) else None
        self._cache = KeyValueCache(self.network.config.layers, pads_B)
        self._fresh_BT = torch.tensor(padded, device=device)

    def logits(self) -> Tensor:
        """Return logits (B, V), float32 on the CPU, over the id after each row."""
        context = self.network.config.context
        if self._cache.length + self._fresh_BT.shape[1] > context:
            half = max(1, context // 2)
            self.ids = [row[-half:] if len(row) > context else row for row in self.ids]
            self._read_anew()
        with torch.no_grad():
            logits_BV = logits_after(self.network, self._fresh_BT, self._cache, self.source)
            return logits_BV.float().cpu()

    def append(self, ids_B: Sequence[int]) -> None:
        """Add an id to each row; `logits` must have been read since the last time."""
        for row, token_id in zip(self.ids, ids_B, strict=True):
            row.append(token_id)
        self._fresh_BT = torch.tensor(ids_B, device=self.network.device)[:, None]

    def select(self, rows: Sequence[int]) -> None:
        """Let row i go on from what was row `rows[i]`; others are dropped."""
        if list(rows) == list(range(len(self.ids))):
            return
        index_B = torch.tensor(rows, device=self.network.device)
        self.ids = [list(self.ids[row]) for row in rows]
        self._fresh_BT = self._fresh_BT[index_B]
        self._cache.reorder(index_B)
        if self.source is not None:
            self.source = AttentionInputs(
                causal=self.source.causal,
                source_BSD=_rows_of(self.source.source_BSD, index_B),
                source_allowed_BTS=_rows_of(self.source.source_allowed_BTS, index_B),
            )


def _rows_of(tensor: Tensor | None, index_B: Tensor) -> Tensor | None:
    return None if tensor is None else tensor[index_B]


def _read_sources(
    network: AnyNetwork, encode: Encode, sources: Sequence[Sequence[int]]
) -> AttentionInputs:
    uneven = len({len(row) for row in sources}) > 1
    mask_BS = attention_mask(sources).to(network.device) if uneven else None
    with torch.no_grad():
        return encode(network, pad(sources).to(network.device), mask_BS)
