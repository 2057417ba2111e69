"""Scores documents under a model: every token once, with as much context as the window allows.

Sums are kept per (language, source), so that any slice can be formed without a second pass.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F

from model import objectives
from model.networks import AnyNetwork
from pipeline.tokenizer import Tokenizer

WINDOWS_SORTED = 1024  # windows gathered and sorted by length, so that little padding is computed


@dataclass(frozen=True)
class Document:
    """A held-out document: token ids without controls, and the UTF-8 bytes they stand for."""

    lang: str
    source: str
    ids: np.ndarray
    text_bytes: int


@dataclass
class Sums:
    """What adds up over documents; `nats` and `unigram_nats` are summed negative log-likelihood."""

    documents: int = 0
    tokens: int = 0
    text_bytes: int = 0
    nats: float = 0.0
    unigram_nats: float = 0.0
    correct: int = 0

    def add(self, other: "Sums") -> None:
        """Add another group's sums."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))


Group = tuple[str, str]  # language, source
Window = tuple[Group, np.ndarray]  # group, at least two ids: context and what to predict


def score(
    network: AnyNetwork,
    tokenizer: Tokenizer,
    documents: Iterable[Document],
    *,
    unigram: np.ndarray | None = None,
    batch_size: int = 16,
    report: Callable[[int], None] = lambda documents: None,
) -> dict[Group, Sums]:
    """Return the sums per (language, source) over `documents`.

    A document is `<|bos|>` and its ids; the first token of each further window is predicted from
    the token before it. `unigram` holds nats per token (V,).
    """
    sums: dict[Group, Sums] = {}
    waiting: list[Window] = []
    for number, document in enumerate(documents, 1):
        group = (document.lang, document.source)
        part = sums.setdefault(group, Sums())
        part.documents += 1
        part.tokens += len(document.ids)
        part.text_bytes += document.text_bytes
        if unigram is not None:
            part.unigram_nats += float(unigram[document.ids].sum())
        waiting.extend((group, w) for w in windows(document.ids, tokenizer, network.config.context))
        if len(waiting) >= WINDOWS_SORTED:
            _score_windows(network, waiting, tokenizer.pad_id, batch_size, sums)
            waiting = []
        report(number)
    _score_windows(network, waiting, tokenizer.pad_id, batch_size, sums)
    return sums


def windows(ids: np.ndarray, tokenizer: Tokenizer, context: int) -> Iterator[np.ndarray]:
    """Cut `<|bos|>` + ids into runs of up to context + 1 that overlap by one token."""
    sequence = np.concatenate(([tokenizer.bos_id], ids)).astype(np.int64)
    for start in range(0, len(sequence) - 1, context):
        yield sequence[start : start + context + 1]


def _score_windows(
    network: AnyNetwork,
    waiting: list[Window],
    pad_id: int,
    batch_size: int,
    sums: dict[Group, Sums],
) -> None:
    waiting = sorted(waiting, key=lambda window: len(window[1]))
    for start in range(0, len(waiting), batch_size):
        batch = waiting[start : start + batch_size]
        length = max(len(window) for _, window in batch)
        ids_BT = np.full((len(batch), length), pad_id, np.int64)
        for row, (_, window) in enumerate(batch):
            ids_BT[row, : len(window)] = window
        nats_BT, correct_BT = _token_scores(network, torch.from_numpy(ids_BT))
        for row, (group, window) in enumerate(batch):
            scored = len(window) - 1  # padding comes after, and attention looks only back
            sums[group].nats += float(nats_BT[row, :scored].sum())
            sums[group].correct += int(correct_BT[row, :scored].sum())


def _token_scores(network: AnyNetwork, ids_BT: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return for each predicted token its nats and whether it was the likeliest."""
    ids_BT = ids_BT.to(network.device)
    with torch.no_grad():
        logits_BTV = objectives.text_logits(network, ids_BT).float()
    targets_BT = ids_BT[:, 1:]
    nats = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none")
    correct_BT = logits_BTV.argmax(-1) == targets_BT
    return nats.view(targets_BT.shape).double().cpu().numpy(), correct_BT.cpu().numpy()
