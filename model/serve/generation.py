"""Requests wait their turn in a bounded queue, each client's as often as another's."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence

from model.serve.engines.interface import ScoredToken, ServingEngine
from model.serve.limits import ServeLimits
from model.serve.schema import ApiError, timed_out
from model.serve.written_text import Generation, GenerationRequest, stopping

RETRY_SECONDS_MAX = 60
NEWEST_SHARE = 0.1  # of what the last text took in what a text is thought to take


class QueuedRequest:
    """A request's texts: they wait for their turn, are written together, and leave."""

    def __init__(self, generator: "Generator", requests: Sequence[GenerationRequest], client: str):
        self.client = client
        self.generations = [Generation(request, generator.engine) for request in requests]
        self.began = asyncio.Event()
        self.refused = False  # it left before its turn
        self._generator = generator
        seconds = generator.limits.request_seconds_max
        self._clock = asyncio.get_running_loop().call_later(seconds, self._time_out)

    @property
    def slots(self) -> int:
        """How many of the engine's it takes."""
        return min(len(self.generations), self._generator.engine.slots)

    @property
    def has_turn(self) -> bool:
        """Tell whether it is written, or was."""
        return self.began.is_set() and not self.refused

    async def turn(self) -> None:
        """Wait until it is written; raise ApiError 429 if that takes too long, 503 if it ends."""
        if self.has_turn:
            return
        limits = self._generator.limits
        seconds = min(limits.wait_seconds_max, limits.request_seconds_max)
        try:
            async with asyncio.timeout(seconds):
                await self.began.wait()
        except TimeoutError as error:
            self.cancel()
            raise self._generator.busy(f"waited for {seconds:g} seconds") from error
        if self.refused:
            raise stopping()

    def cancel(self) -> None:
        """Want no more of it; one that still waits gives up its place."""
        if self._generator.leave_queue(self):
            self.refused = True
            self.began.set()
            self._clock.cancel()
        for generation in self.generations:
            generation.text.cancel()

    async def write(self, engine: ServingEngine) -> None:
        """Have the texts written, the prompts' log-probabilities first where they are wanted."""
        ended = _count_down(self.generations)
        try:
            scores: dict[int, list[ScoredToken]] = {}  # choices of one prompt share its ids
            for generation in self.generations:
                await _score_prompt(generation, engine, scores)
            texts = [generation.text for generation in self.generations]
            if any(text.cancelled for text in texts):  # a request is cancelled as a whole
                for text in texts:
                    text.abandon()
            else:
                engine.begin(texts)
        except BaseException as error:  # handed over whole: `pieces` raises it where it is awaited
            for generation in self.generations:
                generation.text.end(error)
        await ended.wait()
        self._clock.cancel()

    def _time_out(self) -> None:
        """End it with what is written; nothing at all is an error."""
        if self.refused:
            return
        texts = [generation.text for generation in self.generations]
        written = any(text.written or text.ended_well for text in texts)
        for text in texts:
            text.cut(None if written else timed_out(self._generator.limits))


class Generator:
    """The queue before an engine: at most `limits.waiting_max` texts wait, in turns by client."""

    def __init__(self, engine: ServingEngine, limits: ServeLimits):
        self.engine, self.limits = engine, limits
        self._free = engine.slots
        self._waiting: dict[str, deque[QueuedRequest]] = {}  # the first client is the next
        self._open: set[QueuedRequest] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._seconds = 1.0  # that a text takes, lately

    def start(self, requests: Sequence[GenerationRequest], client: str = "") -> QueuedRequest:
        """Queue a request's texts; raise ApiError 429 if they do not fit, 503 once it stops."""
        if self._stopped:
            raise stopping()
        texts = sum(len(queued.generations) for queued in self._open)
        if texts + len(requests) > self.engine.slots + self.limits.waiting_max:
            raise self.busy(f"{texts} texts wait, at most {self.limits.waiting_max} may")
        queued = QueuedRequest(self, requests, client)
        self._open.add(queued)
        self._waiting.setdefault(client, deque()).append(queued)
        self._begin_next()
        return queued

    @property
    def waiting(self) -> int:
        """Texts that wait for their turn."""
        lines = self._waiting.values()
        return sum(len(queued.generations) for line in lines for queued in line)

    @property
    def running(self) -> int:
        """Texts that are written."""
        return sum(len(queued.generations) for queued in self._open) - self.waiting

    @property
    def is_stopping(self) -> bool:
        """Tell whether it takes no more."""
        return self._stopped

    def leave_queue(self, queued: QueuedRequest) -> bool:
        """Take a request out of the queue; False if its turn has come."""
        if queued not in self._waiting.get(queued.client, ()):
            return False
        self._waiting[queued.client].remove(queued)
        if not self._waiting[queued.client]:
            del self._waiting[queued.client]
        self._open.discard(queued)
        return True

    def refuse_waiting(self) -> None:
        """Take no more; who waits is told that the server stops, what is written goes on."""
        self._stopped = True
        for queued in [queued for line in self._waiting.values() for queued in line]:
            queued.cancel()

    def cancel_all(self) -> None:
        """Cancel everything."""
        for queued in list(self._open):
            queued.cancel()

    async def close(self) -> None:
        """Cancel everything and wait for the engine to end."""
        self.refuse_waiting()
        self.cancel_all()
        await self.engine.close()
        await asyncio.gather(*self._tasks)

    def busy(self, found: str) -> ApiError:
        """Return the refusal of a request for which there is no room now."""
        waves = len(self._open) / self.engine.slots
        wait = min(max(1, math.ceil(waves * self._seconds)), RETRY_SECONDS_MAX)
        return ApiError(
            429,
            f"The server is busy: {found}; try again in {wait} s",
            code="queue_full",
            kind="rate_limit_error",
            retry_seconds=wait,
        )

    def _begin_next(self) -> None:
        """Give free slots to the next request of the client whose turn it is, and so on."""
        while self._waiting:
            client, line = next(iter(self._waiting.items()))
            if line[0].slots > self._free:
                return
            queued = line.popleft()
            del self._waiting[client]  # behind the others, if it has more
            if line:
                self._waiting[client] = line
            self._free -= queued.slots
            queued.began.set()
            task = asyncio.get_running_loop().create_task(self._write(queued))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write(self, queued: QueuedRequest) -> None:
        began = time.monotonic()
        try:
            await queued.write(self.engine)
        finally:
            self._seconds += (time.monotonic() - began - self._seconds) * NEWEST_SHARE
            self._free += queued.slots
            self._open.discard(queued)
            self._begin_next()


async def _score_prompt(
    generation: Generation, engine: ServingEngine, scores: dict[int, list[ScoredToken]]
) -> None:
    top, prompt = generation.text.request.top_logprobs, generation.text.request.prompt
    if not generation.echoes or top is None:
        return
    if id(prompt) not in scores:
        scores[id(prompt)] = await engine.score(prompt, top)
    generation.prompt_scores = scores[id(prompt)]


def _count_down(generations: Sequence[Generation]) -> asyncio.Event:
    """Return what is set once every text has ended."""
    left, ended = len(generations), asyncio.Event()

    def one_less() -> None:
        nonlocal left
        left -= 1
        if not left:
            ended.set()

    for generation in generations:
        generation.text.on_end = one_less
    return ended
