"""Generation beside the event loop: own threads, a bounded queue, an end when nobody listens."""

import asyncio
import functools
import math
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from model.generation.completion import LoadedModel, Prompt, TextStreamer, stream_batch
from model.generation.generate import SamplingConfig
from model.serve.logprobs import Logprobs, LogprobsRequest, text_logprobs
from model.serve.schema import ApiError, SamplingRequest, ServeLimits

SEED_BITS = 62
RETRY_SECONDS_MAX = 60
NEWEST_SHARE = 0.1  # of what the last text took in what a text is thought to take


def sampling_of(
    request: SamplingRequest, index: int, seed: int, stops: tuple[str, ...] = ()
) -> SamplingConfig:
    """Return the settings of choice `index`; each choice draws from a seed of its own.

    `stops` end a text as well as those asked for.
    """
    return SamplingConfig(
        max_new_tokens=request.new_tokens_max,
        temperature=1.0 if request.temperature is None else request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        min_p=request.min_p,
        repetition_penalty=request.repetition_penalty,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        beams=request.beams,
        seed=seed + index,
        stop=(*request.stops, *stops),
    )


def seed_of(request: SamplingRequest) -> int:
    """Return the seed asked for, else a random one."""
    return secrets.randbits(SEED_BITS) if request.seed is None else request.seed


@dataclass(frozen=True)
class GenerationRequest:
    """A text to write: what it goes on from, how, and what is to be said of its tokens."""

    prompt: Prompt
    sampling: SamplingConfig
    logprobs: LogprobsRequest | None = None


class Generator:
    """Runs generations on `limits.concurrent` threads, so that the event loop stays free."""

    def __init__(self, loaded: LoadedModel, limits: ServeLimits):
        self._loaded, self._limits = loaded, limits
        self._room = limits.concurrent + limits.waiting_max
        self._threads = ThreadPoolExecutor(limits.concurrent, thread_name_prefix="generation")
        self._lock = threading.Lock()
        self._open: set[Generation] = set()
        self._seconds = 1.0  # that a text takes, lately

    def start(self, requests: list[GenerationRequest]) -> list["Generation"]:
        """Queue a request's texts; raise ApiError 429 if they do not fit into the queue."""
        loop = asyncio.get_running_loop()
        generations = [Generation(self._loaded, request, loop) for request in requests]
        with self._lock:
            if len(self._open) + len(generations) > self._room:
                raise self._busy(f"{len(self._open)} texts wait, at most {self._room} may")
            self._open.update(generations)
        future = self._threads.submit(self._write, generations)
        for generation in generations:
            generation.future = future
        future.add_done_callback(functools.partial(self._leave, generations))
        return generations

    async def turn(self, generations: Sequence["Generation"]) -> None:
        """Wait until the work has begun; raise ApiError 429 if that takes too long."""
        seconds = self._limits.wait_seconds_max
        try:
            async with asyncio.timeout(seconds):
                await generations[0].begun.wait()
        except TimeoutError as error:
            for generation in generations:
                generation.cancel()
            raise self._busy(f"waited for {seconds:g} seconds") from error

    def refuse_waiting(self) -> None:
        """Cancel what has not begun: who waits for it is told that the server stops."""
        for generation in self._all():
            if not generation.begun.is_set():
                generation.cancel()

    def cancel_all(self) -> None:
        """Cancel everything."""
        for generation in self._all():
            generation.cancel()

    async def stop(self) -> None:
        """Cancel everything and wait for the threads to end."""
        self.cancel_all()
        await asyncio.to_thread(self._threads.shutdown)

    def _all(self) -> list["Generation"]:
        with self._lock:
            return list(self._open)

    def _busy(self, found: str) -> ApiError:
        wait = min(max(1, math.ceil(len(self._open) * self._seconds)), RETRY_SECONDS_MAX)
        return ApiError(
            429,
            f"The server is busy: {found}; try again in {wait} s",
            code="queue_full",
            kind="rate_limit_error",
            retry_seconds=wait,
        )

    def _write(self, generations: list["Generation"]) -> None:
        began = time.monotonic()
        write(generations)
        taken = (time.monotonic() - began) / len(generations)
        self._seconds += (taken - self._seconds) * NEWEST_SHARE

    def _leave(self, generations: list["Generation"], _: Future[None]) -> None:
        with self._lock:
            self._open.difference_update(generations)


def write(generations: list["Generation"]) -> None:
    """Write the texts of one request side by side until all end or are cancelled, in a thread."""
    end: BaseException | None = None
    try:
        for generation in generations:
            generation.begin()
        for row, piece in stream_batch([generation.stream for generation in generations]):
            generations[row].emit(piece)
        for generation in generations:
            generation.score()
    except BaseException as error:  # handed over whole: `pieces` raises it where it is awaited
        end = error
    for generation in generations:
        generation.finish(end)


class Generation:
    """One continuation: written by a thread beside others, read by the event loop."""

    stream: TextStreamer

    def __init__(
        self, loaded: LoadedModel, request: GenerationRequest, loop: asyncio.AbstractEventLoop
    ):
        self._loaded, self._request = loaded, request
        self._loop = loop
        self._pieces: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
        self._cancelled = threading.Event()
        self._characters = 0
        self.begun = asyncio.Event()
        self.future: Future[None] | None = None
        self.finish_reason = "length"
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.logprobs: Logprobs | None = None

    def begin(self) -> None:
        """Read the prompt; raises what that raises."""
        self._call(self.begun.set)
        self.stream = TextStreamer(self._loaded, self._request.prompt, self._request.sampling)

    def emit(self, piece: str) -> None:
        """Hand a piece to the event loop; stop the text if nobody wants more."""
        if piece:
            self._characters += len(piece)
            self._put(piece)
        if self._cancelled.is_set():
            self.stream.stop()

    def score(self) -> None:
        """Find the log-probabilities, if they are asked for."""
        logprobs = self._request.logprobs
        if logprobs is None or self._cancelled.is_set():
            return
        prompt, written = self.stream.prompt, self.stream.ids
        begin = len(self._loaded.tokenizer.decode(prompt)) if logprobs.first is not None else 0
        end = begin + self._characters
        self.logprobs = text_logprobs(self._loaded, prompt, written, logprobs, end)

    def finish(self, end: BaseException | None) -> None:
        """Keep the counts and end `pieces`, with an error if there was one."""
        if end is None:
            self.finish_reason = self.stream.finish_reason
            self.prompt_tokens = self.stream.prompt_tokens
            self.completion_tokens = self.stream.completion_tokens
        self._put(end)

    async def pieces(self) -> AsyncIterator[str]:
        """Yield the text as it is made; raises what the generation raised, 503 if cancelled."""
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            if piece:
                yield piece
        if self._cancelled.is_set():
            raise ApiError(
                503, "The server is stopping", code="stopping", kind="server_error", retry_seconds=1
            )

    def cancel(self) -> None:
        """Stop at the next piece, or never begin."""
        self._cancelled.set()
        if self.future is not None and self.future.cancel():
            self._call(self.begun.set)
            self._put(None)

    def _put(self, item: str | BaseException | None) -> None:
        self._call(functools.partial(self._pieces.put_nowait, item))

    def _call(self, function: Callable[[], object]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)
