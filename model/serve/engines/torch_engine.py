"""Our own networks as an engine: every family, in this process, the texts of a request together."""

import asyncio
import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from model.formats import model_folder
from model.generation.completion import LoadedModel, TextStreamer, batch_of, load_model
from model.network import objectives
from model.network.batch import attention_mask, pad
from model.network.families import family_of
from model.serve.engines.interface import (
    CANCELLED,
    ZERO_LOGPROB,
    Capabilities,
    GeneratedText,
    Piece,
    ScoredToken,
)
from pipeline.errors import ConfigError

ResultT = TypeVar("ResultT")


class TorchEngine:
    """Writes one request at a time, in a thread: torch uses every core for it."""

    slots = 1
    is_down = False  # it is this process

    def __init__(self, folder: Path, reason: str = ""):
        self._loaded = load_model(folder)
        self.tokenizer = self._loaded.tokenizer
        network = self._loaded.network
        family = family_of(network)
        self.capabilities = Capabilities(
            engine="torch",
            family=network.config.family,
            context=network.config.context,
            generates=family.generates,
            reads_source=family.reads_source,
            chats=model_folder.taught_to_chat(folder),
            reason=reason,
        )
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="torch-engine")
        self._open: set[GeneratedText] = set()

    async def start(self) -> None:
        """Be ready: the network was loaded before."""

    def begin(self, texts: Sequence[GeneratedText]) -> None:
        """Write a request's texts side by side, after those that were begun before."""
        self._open.update(texts)
        loop = asyncio.get_running_loop()
        self._threads.submit(_TextsInThread(self._loaded, texts, loop, self._open).write)

    async def score(self, ids: Sequence[int], top: int) -> list[ScoredToken]:
        """Return the log-probabilities of ids, read in one piece."""
        if not self.capabilities.is_causal:
            family = self.capabilities.family
            raise ConfigError(f"a model of the family {family!r} gives no log-probabilities")
        return await self._in_thread(functools.partial(score_ids, self._loaded, ids, top))

    async def embed(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return a vector of each row, row by row: what else is asked does not move its digits."""
        return await self._in_thread(
            lambda: [_mean_vector(self._loaded, list(ids)).tolist() for ids in rows]
        )

    async def close(self) -> None:
        """Cancel what is written and wait for the thread to end."""
        for text in list(self._open):
            text.cancel()
        await asyncio.to_thread(self._threads.shutdown)

    async def _in_thread(self, function: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


class _TextsInThread:
    """The texts of one request, written by a thread and handed to the event loop."""

    def __init__(
        self,
        loaded: LoadedModel,
        texts: Sequence[GeneratedText],
        loop: asyncio.AbstractEventLoop,
        open_texts: set[GeneratedText],
    ):
        self._loaded, self._texts, self._loop, self._open = loaded, texts, loop, open_texts
        self._streamers: list[TextStreamer] = []

    def write(self) -> None:
        """Write until all end or are cancelled; what is raised ends all of them."""
        error: BaseException | None = None
        try:
            self._streamers = [
                TextStreamer(self._loaded, text.request.prompt, text.request.sampling)
                for text in self._texts
            ]
            self._write_all()
        except BaseException as raised:  # handed over whole: `pieces` raises it where it is awaited
            error = raised
        self._call(functools.partial(self._end, error))

    def _write_all(self) -> None:
        batch = batch_of(self._streamers)
        for row, text in enumerate(self._texts):
            if text.cancelled:
                batch.drop(row)
        for step in batch:
            for row, token in step:
                streamer, text = self._streamers[row], self._texts[row]
                before = len(streamer.ids)
                new_text = streamer.push_token(token)
                scored = self._scored(text, streamer.ids[before:], batch.logits.get(row))
                self._emit(text, Piece(new_text, scored), streamer.completion_tokens)
                if streamer.finished or text.cancelled:
                    batch.drop(row)
        for text, streamer in zip(self._texts, self._streamers, strict=True):
            piece = Piece(streamer.flush(), self._searched(text, streamer))
            self._emit(text, piece, streamer.completion_tokens)

    def _scored(
        self, text: GeneratedText, ids: Sequence[int], logits_V: Tensor | None
    ) -> list[ScoredToken]:
        top = text.request.top_logprobs
        if top is None or logits_V is None or not ids:
            return []
        return list(_scored_tokens(ids, logits_V[None].log_softmax(-1), top))

    def _searched(self, text: GeneratedText, streamer: TextStreamer) -> list[ScoredToken]:
        """Score what a search found: it has read several texts at once."""
        top = text.request.top_logprobs
        if top is None or text.request.sampling.beams is None or text.cancelled:
            return []
        whole = [*streamer.prompt, *streamer.ids]
        return score_ids(self._loaded, whole, top)[len(streamer.prompt) :]

    def _emit(self, text: GeneratedText, piece: Piece, count: int) -> None:
        """Hand over a piece, and how many tokens there are: the text may be cut after it."""
        if piece.text or piece.tokens:
            self._call(functools.partial(text.emit, piece, count))

    def _end(self, error: BaseException | None) -> None:
        for row, text in enumerate(self._texts):
            if error is None and not text.ended:
                streamer = self._streamers[row]
                text.prompt_tokens = streamer.prompt_tokens
                text.completion_tokens = streamer.completion_tokens
                text.finish_reason = streamer.finish_reason
                if text.cancelled and not streamer.finished:
                    text.finish_reason = CANCELLED
            self._open.discard(text)
            text.end(error)

    def _call(self, function: Callable[[], object]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)


def score_ids(loaded: LoadedModel, ids: Sequence[int], top: int) -> list[ScoredToken]:
    """Return ids with the log-probability of each but the first, and the `top` likeliest there."""
    first = ScoredToken(ids[0], None, {})
    if len(ids) < 2:
        return [first]
    ids_T = torch.tensor(ids, device=loaded.network.device)
    with torch.no_grad():
        logits_TV = objectives.text_logits(loaded.network, ids_T[None])[0].float()
        return [first, *_scored_tokens(ids[1:], logits_TV.log_softmax(-1), top)]


def _scored_tokens(ids: Sequence[int], values_TV: Tensor, top: int) -> Iterator[ScoredToken]:
    """Yield ids (T) with their log-probability among (T, V) and the `top` likeliest."""
    ids_T = torch.tensor(ids, device=values_TV.device)
    own = values_TV.gather(-1, ids_T[:, None])[:, 0].clamp(min=ZERO_LOGPROB).tolist()
    best = values_TV.topk(min(top, values_TV.shape[-1]), dim=-1)
    values, likeliest = best.values.clamp(min=ZERO_LOGPROB).tolist(), best.indices.tolist()
    for position, token in enumerate(ids):
        pairs = zip(likeliest[position], values[position], strict=True)
        yield ScoredToken(token, own[position], dict(pairs))


def _mean_vector(loaded: LoadedModel, ids: list[int]) -> Tensor:
    network = loaded.network
    recent = ids[-network.config.context :]
    with torch.no_grad():
        hidden_TD = family_of(network).last_vectors(
            network, pad([recent]).to(network.device), attention_mask([recent]).to(network.device)
        )[0]
        return torch.nn.functional.normalize(hidden_TD.float().mean(0), dim=0)
