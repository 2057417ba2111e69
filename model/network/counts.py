"""What followed in training text: an n-gram model's probabilities, mixed with the network's.

The tables are counted (`model.counts.count_table`), not learned; how far they are trusted is:
p = (1 - g) p_network + g p_ngram, g a logistic function of the network's last vector and of how
often each context was seen (a mixture of experts as in Jacobs et al. 1991; its closest relative is
the cache of Grave et al. 2017, arXiv:1612.04426). Interpolated modified Kneser-Ney, as in
`model.counts.kneser_ney`.
Shapes: B batch, T time, S earlier ids and T new ones, V vocabulary, G n-grams of one order, F
features, D width.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.network.architecture import ModelConfig
from model.network.ngrams import NOTHING

PREFIX = "counts."
PARTS = {
    "starts": torch.int32,
    "last": torch.int32,
    "counts": torch.int32,
    "discounts": torch.float32,
}
UNIGRAMS = "unigrams"
LEAST = 1e-30


@dataclass(frozen=True)
class Prior:
    """What counts say of targets (...): their probability, and features (..., F) of contexts."""

    probability: Tensor
    features: Tensor


class NgramCounts(nn.Module):
    """Counted n-grams of orders 2 to N, and the gate that weighs them; empty until `fill`.

    `leave_out`: in training, targets are scored as if their own document had not been counted.
    """

    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__()
        assert config.count_order is not None
        self.order, self.vocab_size = config.count_order, vocab_size
        self.leave_out = False
        self.steps = vocab_size.bit_length()  # of a search among what can follow
        self.gate_hidden = nn.Parameter(torch.zeros(config.width))
        self.gate_features = nn.Parameter(torch.zeros(2 * (self.order - 1)))
        self.gate_bias = nn.Parameter(torch.zeros(1))
        for name, kind in self._names().items():
            self.register_buffer(name, torch.zeros(0, dtype=kind))
        for n in range(2, self.order + 1):
            for name in (f"total_{n}", f"held_{n}"):
                self.register_buffer(name, torch.zeros(0), persistent=False)

    def _names(self) -> dict[str, torch.dtype]:
        orders = range(2, self.order + 1)
        return {UNIGRAMS: torch.float32} | {
            f"{part}_{n}": kind for n in orders for part, kind in PARTS.items()
        }

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing has been counted yet."""
        return not len(self._tensor(UNIGRAMS))

    def _tensor(self, name: str) -> Tensor:
        tensor = getattr(self, name)
        assert isinstance(tensor, Tensor)
        return tensor

    def tables(self) -> dict[str, Tensor]:
        """Return what was counted, by name; nothing of an empty one."""
        return {} if self.is_empty else {name: self._tensor(name) for name in self._names()}

    def fill(self, tables: Mapping[str, Tensor]) -> None:
        """Take tables as `tables` gives them; raise ValueError if they do not belong together."""
        if tables.keys() != self._names().keys():
            odd = sorted(tables.keys() ^ self._names().keys())
            raise ValueError(f"{len(odd)} tables of n-grams are missing or too many, as {odd[0]!r}")
        contexts = self.vocab_size
        _require(len(tables[UNIGRAMS]) == contexts, UNIGRAMS)
        for n in range(2, self.order + 1):
            starts, last, counts = (tables[f"{part}_{n}"].long() for part in list(PARTS)[:3])
            _require(len(starts) == contexts + 1 and len(counts) == len(last), f"starts_{n}")
            _require(int(starts[0]) == 0 and int(starts[-1]) == len(last), f"starts_{n}")
            _require(bool((starts.diff() >= 0).all()), f"starts_{n}")
            inside = not len(last) or 0 <= int(last.min()) <= int(last.max()) < self.vocab_size
            _require(inside, f"last_{n}")
            _require(len(tables[f"discounts_{n}"]) == 4, f"discounts_{n}")
            contexts = len(last)
        device = self.gate_bias.device
        for name, kind in self._names().items():
            setattr(self, name, tables[name].to(device, kind))
        for n in range(2, self.order + 1):
            self._sum_up(n)

    def _sum_up(self, n: int) -> None:
        """Note of each context how often it was gone on from, and what is held back of that."""
        starts, counts = self._tensor(f"starts_{n}").long(), self._tensor(f"counts_{n}")
        rows = torch.repeat_interleave(starts.diff())
        empty = torch.zeros(len(starts) - 1, dtype=torch.float64, device=counts.device)
        total = empty.index_add(0, rows, counts.double())
        held = empty.index_add(0, rows, self._discount(n, counts).double())
        setattr(self, f"total_{n}", total.float())
        setattr(self, f"held_{n}", held.float())

    def _discount(self, n: int, counts: Tensor) -> Tensor:
        return self._tensor(f"discounts_{n}")[counts.clamp(0, 3)]

    def find(self, n: int, context: Tensor, token: Tensor) -> Tensor:
        """Return the numbers of n-grams of order n, -1 where there is none (or no context).

        `context` holds numbers of the order below, NOTHING for none; both are broadcast.
        """
        starts, last = self._tensor(f"starts_{n}"), self._tensor(f"last_{n}")
        if not len(last):
            return torch.full_like(context + token, NOTHING)
        known = context.clamp(min=0)
        low, stop = starts[known].long(), starts[known + 1].long()
        high, top = stop, len(last) - 1
        for _ in range(self.steps):
            middle = (low + high) // 2
            right = (last[middle.clamp(max=top)] < token) & (low < high)
            low, high = torch.where(right, middle + 1, low), torch.where(right, high, middle)
        hit = (context >= 0) & (low < stop) & (last[low.clamp(max=top)] == token)
        return torch.where(hit, low, NOTHING)

    def grams(self, window_BS: Tensor, time: int, documents_BT: Tensor | None) -> list[Tensor]:
        """Return of each order up to N the n-gram (B, T) that ends at the last T places."""
        gram_BS, grams = window_BS, [window_BS[:, -time:]]
        for n in range(2, self.order + 1):
            before_BS = torch.nn.functional.pad(gram_BS, (1, 0), value=NOTHING)[:, :-1]
            if documents_BT is not None:  # the window then begins a text
                before_BS = before_BS.masked_fill(
                    _begins(documents_BT, window_BS.shape[1]), NOTHING
                )
            gram_BS = self.find(n, before_BS, window_BS)
            grams.append(gram_BS[:, -time:])
        return grams

    def prior(
        self, contexts: list[Tensor], targets: Tensor, grams: list[Tensor] | None = None
    ) -> Prior:
        """Return what the counts say of a target (...) after each context (...).

        `grams` are the n-grams from order 2 on that the targets make, where they are known.
        """
        leaves = self.training and self.leave_out
        probability = self._tensor(UNIGRAMS)[targets]
        if grams is None:
            grams = [self.find(n, ctx, targets) for n, ctx in enumerate(contexts, 2)]
        counts = [
            torch.where(gram >= 0, self._count(n, gram), 0) for n, gram in enumerate(grams, 2)
        ]
        less = _left_out(counts) if leaves else [torch.zeros_like(counts[0])] * len(counts)
        features = []
        for n, (context, count, off) in enumerate(zip(contexts, counts, less, strict=True), 2):
            total, held = self._context(n, context)
            rest = count - off
            change = self._discount(n, rest) - self._discount(n, count)
            total, held = total - off, held + change
            seen = total > 0
            share = (rest - self._discount(n, rest)).clamp(min=0) / total.clamp(min=1)
            kept = held / total.clamp(min=1)
            probability = torch.where(seen, share + kept * probability, probability)
            features += _features(seen, kept, total)
        return Prior(probability, torch.stack(features, dim=-1))

    def _count(self, n: int, gram: Tensor) -> Tensor:
        counts = self._tensor(f"counts_{n}")
        return counts[gram.clamp(min=0)].long() if len(counts) else torch.zeros_like(gram)

    def _context(self, n: int, context: Tensor) -> tuple[Tensor, Tensor]:
        known, there = context.clamp(min=0), context >= 0
        total, held = (self._tensor(f"{name}_{n}") for name in ("total", "held"))
        if not len(total):
            return torch.zeros_like(context).float(), torch.zeros_like(context).float()
        return torch.where(there, total[known], 0.0), torch.where(there, held[known], 0.0)

    def distribution(self, contexts: list[Tensor]) -> Prior:
        """Return what the counts say of every token (..., V) after each context (...)."""
        if torch.compiler.is_exporting():
            tokens_V = torch.arange(self.vocab_size, device=contexts[0].device)
            wide = self.prior([context[..., None] for context in contexts], tokens_V)
            return Prior(wide.probability, wide.features[..., 0, :])
        shape, flat = contexts[0].shape, [context.flatten() for context in contexts]
        passed_on, later, features = [], torch.ones_like(flat[0]).float(), []
        for n, context_N in reversed(list(enumerate(flat, 2))):
            total_N, held_N = self._context(n, context_N)
            seen_N, kept_N = total_N > 0, held_N / total_N.clamp(min=1)
            features += _features(seen_N, kept_N, total_N)[::-1]
            passed_on.append((n, torch.where(seen_N, context_N, NOTHING), later / total_N))
            later = torch.where(seen_N, kept_N * later, later)
        probability_NV = later[:, None] * self._tensor(UNIGRAMS)
        for n, context_N, weight_N in passed_on:
            rows, places = self._following(n, context_N)
            counts = self._tensor(f"counts_{n}")[places]
            share = (counts - self._discount(n, counts)) * weight_N[rows]
            cells = rows * self.vocab_size + self._tensor(f"last_{n}")[places]
            probability_NV.view(-1).index_add_(0, cells, share)
        wide_F = torch.stack(features[::-1], dim=-1).unflatten(0, shape)
        return Prior(probability_NV.unflatten(0, shape), wide_F)

    def _following(self, n: int, context_N: Tensor) -> tuple[Tensor, Tensor]:
        """Return all n-grams that go on from some contexts: which context's each is, its number."""
        starts = self._tensor(f"starts_{n}").long()
        known = context_N.clamp(min=0)
        first = starts[known]
        length = torch.where(context_N >= 0, starts[known + 1] - first, 0)
        rows = torch.repeat_interleave(length)
        before = length.cumsum(0) - length
        return rows, torch.arange(len(rows), device=rows.device) - before[rows] + first[rows]

    def share(self, hidden: Tensor, features: Tensor) -> Tensor:
        """Return the share g (...) of the counts in the mixture, in float32 at least."""
        kind = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        known = (features.to(kind) * self.gate_features.to(kind)).sum(-1)
        with torch.autocast(hidden.device.type, enabled=False):
            read = (hidden.to(kind) * self.gate_hidden.to(kind)).sum(-1)
        read = read / math.sqrt(
            hidden.shape[-1]
        )  # so that a step of the rate is a step of the gate
        return torch.sigmoid(read + known + self.gate_bias.to(kind))

    def mixed(self, logits: Tensor, hidden: Tensor, contexts: list[Tensor]) -> Tensor:
        """Return the logarithms of the mixture (..., V): logits whose sum of powers is one."""
        told = self.distribution(contexts)
        share = self.share(hidden, told.features)[..., None]
        own = torch.softmax(logits.to(share.dtype), dim=-1) * (1 - share)
        return torch.addcmul(own, share, told.probability.to(own)).clamp(min=LEAST).log()


def _require(holds: bool, name: str) -> None:
    if not holds:
        raise ValueError(f"the table of n-grams {name!r} does not fit the others")


def _begins(documents_BT: Tensor, positions: int) -> Tensor:
    """Return (B, S), True where a document begins, in a window with nothing before it."""
    before_BT = torch.nn.functional.pad(documents_BT, (1, 0), value=NOTHING)[:, :-1]
    begins_BT = before_BT != documents_BT
    return torch.nn.functional.pad(begins_BT, (positions - begins_BT.shape[1], 0), value=True)


def _left_out(counts: list[Tensor]) -> list[Tensor]:
    """Return what one document added to each order's count of its n-grams: one, or nothing.

    At the longest order there is the document counts. A shorter n-gram counts what comes before it,
    which is one less only where a longer one is gone with the document.
    """
    gone, less = torch.ones_like(counts[0], dtype=torch.bool), []
    for count in reversed(counts):
        off = gone & (count > 0)
        less.append(off.long())
        gone = gone & (count <= 1)
    return less[::-1]


def _features(seen: Tensor, kept: Tensor, total: Tensor) -> list[Tensor]:
    """Return how sure a context is of what follows, and how often it was seen."""
    sure = torch.where(seen, 1.0 - kept, 0.0)
    return [sure, torch.where(seen, total.clamp(min=1).log1p() / 8.0, 0.0)]
