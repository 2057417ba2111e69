"""Generation beside the event loop: own threads, a bounded queue, an end when nobody listens."""

import asyncio
import functools
import secrets
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor

from model.generate import SamplingConfig
from model.serve.schema import ApiError, SamplingRequest, ServeLimits
from model.text import LoadedModel, Prompt, Writing, write_together

SEED_BITS = 62


def sampling_of(
    asked: SamplingRequest, index: int, seed: int, stops: tuple[str, ...] = ()
) -> SamplingConfig:
    """Return the settings of choice `index`; each choice draws from a seed of its own.

    `stops` end a text as well as those asked for.
    """
    return SamplingConfig(
        max_new_tokens=asked.new_tokens_max,
        temperature=1.0 if asked.temperature is None else asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p,
        min_p=asked.min_p,
        repetition_penalty=asked.repetition_penalty,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        beams=asked.beams,
        seed=seed + index,
        stop=(*asked.stops, *stops),
    )


def seed_of(asked: SamplingRequest) -> int:
    """Return the seed asked for, else a random one."""
    return secrets.randbits(SEED_BITS) if asked.seed is None else asked.seed


class Generator:
    """Runs generations on `limits.concurrent` threads, so that the event loop stays free."""

    def __init__(self, loaded: LoadedModel, limits: ServeLimits):
        self._loaded = loaded
        self._room = limits.concurrent + limits.waiting_max
        self._threads = ThreadPoolExecutor(limits.concurrent, thread_name_prefix="generation")
        self._lock = threading.Lock()
        self._open: set[Generation] = set()

    def start(self, settings: list[tuple[Prompt, SamplingConfig]]) -> list["Generation"]:
        """Queue one generation per (prompt, sampling); raise ApiError 429 if they do not fit."""
        loop = asyncio.get_running_loop()
        work = [Generation(self._loaded, prompt, sampling, loop) for prompt, sampling in settings]
        with self._lock:
            if len(self._open) + len(work) > self._room:
                raise ApiError(
                    429,
                    f"{len(self._open)} generations are under way or waiting, at most "
                    f"{self._room} may; try again in a moment",
                    code="queue_full",
                    kind="rate_limit_error",
                )
            self._open.update(work)
        future = self._threads.submit(write, work)
        for one in work:
            one.future = future
        future.add_done_callback(functools.partial(self._leave, work))
        return work

    async def stop(self) -> None:
        """Cancel everything and wait for the threads to end."""
        with self._lock:
            work = list(self._open)
        for one in work:
            one.cancel()
        await asyncio.to_thread(self._threads.shutdown)

    def _leave(self, work: list["Generation"], _: Future[None]) -> None:
        with self._lock:
            self._open.difference_update(work)


def write(work: list["Generation"]) -> None:
    """Write the texts of one request side by side until all end or are cancelled, in a thread."""
    end: BaseException | None = None
    try:
        for one in work:
            one.begin()
        write_together([one.writer for one in work], lambda row, piece: work[row].take(piece))
    except BaseException as error:  # handed over whole: `pieces` raises it where it is awaited
        end = error
    for one in work:
        one.finish(end)


class Generation:
    """One continuation: written by a thread beside others, read by the event loop."""

    writer: Writing

    def __init__(
        self,
        loaded: LoadedModel,
        prompt: Prompt,
        sampling: SamplingConfig,
        loop: asyncio.AbstractEventLoop,
    ):
        self._make = (loaded, prompt, sampling)
        self._loop = loop
        self._pieces: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
        self._cancelled = threading.Event()
        self.future: Future[None] | None = None
        self.finish_reason = "length"
        self.prompt_tokens = 0
        self.completion_tokens = 0

    def begin(self) -> None:
        """Read the prompt; raises what that raises."""
        self.writer = Writing(*self._make)

    def take(self, piece: str) -> bool:
        """Hand a piece to the event loop; False if nobody wants more."""
        if piece:
            self._put(piece)
        return not self._cancelled.is_set()

    def finish(self, end: BaseException | None) -> None:
        """Keep the counts and end `pieces`, with an error if there was one."""
        if end is None:
            self.finish_reason = self.writer.finish_reason
            self.prompt_tokens = self.writer.prompt_tokens
            self.completion_tokens = self.writer.completion_tokens
        self._put(end)

    async def pieces(self) -> AsyncIterator[str]:
        """Yield the text as it is made; raises what the generation raised, 503 if cancelled."""
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            if piece:
                yield piece
        if self._cancelled.is_set():
            raise ApiError(503, "The server is stopping", code="stopping", kind="server_error")

    def cancel(self) -> None:
        """Stop at the next piece, or never begin."""
        self._cancelled.set()
        if self.future is not None and self.future.cancel():
            self._put(None)

    def _put(self, item: str | BaseException | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, item)
