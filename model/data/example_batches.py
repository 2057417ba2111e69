"""Examples to batches: several to a row where the network can keep them apart, else one.

The batch of a step is a pure function of examples, seed and step. A row of a decoder with rotary
positions holds whole examples end to end that do not see each other (`documents_BT`); relative
positions make one in the middle of a row equal to one at its beginning. Other networks number
positions from the row's start, so there a row is one example, beside others of about its length.
Shapes: B rows, T time, S positions of the source.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from model.data.chat import EncodedExample
from model.network.architecture import ModelConfig
from model.network.batch import Batch, attention_mask, pad
from model.network.families import FAMILIES
from pipeline.errors import TrainingError
from pipeline.tokenizer import Tokenizer

SORTED_BATCHES = 16  # rows of so many batches are sorted by length, so that little is padding


def packs(config: ModelConfig) -> bool:
    """Tell whether examples share rows in networks of this make."""
    return FAMILIES[config.family].packs_examples(config)


def fits_context(config: ModelConfig, tokens: int, before_answer: int) -> bool:
    """Tell whether an example of `tokens`, controls included, fits the network's context."""
    family = FAMILIES[config.family]
    if family.reads_source:
        return max(before_answer, tokens - before_answer) <= config.context
    return tokens <= config.context + family.is_causal  # a decoder's last token is predicted alone


def pack(lengths: np.ndarray, row_tokens: int) -> list[np.ndarray]:
    """Return rows as indices of examples: each goes where it leaves least space (best fit).

    The longest go first (best-fit decreasing, Johnson 1973), so that rows are nearly full.
    """
    rows_by_space: dict[int, list[int]] = {}  # tokens left -> rows
    rows: list[list[int]] = []
    for index in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[index])
        space = next((s for s in range(length, row_tokens) if rows_by_space.get(s)), None)
        if space is None:
            rows.append([])
            row, space = len(rows) - 1, row_tokens
        else:
            row = rows_by_space[space].pop()
        rows[row].append(index)
        rows_by_space.setdefault(space - length, []).append(row)
    return [np.array(row) for row in rows]


@dataclass
class ExampleBatches:
    """The batches of a fine-tuning run; `context` is the mean of tokens predicted or shown per row.

    Raises TrainingError if there are no examples.
    """

    examples: Sequence[EncodedExample]
    config: ModelConfig
    batch_size: int
    seed: int
    context: int = field(init=False)

    def __post_init__(self) -> None:
        if not self.examples:
            raise TrainingError(
                "no example to train on; look at the artifact's quarantine/ and at what was too "
                "long, then give other files or a model of a larger context"
            )
        lengths = np.array([len(example.ids) for example in self.examples])
        self.rows = self.rows_of(lengths)
        self._lengths = np.array([lengths[row].sum() for row in self.rows])
        self.context = max(1, round(float(self._lengths.mean())))
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])

    @property
    def packed(self) -> bool:
        """Tell whether examples share rows."""
        return packs(self.config)

    def rows_of(self, lengths: np.ndarray) -> list[np.ndarray]:
        """Return the examples of each row by their numbers."""
        if self.packed:
            return pack(lengths, self.config.context + 1)
        return [np.array([index]) for index in range(len(lengths))]

    def collated(self, rows: Sequence[np.ndarray]) -> Batch:
        """Return rows of numbers as a batch."""
        return collate([[self.examples[index] for index in row] for row in rows], self.config)

    @property
    def batches_per_epoch(self) -> int:
        """Steps in which every example is seen once."""
        return -(-len(self.rows) // self.batch_size)

    def batch(self, step: int) -> Batch:
        """Return the batch of 0-based `step`; the last of an epoch may have fewer rows."""
        epoch, index = divmod(step, self.batches_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._order(epoch))
        return self.collated([self.rows[row] for row in self._epoch[1][index]])

    def in_order(self) -> list[Batch]:
        """Return all rows once, in their own order, as batches: for validation."""
        starts = range(0, len(self.rows), self.batch_size)
        return [self.collated(self.rows[start : start + self.batch_size]) for start in starts]

    def _order(self, epoch: int) -> list[np.ndarray]:
        generator = np.random.Generator(np.random.PCG64([self.seed, epoch]))
        order = generator.permutation(len(self.rows))
        size, stretch = self.batch_size, self.batch_size * SORTED_BATCHES
        if not self.packed:
            parts = [order[start : start + stretch] for start in range(0, len(order), stretch)]
            order = np.concatenate([p[np.argsort(self._lengths[p], kind="stable")] for p in parts])
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        return [batches[index] for index in generator.permutation(len(batches))]


def collate(rows: Sequence[Sequence[EncodedExample]], config: ModelConfig) -> Batch:
    """Return rows of examples, each after the other, as a batch for a network of this make."""
    if FAMILIES[config.family].reads_source:
        return _source_and_target([row[0] for row in rows])
    ids_BT = pad([np.concatenate([example.ids for example in row]) for row in rows])
    masks = [np.concatenate([example.loss_mask for example in row]) for row in rows]
    loss_weight_BT = pad(masks, 0).bool()
    numbers = [
        np.concatenate([np.full(len(ex.ids), number) for number, ex in enumerate(row, 1)])
        for row in rows
    ]
    documents_BT = pad(numbers, 0)  # padding is a document of its own
    if FAMILIES[config.family].is_causal:
        return Batch(ids_BT, loss_weight_BT, documents_BT=documents_BT)
    # an encoder's objective leaves the last column out
    extra_B1 = torch.full_like(ids_BT[:, :1], Tokenizer.pad_id)
    never_B1 = torch.zeros_like(extra_B1, dtype=torch.bool)
    return Batch(
        torch.cat((ids_BT, extra_B1), 1),
        torch.cat((loss_weight_BT, never_B1), 1),
        attention_mask_BT=torch.cat((documents_BT > 0, never_B1), 1),
    )


def _source_and_target(examples: Sequence[EncodedExample]) -> Batch:
    sources = [example.ids[: example.answer] for example in examples]
    answers = [example.ids[example.answer :] for example in examples]
    targets = [np.concatenate(([Tokenizer.bos_id], answer)) for answer in answers]
    ids_BT = pad(targets)
    loss_weight_BT = pad([np.arange(len(target)) > 0 for target in targets], 0).bool()
    return Batch(
        ids_BT,
        loss_weight_BT,
        source_BS=pad(sources),
        source_attention_mask_BS=attention_mask(sources),
    )
