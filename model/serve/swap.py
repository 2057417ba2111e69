"""The served version follows its alias: loaded beside the old one, checked, then taken.

A request stays with the version it was read for. The version before stays loaded, so that an alias
that moves back is followed at once; the one before that is closed when its last text has ended.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from model.generation.sampling_config import SamplingConfig
from model.serve.engines.engine_options import EngineOptions
from model.serve.engines.interface import (
    CANCELLED,
    EngineFailed,
    GeneratedText,
    ServingEngine,
    TextRequest,
)
from model.serve.engines.opening import open_engine
from model.serve.generation import Generator
from model.serve.service import ModelSource, ServedModel, Service
from pipeline.errors import TextmillError

logger = logging.getLogger(__name__)

SMOKE_TOKENS = 8
SMOKE_SECONDS = 60.0
LEAST_LOGPROB = -100.0  # of a token that the model itself finds likeliest; not a number is less
DRAIN_POLL_SECONDS = 0.2


@dataclass
class AliasWatch:
    """Keeps one served name at what its address means now."""

    service: Service
    name: str
    find: Callable[[], ModelSource]  # asks the registry; runs in a thread
    options: EngineOptions
    poll_seconds: float
    previous: ServedModel | None = None  # stays loaded
    look: asyncio.Event = field(default_factory=asyncio.Event)  # set: at once
    refused: str = ""  # the version that was not taken, and is not tried again
    closing: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def current(self) -> ServedModel:
        """The version that answers."""
        return self.service.models[self.name]

    async def run(self) -> None:
        """Look again and again, until cancelled; a registry that does not answer is asked later."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.poll_seconds):
                    await self.look.wait()
            self.look.clear()
            try:
                await self.follow(await asyncio.to_thread(self.find))
            except TextmillError as error:
                logger.warning("%s: %s", self.name, error)
            except Exception:  # of a client library: the version that answers goes on
                logger.exception("%s: the registry could not be asked", self.name)

    async def follow(self, source: ModelSource) -> bool:
        """Serve this version if it is another one and answers; tell whether it answers now."""
        current = self.current
        if source.version == current.source.version:
            self.refused = ""
            return True
        if source.version == self.refused:
            return False
        if self.previous is not None and self.previous.source.version == source.version:
            self._take(self.previous)
            return True
        try:
            self._take(await self._load(source, current))
        except TextmillError as error:
            self.refused = source.version
            logger.error(
                "%s is version %s now, which is not taken: %s; version %s goes on",
                source.address,
                source.version,
                error,
                current.source.version,
            )
            return False
        return True

    async def close(self) -> None:
        """End what is still loaded beside the version that answers."""
        if self.previous is not None:
            await self.previous.generator.close()
        for task in self.closing:
            task.cancel()
        await asyncio.gather(*self.closing, return_exceptions=True)

    async def _load(self, source: ModelSource, current: ServedModel) -> ServedModel:
        """Load a version beside the present one and have it write; raises what is wrong with it."""
        engine = await asyncio.to_thread(open_engine, source.folder, self.options, source.shelf)
        try:
            await engine.start()
            await smoke_check(engine)
        except BaseException:
            await engine.close()
            raise
        generator = Generator(engine, self.service.limits)
        return ServedModel(source, generator, current.aliases, observers=current.observers)

    def _take(self, served: ServedModel) -> None:
        """Let new requests go to this version."""
        before, oldest = self.current, self.previous
        self.service.models[self.name] = served
        self.previous = before
        self.refused = ""
        logger.warning(
            "%s: version %s answers now, version %s stays loaded",
            served.source.address,
            served.source.version,
            before.source.version,
        )
        if oldest is not None and oldest is not served:
            task = asyncio.get_running_loop().create_task(retire(oldest))
            self.closing.add(task)
            task.add_done_callback(self.closing.discard)


async def retire(served: ServedModel) -> None:
    """Close a version once nobody reads from it."""
    try:
        while served.generator.running or served.generator.waiting or served.computing:
            await asyncio.sleep(DRAIN_POLL_SECONDS)
    finally:
        await served.generator.close()


async def smoke_check(engine: ServingEngine) -> None:
    """Have a new engine write and raise EngineFailed unless it answers with numbers.

    It also warms it: the first text of a process takes longer.
    """
    prompt = [engine.tokenizer.bos_id]
    try:
        async with asyncio.timeout(SMOKE_SECONDS):
            if not engine.capabilities.generates:
                [vector] = await engine.embed([prompt])
                wrong = not all(map(math.isfinite, vector))
            else:
                wrong = not await _writes(engine, prompt)
    except TimeoutError as error:
        raise EngineFailed(f"it wrote no text in {SMOKE_SECONDS:g} s") from error
    if wrong:
        raise EngineFailed("what it answers is no number")


async def _writes(engine: ServingEngine, prompt: list[int]) -> bool:
    sampling = SamplingConfig(max_new_tokens=SMOKE_TOKENS, temperature=0)
    scored = 0 if engine.capabilities.is_causal else None
    text = GeneratedText(TextRequest(prompt, sampling, scored))
    engine.begin([text])
    tokens = [token async for piece in text.pieces() for token in piece.tokens]
    logprobs = [token.logprob for token in tokens if token.logprob is not None]
    finite = all(value > LEAST_LOGPROB for value in logprobs)  # false of what is no number
    return finite and text.finish_reason != CANCELLED
