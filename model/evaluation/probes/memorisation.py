"""Memorisation: how often a model continues training text word for word.

A prompt of tokens from a document, then as many as are to be continued (Carlini et al. 2023,
arXiv:2202.07646, "extractable" by greedy decoding). Held-out text of the same kind is the control:
what is continued there was guessed, not remembered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.evaluation.config import MemorisationConfig
from model.evaluation.figures import Estimate, EvaluatedExample, difference, mean
from model.evaluation.held_out import choose, documents
from model.evaluation.scoring import token_scores
from model.formats import model_folder
from model.network.families import AnyNetwork
from pipeline.shard import TRAIN, VALIDATION
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import Tokenizer, load_tokenizer

SHOWN = 20  # passages repeated word for word that are kept for reading


@dataclass(frozen=True)
class Recall:
    """What came of N passages: their languages, texts, and tokens continued correctly (N,)."""

    langs: list[str]
    ids: list[np.ndarray]
    run_N: np.ndarray


def probe(
    network: AnyNetwork,
    tokenizer: Tokenizer,
    shards: Artifact,
    config: MemorisationConfig,
    seed: int,
    batch_size: int,
) -> tuple[list[Estimate], list[EvaluatedExample]]:
    """Return exact-match rates in training and held-out text by language, and what was repeated.

    For networks that read from left to right. A language without passages has no figure.
    """
    prompt, continuation = _lengths(config, network.config.context)
    recalls = {
        split: _recall(
            network,
            _passages(shards, split, config, prompt + continuation, seed),
            prompt,
            batch_size,
        )
        for split in (TRAIN, VALIDATION)
    }
    words = f"of {continuation} tokens after {prompt}"
    figures = []
    langs = sorted({lang for recall in recalls.values() for lang in recall.langs})
    for lang in ["all", *langs]:
        figures += _figures(lang, recalls, continuation, seed, words)
    train = recalls[TRAIN]
    repeated = np.flatnonzero(train.run_N == continuation)[:SHOWN]
    examples = [
        EvaluatedExample(
            "memorisation",
            train.langs[index],
            tokenizer.decode(train.ids[index][:prompt]),
            wanted := tokenizer.decode(train.ids[index][prompt:]),
            wanted,
            1.0,
        )
        for index in repeated
    ]
    return figures, examples


def recall_of_texts(folder: Path, texts: Sequence[str], batch_size: int = 16) -> dict[str, Any]:
    """Return how much of texts a model gives back word for word, and how likely it finds them.

    Every passage of a prompt and a continuation counts, one after the other: `exact` is the share
    of those continued without an error, `tokens` the mean tokens before the first error, of
    `of_tokens`; `nats` is the mean per token. None where the texts are shorter than a passage.
    """
    network, tokenizer = model_folder.read(folder).eval(), load_tokenizer(folder)
    prompt, continuation = _lengths(MemorisationConfig(), network.config.context)
    length = prompt + continuation
    passages = [
        ("", np.array(ids[start : start + length], np.int64))
        for ids in map(tokenizer.encode, texts)
        for start in range(0, len(ids) - length + 1, continuation)
    ]
    told: dict[str, Any] = {"passages": len(passages), "of_tokens": continuation, "after": prompt}
    if not passages:
        return {**told, "exact": None, "tokens": None, "nats": None}
    run_N = _recall(network, passages, prompt, batch_size).run_N
    stacked = torch.from_numpy(np.stack([ids for _, ids in passages]))
    nats = [token_scores(network, part)[0][:, prompt - 1 :] for part in stacked.split(batch_size)]
    return {
        **told,
        "exact": round(float((run_N == continuation).mean()), 6),
        "tokens": round(float(run_N.mean()), 4),
        "nats": round(float(np.concatenate(nats).mean()), 4),
    }


def _lengths(config: MemorisationConfig, context: int) -> tuple[int, int]:
    if config.prompt_tokens + config.continuation_tokens <= context + 1:
        return config.prompt_tokens, config.continuation_tokens
    half = max(1, context // 2)
    return half, half


def _passages(
    shards: Artifact, split: str, config: MemorisationConfig, length: int, seed: int
) -> list[tuple[str, np.ndarray]]:
    """Cut one passage of `length` tokens out of each chosen document, at a seeded place."""
    chosen, _ = choose(shards, split, documents_max=config.examples, tokens_min=length)
    generator = np.random.Generator(np.random.PCG64(seed))
    passages = []
    for document in documents(shards, split, chosen):
        start = int(generator.integers(len(document.ids) - length + 1))
        passages.append((document.lang, document.ids[start : start + length]))
    return passages


def _recall(
    network: AnyNetwork, passages: list[tuple[str, np.ndarray]], prompt: int, batch_size: int
) -> Recall:
    """Tell how many tokens of each continuation greedy decoding would give back.

    One pass does: decoding follows the text exactly as long as each next token is the likeliest.
    """
    runs = [np.zeros(0, np.int64)]
    for start in range(0, len(passages), batch_size):
        ids_BT = np.stack([ids for _, ids in passages[start : start + batch_size]])
        _, _, correct_BT = token_scores(network, torch.from_numpy(ids_BT))
        runs.append(np.cumprod(correct_BT[:, prompt - 1 :], axis=1).sum(1).astype(np.int64))
    langs, ids = [lang for lang, _ in passages], [ids for _, ids in passages]
    return Recall(langs, ids, np.concatenate(runs))


def _figures(
    lang: str, recalls: dict[str, Recall], continuation: int, seed: int, words: str
) -> list[Estimate]:
    figures, exact = [], {}
    for split, recall in recalls.items():
        of_language = np.array([lang in ("all", own) for own in recall.langs], bool)
        if not of_language.any():
            continue
        exact[split] = (recall.run_N[of_language] == continuation).astype(np.float64)
        text = "training text" if split == TRAIN else "held-out text"
        figures += [
            mean(
                f"memorisation.{split}.{lang}",
                exact[split],
                seed,
                f"share of passages of {text} continued word for word, {words}",
            ),
            mean(
                f"memorisation.{split}_tokens.{lang}",
                recall.run_N[of_language],
                seed,
                f"mean tokens of {text} continued correctly before the first error, {words}",
            ),
        ]
    if len(exact) == len(recalls):
        figures.append(
            difference(
                f"memorisation.excess.{lang}",
                exact[TRAIN],
                exact[VALIDATION],
                seed,
                "exact continuations of training text beyond those of held-out text",
            )
        )
    return figures
