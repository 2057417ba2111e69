"""llama.cpp as an engine: many texts at once in a process of its own, spoken to over its socket.

What it cannot do as our networks do it goes to our own engine, which is loaded when it is first
needed: searches with beams, penalties of the text alone, a prompt's log-probabilities, vectors.
"""

import asyncio
import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.generation.sampling_config import SamplingConfig
from model.serve.engines.helper import HelperSettings, LlamaHelper
from model.serve.engines.interface import (
    LENGTH,
    STOP,
    ZERO_LOGPROB,
    Capabilities,
    EngineFailed,
    GeneratedText,
    Piece,
    ScoredToken,
    ServingEngine,
)
from model.serve.engines.llama_client import LlamaAnswer, LlamaCall, completion_request
from pipeline.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

SEEDS = 2**32 - 1  # llama.cpp's own are 32 bits, and the last asks for chance
CONNECTS_MAX = 20
ASKED_MAX = 5  # times for a text that was never answered
PAUSE_SECONDS, PAUSE_MAX_SECONDS = 0.016, 0.25  # between two pieces of a text; nobody reads faster
ENDS_SEEN_SECONDS = 0.5  # within this time the end of a process is noticed
LOOKS_PER_SECOND = 125  # at all texts together
FIELDS = ["content", "tokens", "stop_type", "tokens_evaluated", "tokens_predicted"]
PROBABILITIES = "completion_probabilities"


class LlamaEngine:
    """Writes `slots` texts at a time with llama.cpp."""

    def __init__(
        self,
        folder: Path,
        tokenizer: Tokenizer,
        capabilities: Capabilities,
        settings: HelperSettings,
    ):
        self._folder = folder
        self.tokenizer, self.capabilities = tokenizer, capabilities
        self.slots, self.settings = settings.slots, settings
        self.helper = LlamaHelper(settings)
        self._own: asyncio.Task[ServingEngine] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_down(self) -> bool:
        """Tell whether the process has ended and does not answer again yet."""
        return not self.helper.ready.is_set()

    async def start(self) -> None:
        """Start the process; raises EngineFailed with its last words."""
        await self.helper.start()

    def begin(self, texts: Sequence[GeneratedText]) -> None:
        """Write texts side by side, each as if it were alone."""
        sampling = texts[0].request.sampling  # of one request: they differ in their seeds alone
        work = [self._write_own(texts)] if needs_own(sampling) else map(self._write, texts)
        for coroutine in work:
            task = asyncio.create_task(coroutine)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def score(self, ids: Sequence[int], top: int) -> list[ScoredToken]:
        """Return log-probabilities by our own engine: llama.cpp gives none of a prompt."""
        return await (await self._own_engine()).score(ids, top)

    async def embed(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return vectors by our own engine."""
        return await (await self._own_engine()).embed(rows)

    async def close(self) -> None:
        """End the process, and with it what is still written."""
        await self.helper.close()
        if self._own is not None:
            await (await self._own).close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _own_engine(self) -> ServingEngine:
        if self._own is None:
            self._own = asyncio.create_task(self._load_own())
        return await asyncio.shield(self._own)

    async def _load_own(self) -> ServingEngine:
        from model.serve.engines.torch_engine import TorchEngine  # late: it loads torch

        return await asyncio.to_thread(TorchEngine, self._folder)

    async def _write_own(self, texts: Sequence[GeneratedText]) -> None:
        try:
            (await self._own_engine()).begin(texts)
        except BaseException as error:  # handed over: `pieces` raises it
            for text in texts:
                text.end(error)

    async def _write(self, text: GeneratedText) -> None:
        """Ask llama.cpp for a text and see it through.

        A stream does not end with half a character, as a whole text may: llama.cpp keeps it back.
        """
        if text.cancelled:
            text.abandon()
            return
        if not text.request.sampling.max_new_tokens:
            text.prompt_tokens = len(text.request.prompt)
            text.end()
            return
        answer = _TextAnswer(text, self.tokenizer)
        request = completion_request(self.helper.key, body_of(text))
        asked = LlamaAnswer(answer.take, answer.end, answer.ended.set, answer.left)
        for _ in range(ASKED_MAX):
            if answer.is_over or text.cancelled:
                break
            answer.ended.clear()
            call, process = LlamaCall(request, asked, self._pause), self.helper.process
            text.on_cancel = functools.partial(answer.cancel, call)
            try:
                await self._connect(call, text)
            except (OSError, EngineFailed) as error:
                answer.end(str(error))
            await answer.ended.wait()
            await self._after_loss(answer, process)
        else:
            if not answer.is_over:
                answer.end("llama.cpp hung up before it answered, again and again")
        if answer.unscored:
            await self._score_written(text, answer.unscored)

    def _pause(self) -> float:
        """Return how long a text is not looked at: all together are some 125 times a second."""
        return min(PAUSE_MAX_SECONDS, max(PAUSE_SECONDS, len(self._tasks) / LOOKS_PER_SECOND))

    async def _after_loss(self, answer: "_TextAnswer", process: Any) -> None:
        """Give up a text without an answer if the process has ended: it may be what ended it.

        A live one that hung up was kept waiting for the request by a busy machine: it is asked
        again.
        """
        if not answer.is_over:
            await asyncio.sleep(ENDS_SEEN_SECONDS)
            if process is not self.helper.process or not self.helper.ready.is_set():
                answer.end("llama.cpp ended before it answered")

    async def _score_written(self, text: GeneratedText, written: list[int]) -> None:
        """End a text of which llama.cpp said too little: it leaves out tokens inside characters."""
        prompt = text.request.prompt
        try:
            scored = await self.score([*prompt, *written], text.request.top_logprobs or 0)
            text.emit(Piece(self.tokenizer.decode(written), scored[len(prompt) :]))
            text.end()
        except BaseException as error:  # handed over: `pieces` raises it
            text.end(error)

    async def _connect(self, call: LlamaCall, text: GeneratedText) -> None:
        """Hand a call to the process, the next one if it has just ended and nothing was sent."""
        for attempt in range(CONNECTS_MAX):
            await self.helper.answering()
            if text.cancelled:
                return
            try:
                call.start(self.helper.socket)
                return
            except OSError:
                if attempt == CONNECTS_MAX - 1:
                    raise
                await asyncio.sleep(0.1)


class _TextAnswer:
    """Turns llama.cpp's events into pieces of a text."""

    def __init__(self, text: GeneratedText, tokenizer: Tokenizer):
        self._text, self._tokenizer = text, tokenizer
        self.ended = asyncio.Event()  # of one call
        self.is_over = False  # no further call is wanted
        self.unscored: list[int] = []  # the text's tokens, where some came without a score

    def take(self, event: dict[str, Any]) -> None:
        """Take one event; the last has the counts."""
        text = self._text
        if "error" in event:
            self.end(f"llama.cpp: {event['error'].get('message', event['error'])}")
            return
        tokens = self._tokens(event) if PROBABILITIES in event else []
        if not self.unscored and (event["content"] or tokens):
            text.emit(Piece(event["content"], tokens))
        text.prompt_tokens = event["tokens_evaluated"]
        text.completion_tokens = event["tokens_predicted"]
        if "stop_type" in event:
            ends = event["stop_type"] in ("eos", "word")
            text.finish_reason = STOP if ends else LENGTH
            if event["stop_type"] == "eos":
                text.completion_tokens -= 1  # the end itself is no token of the text

    def left(self) -> int:
        """Tell how many tokens may still come."""
        return self._text.request.sampling.max_new_tokens - self._text.completion_tokens

    def end(self, error: str | None) -> None:
        """End the text."""
        if error is not None:
            self.unscored = []
            self._text.end(EngineFailed(f"{error}; ask again"))
        elif not self.unscored:
            self._text.end()
        self._over()

    def cancel(self, call: LlamaCall) -> None:
        """Leave: llama.cpp stops when nobody listens."""
        call.abort()
        self.unscored = []
        self._text.abandon()
        self._over()

    def _over(self) -> None:
        self.is_over = True
        self.ended.set()

    def _tokens(self, event: dict[str, Any]) -> list[ScoredToken]:
        """Return an answer's tokens with their scores, none where some have none."""
        eos = self._tokenizer.eos_id
        ids = [token for token in event["tokens"] if token != eos]
        scored = [self._scored(row) for row in event[PROBABILITIES]]
        tokens = [token for token in scored if token.id != eos]
        if event["stop_type"] != "word" and [token.id for token in tokens] != ids:
            self.unscored = ids
        return tokens

    def _scored(self, row: dict[str, Any]) -> ScoredToken:
        wanted = self._text.request.top_logprobs or 0
        best = row["top_logprobs"][:wanted]
        top = {entry["id"]: max(ZERO_LOGPROB, entry["logprob"]) for entry in best}
        return ScoredToken(row["id"], max(ZERO_LOGPROB, row["logprob"]), top)


def needs_own(sampling: SamplingConfig) -> bool:
    """Tell whether llama.cpp would choose otherwise than our networks do.

    It has no search with beams, and its presence and frequency penalties count the prompt too.
    """
    penalised = sampling.presence_penalty or sampling.frequency_penalty
    return sampling.beams is not None or bool(penalised)


def body_of(text: GeneratedText) -> dict[str, Any]:
    """Return what llama.cpp is asked: our sampling, none of its own defaults."""
    sampling, top = text.request.sampling, text.request.top_logprobs
    samplers = ["temperature"]
    if sampling.repetition_penalty is not None:
        samplers.insert(0, "penalties")
    if sampling.temperature:
        # In this order they keep what all of them keep: each of the later ones compares ranks, or
        # with the likeliest.
        cuts = {"top_p": sampling.top_p, "top_k": sampling.top_k, "min_p": sampling.min_p}
        samplers += [name for name, value in cuts.items() if value is not None]
    body = {
        "prompt": text.request.prompt,
        "n_predict": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "samplers": samplers,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "top_k": sampling.top_k or 0,
        "min_p": sampling.min_p or 0.0,
        "repeat_penalty": sampling.repetition_penalty or 1.0,
        # all of prompt and text; llama.cpp takes the memory for as many as it is told at once
        "repeat_last_n": len(text.request.prompt) + sampling.max_new_tokens,
        "seed": sampling.seed % SEEDS,
        "logit_bias": list(sampling.logit_bias),
        "stop": list(sampling.stop),
        "cache_prompt": False,
        # log-probabilities come whole: a stream leaves out those of tokens inside a character
        "stream": top is None and not text.request.whole,
        "response_fields": FIELDS if top is None else [*FIELDS, PROBABILITIES],
    }
    if text.request.json_schema is not None:
        body["json_schema"] = text.request.json_schema
    if top is not None:
        body |= {"n_probs": max(top, 1), "return_tokens": True}
    return body
