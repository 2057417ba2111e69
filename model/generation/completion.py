"""Prompts in, text out: a model folder with its tokenizer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.formats import model_folder
from model.generation.generate import SamplingConfig, generate, generate_batch
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
    writer = Writing(loaded, prompt, sampling)
    return writer.completion("".join(writer.pieces()))


def complete_batch(
    loaded: LoadedModel, prompts: Sequence[str], samplings: Sequence[SamplingConfig]
) -> list[Completion]:
    """Continue prompts together, each by its own settings and seed; the texts of `complete`.

    Faster than one by one. Sums in another order may differ in the last digits, so that a token
    whose odds are even can come out otherwise.
    """
    writers = [Writing(loaded, *one) for one in zip(prompts, samplings, strict=True)]
    texts = [""] * len(writers)

    def give(row: int, piece: str) -> bool:
        texts[row] += piece
        return True

    write_together(writers, give)
    return [writer.completion(text) for writer, text in zip(writers, texts, strict=True)]


def write_together(writers: Sequence["Writing"], give: Callable[[int, str], bool]) -> None:
    """Write texts of one model side by side; `give(row, piece)` says whether the row goes on."""

    def wants_more(row: int, token: int) -> bool:
        piece, going = writers[row].take(token)
        return give(row, piece) and going

    network, prompts = writers[0].loaded.network, [writer.prompt for writer in writers]
    generate_batch(network, prompts, [writer.sampling for writer in writers], wants_more)
    for row, writer in enumerate(writers):
        give(row, writer.rest())


def stream(loaded: LoadedModel, prompt: Prompt, sampling: SamplingConfig) -> Iterator[str]:
    """Yield the same text piece by piece, only whole characters, stop strings held back."""
    return Writing(loaded, prompt, sampling).pieces()


class Writing:
    """One continuation in the making; counts and `finish_reason` grow while it is read."""

    def __init__(self, loaded: LoadedModel, prompt: Prompt, sampling: SamplingConfig):
        self.loaded, self.sampling = loaded, sampling
        self.prompt = prompt_ids(loaded, prompt)
        self.prompt_tokens = len(self.prompt)
        self.completion_tokens = 0
        self.ids: list[int] = []  # what was written, without the end's
        self.finish_reason = LENGTH
        self._text, self._held = "", 0  # all text so far, and how much of it has been given out
        self._pending: list[int] = []  # tokens that end in half a character

    def pieces(self) -> Iterator[str]:
        """Yield new text as soon as it can no longer change."""
        for token in generate(self.loaded.network, self.prompt, self.sampling):
            piece, going = self.take(token)
            if piece:
                yield piece
            if not going:
                break
        yield self.rest()

    def take(self, token: int) -> tuple[str, bool]:
        """Return what a token makes certain of the text, and whether there is more to come."""
        tokenizer = self.loaded.tokenizer
        if token == tokenizer.eos_id:
            self.finish_reason = STOP
            return "", False
        self.completion_tokens += 1
        self.ids.append(token)
        self._pending.append(token)
        piece = tokenizer.decode(self._pending)
        if piece.endswith(REPLACEMENT) and len(self._pending) < PENDING_TOKENS:
            return "", True
        self._text += piece
        self._pending = []
        cut = self._stop_at(self._text)
        if cut is not None:
            self.finish_reason = STOP
            self._text = self._text[:cut]
            return self._give(cut), False
        return self._give(len(self._text) - self._undecided(self._text)), True

    def rest(self) -> str:
        """Return what was held back, once no token comes any more."""
        self._text += self.loaded.tokenizer.decode(self._pending)
        self._pending = []
        return self._give(len(self._text))

    def completion(self, text: str) -> Completion:
        """Return the whole, with its counts."""
        return Completion(text, self.finish_reason, self.prompt_tokens, self.completion_tokens)

    def _give(self, end: int) -> str:
        start, self._held = self._held, max(self._held, end)
        return self._text[start : self._held]

    def _stop_at(self, text: str) -> int | None:
        found = [text.find(stop) for stop in self.sampling.stop if stop in text]
        return min(found) if found else None

    def _undecided(self, text: str) -> int:
        """Count characters at the end that may be the beginning of a stop string."""
        longest = 0
        for stop in self.sampling.stop:
            for size in range(min(len(stop) - 1, len(text)), 0, -1):
                if text.endswith(stop[:size]):
                    longest = max(longest, size)
                    break
        return longest
