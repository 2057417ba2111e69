"""A challenger that writes beside the champion: a share of requests goes to both, one answers.

What is compared is logged as a line of JSON per request, without texts. The challenger is given
what the champion was given, after the champion has ended, and only where it has room.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from model.serve.access.records import show_lines
from model.serve.generation import QueuedRequest
from model.serve.schema import ApiError
from model.serve.service import ServedModel, Service
from model.serve.written_text import GenerationRequest
from pipeline.errors import TextmillError

logger = logging.getLogger(__name__)
CLIENT = "shadow"
UNDER_WAY_MAX = 64  # comparisons; further requests are not followed


@dataclass
class Shadow:
    """Compares a share of one model's answers with another model's, and counts."""

    service: Service
    champion: str
    challenger: str
    share: float
    compared: int = 0
    same: int = 0
    skipped: int = 0  # the challenger had no room, or could not read the prompt
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _chance: random.Random = field(default_factory=random.Random)

    def follow(self, model: ServedModel, queued: QueuedRequest, asked: GenerationRequest) -> None:
        """Perhaps compare the first text of a request, once it has ended."""
        if self._chance.random() >= self.share:
            return
        if len(self._tasks) >= UNDER_WAY_MAX:
            self.skipped += 1
            return
        task = asyncio.get_running_loop().create_task(self._compare(model, queued, asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what is compared and say what was found."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        found = {"compared": self.compared, "same": self.same, "skipped": self.skipped}
        logger.info(json.dumps({"shadow": self.challenger, **found}))

    async def _compare(
        self, model: ServedModel, queued: QueuedRequest, asked: GenerationRequest
    ) -> None:
        text = queued.generations[0].text
        began = time.monotonic()
        await text.over.wait()
        taken = time.monotonic() - began
        if text.cancelled or not text.ended_well:
            return  # there is nothing to compare with
        challenger = self.service.models[self.challenger]
        try:
            began = time.monotonic()
            other = await _write(challenger, _read_by(challenger, model, asked))
        except (ApiError, TextmillError) as error:
            self.skipped += 1
            logger.info(json.dumps({"shadow": self.challenger, "skipped": str(error)}))
            return
        own = "".join(text.written)
        self.compared += 1
        self.same += own == other
        line = {
            "shadow": self.challenger,
            "versions": [model.source.version, challenger.source.version],
            "same": own == other,
            "common_characters": common(own, other),
            "characters": [len(own), len(other)],
            "seconds": [round(taken, 3), round(time.monotonic() - began, 3)],
        }
        logger.info(json.dumps(line))


def common(one: str, other: str) -> int:
    """Count the characters at the beginning that two texts share."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def show_shadow_log() -> None:
    """Write what is compared to stderr; for entry points."""
    show_lines(logger)


def _read_by(
    challenger: ServedModel, champion: ServedModel, asked: GenerationRequest
) -> GenerationRequest:
    """Return a request in the challenger's tokens."""
    old, new = champion.engine.tokenizer, challenger.engine.tokenizer
    prompt: Sequence[int] = asked.prompt
    if old.fingerprint != new.fingerprint:
        if asked.sampling.logit_bias:
            raise TextmillError("the biases are of tokens that the challenger has not")
        begins = prompt[:1] == [old.bos_id]
        text = old.decode(prompt[1:] if begins else prompt)
        prompt = [new.bos_id] * begins + new.encode(text)
    if asked.json_schema is not None and not challenger.engine.capabilities.follows_schemas:
        raise TextmillError("the challenger's engine does not hold to a JSON schema")
    if len(prompt) > challenger.engine.capabilities.context:
        raise TextmillError(f"the prompt has {len(prompt)} tokens for the challenger")
    return replace(asked, prompt=list(prompt), logprobs=None, whole=True)


async def _write(challenger: ServedModel, asked: GenerationRequest) -> str:
    queued = challenger.generator.start([asked], CLIENT)
    try:
        await queued.turn()
        return "".join([piece.text async for piece in queued.generations[0].pieces()])
    finally:
        queued.cancel()
