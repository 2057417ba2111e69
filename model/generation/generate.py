"""Sampling and beam search with a key/value cache, one text or many. No tokenizer in here."""

from collections.abc import Callable, Iterator, Sequence

from model.generation.beam_search import search
from model.generation.decoding import Rows
from model.generation.sampling import SamplingConfig, draw, generator_of
from model.network.families import AnyNetwork

__all__ = ["SamplingConfig", "generate", "generate_batch"]


def generate(network: AnyNetwork, prompt: Sequence[int], sampling: SamplingConfig) -> Iterator[int]:
    """Yield token ids after `prompt` (at least one id) until `max_new_tokens`.

    Past the context length the oldest half is forgotten and the rest read again. With `beams` the
    ids of the best text come when it is found; they end with <|eos|> if it does.
    """
    if sampling.beams is not None:
        yield from search(network, prompt, sampling)[0].ids
        return
    rows, generator = Rows(network, [prompt]), generator_of(sampling)
    written: list[int] = []
    for _ in range(sampling.max_new_tokens):
        token = draw(rows.logits()[0], sampling, generator, prompt, written)
        yield token
        written.append(token)
        rows.append([token])


def generate_batch(
    network: AnyNetwork,
    prompts: Sequence[Sequence[int]],
    samplings: Sequence[SamplingConfig],
    wants_more: Callable[[int, int], bool],
) -> None:
    """Continue several prompts at once, each by its own settings and seed, as if it were alone.

    Calls `wants_more(row, token)` for every token; a row ends where that is False, or at its
    `max_new_tokens`. Rows that search with `beams` are done one by one.
    """
    live = [row for row, one in enumerate(samplings) if one.beams is None and one.max_new_tokens]
    for row, one in enumerate(samplings):
        if one.beams is not None:
            all(wants_more(row, token) for token in generate(network, prompts[row], one))
    if not live:
        return
    rows = Rows(network, [prompts[row] for row in live])
    generators = {row: generator_of(samplings[row]) for row in live}
    written: dict[int, list[int]] = {row: [] for row in live}
    while live:
        chosen = [
            draw(logits_V, samplings[row], generators[row], prompts[row], written[row])
            for row, logits_V in zip(live, rows.logits(), strict=True)
        ]
        rows.append(chosen)
        going = []
        for place, (row, token) in enumerate(zip(live, chosen, strict=True)):
            written[row].append(token)
            if wants_more(row, token) and len(written[row]) < samplings[row].max_new_tokens:
                going.append(place)
        live = [live[place] for place in going]
        if live:
            rows.select(going)
