"""Prompts in, text out: a model folder with its tokenizer."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model import export
from model.generate import SamplingConfig, generate
from model.networks import AnyNetwork
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
    return LoadedModel(export.read(folder), load_tokenizer(folder / export.TOKENIZER))


def prompt_ids(loaded: LoadedModel, prompt: str) -> list[int]:
    """Return the tokens a prompt becomes, after the token that begins documents."""
    return [loaded.tokenizer.bos_id, *loaded.tokenizer.encode(prompt)]


def complete(loaded: LoadedModel, prompt: str, sampling: SamplingConfig) -> Completion:
    """Continue `prompt`; stop strings are cut off."""
    writer = Writing(loaded, prompt, sampling)
    text = "".join(writer.pieces())
    return Completion(text, writer.finish_reason, writer.prompt_tokens, writer.completion_tokens)


def stream(loaded: LoadedModel, prompt: str, sampling: SamplingConfig) -> Iterator[str]:
    """Yield the same text piece by piece, only whole characters, stop strings held back."""
    return Writing(loaded, prompt, sampling).pieces()


class Writing:
    """One continuation in the making; counts and `finish_reason` grow while it is read."""

    def __init__(self, loaded: LoadedModel, prompt: str, sampling: SamplingConfig):
        self._loaded, self._sampling = loaded, sampling
        self._prompt = prompt_ids(loaded, prompt)
        self.prompt_tokens = len(self._prompt)
        self.completion_tokens = 0
        self.finish_reason = LENGTH

    def pieces(self) -> Iterator[str]:
        """Yield new text as soon as it can no longer change."""
        tokenizer = self._loaded.tokenizer
        text, held = "", 0  # all text so far, and how much of it has been given out
        pending: list[int] = []  # tokens that end in half a character
        for token in generate(self._loaded.network, self._prompt, self._sampling):
            if token == tokenizer.eos_id:
                self.finish_reason = STOP
                break
            self.completion_tokens += 1
            pending.append(token)
            piece = tokenizer.decode(pending)
            if piece.endswith(REPLACEMENT) and len(pending) < PENDING_TOKENS:
                continue
            text += piece
            pending = []
            cut = self._stop_at(text)
            if cut is not None:
                self.finish_reason = STOP
                yield text[held:cut]
                return
            safe = len(text) - self._undecided(text)
            if safe > held:
                yield text[held:safe]
                held = safe
        text += tokenizer.decode(pending)
        yield text[held:]

    def _stop_at(self, text: str) -> int | None:
        found = [text.find(stop) for stop in self._sampling.stop if stop in text]
        return min(found) if found else None

    def _undecided(self, text: str) -> int:
        """Count characters at the end that may be the beginning of a stop string."""
        longest = 0
        for stop in self._sampling.stop:
            for size in range(min(len(stop) - 1, len(text)), 0, -1):
                if text.endswith(stop[:size]):
                    longest = max(longest, size)
                    break
        return longest
