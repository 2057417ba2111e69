"""Prompts in, text out: a model folder with its tokenizer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.formats import model_folder
from model.generation.generate import GenerationBatch, SamplingConfig
from model.network.families import AnyNetwork
from pipeline.tokenizer import Tokenizer, load_tokenizer

STOP, LENGTH = "stop", "length"
REPLACEMENT = "\ufffd"  # what half a character decodes to
PENDING_TOKENS = 4  # a character has at most four bytes, one token each at worst


@dataclass(frozen=True)
class LoadedModel:
    """A network and its tokenizer, ready to continue text."""

    network: AnyNetwork
    tokenizer: Tokenizer


@dataclass(frozen=True)
class Completion:
    """A continuation; `finish_reason` is 'stop' (end of text, stop string) or 'length'."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


def load_model(folder: Path) -> LoadedModel:
    """Open a model folder; safetensors and JSON only, nothing is executed."""
    return LoadedModel(model_folder.read(folder), load_tokenizer(folder / model_folder.TOKENIZER))


Prompt = str | list[int]  # text, or ids as they are to be read


def prompt_ids(loaded: LoadedModel, prompt: Prompt) -> list[int]:
    """Return the tokens a text becomes, after the token that begins documents; ids as they are."""
    if not isinstance(prompt, str):
        return prompt
    return [loaded.tokenizer.bos_id, *loaded.tokenizer.encode(prompt)]


def complete(loaded: LoadedModel, prompt: Prompt, sampling: SamplingConfig) -> Completion:
    """Continue `prompt`; stop strings are cut off."""
    return complete_batch(loaded, [prompt], [sampling])[0]


def complete_batch(
    loaded: LoadedModel, prompts: Sequence[Prompt], samplings: Sequence[SamplingConfig]
) -> list[Completion]:
    """Continue prompts together, each by its own settings and seed; the texts of `complete`.

    Faster than one by one. Sums in another order may differ in the last digits, so that a token
    whose odds are even can come out otherwise.
    """
    streamers = [TextStreamer(loaded, *pair) for pair in zip(prompts, samplings, strict=True)]
    texts = [""] * len(streamers)
    for row, piece in stream_batch(streamers):
        texts[row] += piece
    return [streamer.completion(text) for streamer, text in zip(streamers, texts, strict=True)]


def stream(loaded: LoadedModel, prompt: Prompt, sampling: SamplingConfig) -> Iterator[str]:
    """Yield the same text piece by piece, only whole characters, stop strings held back."""
    for _, piece in stream_batch([TextStreamer(loaded, prompt, sampling)]):
        if piece:
            yield piece


def stream_batch(streamers: Sequence["TextStreamer"]) -> Iterator[tuple[int, str]]:
    """Write texts of one model side by side: yield (row, new text) after every token.

    The new text may be empty, so that a caller can `stop` a stream after any token. What a stream
    held back comes at the end.
    """
    batch = batch_of(streamers)
    for step in batch:
        for row, token in step:
            yield row, streamers[row].push_token(token)
            if streamers[row].finished:
                batch.drop(row)
    for row, streamer in enumerate(streamers):
        yield row, streamer.flush()


def batch_of(streamers: Sequence["TextStreamer"]) -> GenerationBatch:
    """Return what chooses the tokens of texts of one model."""
    return GenerationBatch(
        streamers[0].loaded.network,
        [streamer.prompt for streamer in streamers],
        [streamer.sampling for streamer in streamers],
    )


class TextStreamer:
    """Tokens of one continuation to text; counts and `finish_reason` grow with the tokens."""

    def __init__(self, loaded: LoadedModel, prompt: Prompt, sampling: SamplingConfig):
        self.loaded, self.sampling = loaded, sampling
        self.prompt = prompt_ids(loaded, prompt)
        self.prompt_tokens = len(self.prompt)
        self.completion_tokens = 0
        self.ids: list[int] = []  # what was written, without the end's
        self.finish_reason = LENGTH
        self.finished = False  # no further token is wanted
        self._text, self._emitted = "", 0  # all text so far, characters of it given out
        self._pending: list[int] = []  # tokens that end in half a character

    def push_token(self, token: int) -> str:
        """Return what a token makes certain of the text; sets `finished` where the text ends."""
        tokenizer = self.loaded.tokenizer
        if token == tokenizer.eos_id:
            self._end()
            return ""
        self.completion_tokens += 1
        self.ids.append(token)
        self._pending.append(token)
        piece = tokenizer.decode(self._pending)
        if piece.endswith(REPLACEMENT) and len(self._pending) < PENDING_TOKENS:
            return ""
        self._text += piece
        self._pending = []
        cut = self._stop_at(self._text)
        if cut is not None:
            self._end()
            self._text = self._text[:cut]
            return self._emit(cut)
        return self._emit(len(self._text) - self._undecided(self._text))

    def flush(self) -> str:
        """Return what was held back, once no token comes any more."""
        self._text += self.loaded.tokenizer.decode(self._pending)
        self._pending = []
        return self._emit(len(self._text))

    def stop(self) -> None:
        """Want no further token, wherever the text is."""
        self.finished = True

    def completion(self, text: str) -> Completion:
        """Return the whole, with its counts."""
        return Completion(text, self.finish_reason, self.prompt_tokens, self.completion_tokens)

    def _end(self) -> None:
        self.finish_reason, self.finished = STOP, True

    def _emit(self, end: int) -> str:
        start, self._emitted = self._emitted, max(self._emitted, end)
        return self._text[start : self._emitted]

    def _stop_at(self, text: str) -> int | None:
        starts = [text.find(stop) for stop in self.sampling.stop if stop in text]
        return min(starts) if starts else None

    def _undecided(self, text: str) -> int:
        """Count characters at the end that may be the beginning of a stop string."""
        longest = 0
        for stop in self.sampling.stop:
            for size in range(min(len(stop) - 1, len(text)), 0, -1):
                if text.endswith(stop[:size]):
                    longest = max(longest, size)
                    break
        return longest
