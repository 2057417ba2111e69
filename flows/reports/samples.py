"""What a run shows its model doing: continue held-out documents, beside how they really go on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flows.config import RegisterConfig
from pipeline.cleaning.pii import without_personal_data
from pipeline.shard import VALIDATION
from pipeline.store import storage
from pipeline.store.artifact import Artifact

FOLDER = "samples"  # of the store
PROMPT_TOKENS = 24
LANGUAGES = 2  # those with the most held-out text
DOCUMENTS, TOKENS = 20, 4096  # looked at for a line: of a language, and of a document
SEED = 1


@dataclass(frozen=True)
class ShownContinuation:
    """A prompt, the model's continuation, and the real one where the prompt is of a document."""

    prompt: str
    text: str
    real: str | None = None
    lang: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the form of `--json`; what is not known is left out."""
        known = {"prompt": self.prompt, "text": self.text, "real": self.real, "lang": self.lang}
        return {name: value for name, value in known.items() if value is not None}


def kept_samples(
    store: Path, wanted: RegisterConfig, training: Artifact, shards: Artifact
) -> list[ShownContinuation]:
    """Return what `samples_of` returns, made once for a model and kept in the store."""
    kept = recalled_samples(store, wanted, training, shards)
    if kept is None:
        kept = [_without_personal_data(s) for s in samples_of(wanted, training, shards)]
        rows = [sample.to_json() for sample in kept]
        storage.write_json(_path_of(store, wanted, training, shards), rows)
    return kept


def _without_personal_data(sample: ShownContinuation) -> ShownContinuation:
    """Return it as it is kept: personal data of held-out text and model are placeholders."""
    texts = pl.Series([sample.prompt, sample.text, sample.real], dtype=pl.String)
    prompt, text, real = without_personal_data(texts)
    return ShownContinuation(prompt, text, real, sample.lang)


def recalled_samples(
    store: Path, wanted: RegisterConfig, training: Artifact, shards: Artifact
) -> list[ShownContinuation] | None:
    """Return what was kept of a model, None if nothing was."""
    path = _path_of(store, wanted, training, shards)
    rows = storage.recall_json(path, list[ShownContinuation])
    return None if rows is None else [ShownContinuation(**row) for row in rows]


def _path_of(store: Path, wanted: RegisterConfig, training: Artifact, shards: Artifact) -> Path:
    made_of = {
        "train": training.fingerprint,
        "shard": shards.fingerprint,
        "wanted": [wanted.prompts, wanted.sample_tokens],
        "how": [PROMPT_TOKENS, LANGUAGES, DOCUMENTS, TOKENS, SEED],
    }
    digest = storage.sha256_text(storage.canonical_json(made_of))
    return store / FOLDER / f"{digest[:16]}.json"


def samples_of(
    wanted: RegisterConfig, training: Artifact, shards: Artifact
) -> list[ShownContinuation]:
    """Let the model continue the recipe's prompts, or held-out documents if it names none."""
    from model.generation.completion import complete_batch, load_model
    from model.generation.generate import SamplingConfig

    loaded = load_model(training.path)
    chosen = [ShownContinuation(prompt, "") for prompt in wanted.prompts]
    if not chosen:
        room = loaded.network.config.context - PROMPT_TOKENS - 1
        length = max(1, min(wanted.sample_tokens, room))
        chosen = held_out(shards, loaded.tokenizer, length)
    sampling = SamplingConfig(max_new_tokens=wanted.sample_tokens, temperature=0.7, seed=SEED)
    done = complete_batch(
        loaded, [document.prompt for document in chosen], [sampling] * len(chosen)
    )
    return [
        ShownContinuation(document.prompt, completion.text, document.real, document.lang)
        for document, completion in zip(chosen, done, strict=True)
    ]


def held_out(shards: Artifact, tokenizer: Any, length: int) -> list[ShownContinuation]:
    """Return a prompt and what really follows for each of the languages with most held-out text.

    From the longest line, which is most likely prose, of the first document whose longest is long
    enough for both; else the longest line seen.
    """
    rows = shards.scan().filter(pl.col("split") == VALIDATION)
    sizes = rows.select("lang", pl.col("tokens").list.len().alias("size"))
    totals = sizes.group_by("lang").sum().sort(["size", "lang"], descending=[True, False])
    documents = []
    for lang in totals.collect()["lang"].to_list()[:LANGUAGES]:
        own = rows.filter(pl.col("lang") == lang).head(DOCUMENTS)
        longest: list[int] = []
        for tokens in own.select(pl.col("tokens").list.head(TOKENS)).collect()["tokens"]:
            line = max(tokenizer.decode(tokens.to_list()).splitlines() or [""], key=_prose)
            ids = tokenizer.encode(line.strip())
            if _prose(line)[0] and len(ids) >= PROMPT_TOKENS + length:
                longest = ids
                break
            longest = max(longest, ids, key=len)
        if longest:
            documents.append(_cut(longest[: PROMPT_TOKENS + length], tokenizer, lang))
    return documents


def _prose(line: str) -> tuple[bool, int]:
    """Order lines for `max`: prose after tables, code and addresses, then by length."""
    return not any(sign in line for sign in ("://", "|", "`", "](")), len(line)


def _cut(ids: list[int], tokenizer: Any, lang: str) -> ShownContinuation:
    """Cut ids where no character is cut; half of them are the prompt where they are few."""
    whole = tokenizer.decode(ids)
    at = min(PROMPT_TOKENS, max(1, len(ids) // 2))
    while at > 1 and tokenizer.decode(ids[:at]) + tokenizer.decode(ids[at:]) != whole:
        at -= 1
    return ShownContinuation(tokenizer.decode(ids[:at]), "", tokenizer.decode(ids[at:]), lang)
