"""Sampling and beam search with a key/value cache, one text or many. No tokenizer in here."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from model.generation.beam_search import search
from model.generation.decoding import DecodingBatch
from model.generation.sampling import generator_of, sample_token
from model.generation.sampling_config import SamplingConfig
from model.network.families import AnyNetwork

__all__ = ["GenerationBatch", "SamplingConfig", "generate"]

Step = list[tuple[int, int]]  # (row, token) of every row that grew


class GenerationBatch:
    """Prompts continued side by side, each by its own settings and seed, as if it were alone.

    Iterating yields what each step adds. A row ends at its `max_new_tokens`, or where the caller
    drops it. Rows that search with `beams` come first, one by one, when their best text is found;
    its ids end with <|eos|> if it does. `logits` are those (V,) from which each row's latest token
    was drawn; rows that search have none.
    """

    def __init__(
        self,
        network: AnyNetwork,
        prompts: Sequence[Sequence[int]],
        samplings: Sequence[SamplingConfig],
    ):
        self._network, self._prompts, self._samplings = network, prompts, samplings
        self.logits: dict[int, Tensor] = {}
        self._live = {row for row, sampling in enumerate(samplings) if sampling.max_new_tokens}

    def drop(self, row: int) -> None:
        """End a row: no token of it comes any more."""
        self._live.discard(row)

    def __iter__(self) -> Iterator[Step]:
        rows = sorted(self._live)
        for row in rows:
            if self._samplings[row].beams is not None:
                yield from self._search_steps(row)
        yield from self._sample_steps([r for r in rows if self._samplings[r].beams is None])

    def _search_steps(self, row: int) -> Iterator[Step]:
        for token in search(self._network, self._prompts[row], self._samplings[row])[0].ids:
            yield [(row, token)]
            if row not in self._live:
                break

    def _sample_steps(self, rows: list[int]) -> Iterator[Step]:
        """Yield a token of every row that is left, past the context too (see DecodingBatch)."""
        if not rows:
            return
        batch = DecodingBatch(self._network, [self._prompts[row] for row in rows])
        generators = {row: generator_of(self._samplings[row]) for row in rows}
        written: dict[int, list[int]] = {row: [] for row in rows}
        while True:
            self.logits = dict(zip(rows, batch.logits(), strict=True))
            step = [
                (
                    row,
                    sample_token(
                        logits_V,
                        self._samplings[row],
                        generators[row],
                        self._prompts[row],
                        written[row],
                    ),
                )
                for row, logits_V in self.logits.items()
            ]
            yield step
            for row, token in step:
                written[row].append(token)
                if len(written[row]) == self._samplings[row].max_new_tokens:
                    self.drop(row)
            kept = [index for index, row in enumerate(rows) if row in self._live]
            if not kept:
                return
            batch.append([token for _, token in step])
            batch.select(kept)
            rows = [rows[index] for index in kept]


def generate(network: AnyNetwork, prompt: Sequence[int], sampling: SamplingConfig) -> Iterator[int]:
    """Yield token ids after `prompt` (at least one id) until `max_new_tokens`.

    Past the context length the oldest half is forgotten and the rest read again.
    """
    for [(_, token)] in GenerationBatch(network, [prompt], [sampling]):
        yield token
