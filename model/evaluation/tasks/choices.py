"""Tasks that choose: how likely a model finds each choice, and how often the right one wins."""

from collections.abc import Sequence

import numpy as np

from model.evaluation.figures import Estimate, EvaluatedExample, mean
from model.evaluation.intervals import interval
from model.evaluation.scoring import token_scores
from model.evaluation.tasks.item import Item
from model.evaluation.tasks.questions import TaskQuestion
from model.generation.completion import LoadedModel
from model.network.batch import pad

SHOWN = 20  # examples of a task kept for reading


def choose(
    loaded: LoadedModel, questions: list[TaskQuestion], name: str, seed: int, batch_size: int
) -> tuple[list[Estimate], list[EvaluatedExample]]:
    """Return the figures of questions with choices, and the first of them with what was chosen."""
    pairs = [(q.prompt, choice) for q in questions for choice in q.item.choices]
    nats = iter(continuation_nats(loaded, pairs, batch_size))
    scored = [(q, np.array([next(nats) for _ in q.item.choices])) for q in questions]
    figures, examples = [], []
    for lang in sorted({q.item.lang for q in questions}):
        of_language = [(q.item, nats_C) for q, nats_C in scored if q.item.lang == lang]
        figures += choice_figures(name, lang, of_language, seed)
    for question, nats_C in scored[:SHOWN]:
        item = question.item
        got = item.choices[int(nats_C.argmin())]
        score = float(got == item.answers[0])
        examples.append(
            EvaluatedExample(name, item.lang, question.prompt, item.answers[0], got, score)
        )
    return figures, examples


def choice_figures(
    name: str, lang: str, scored: list[tuple[Item, np.ndarray]], seed: int
) -> list[Estimate]:
    """Return the figures of items in a language, each with the nats of its choices (C,)."""
    gold_N = np.array([item.gold for item, _ in scored])
    chosen_N = np.array([int(nats_C.argmin()) for _, nats_C in scored])
    sizes = [np.array([len(choice.encode()) for choice in item.choices]) for item, _ in scored]
    per_byte_N = np.array(
        [int((nats_C / size).argmin()) for (_, nats_C), size in zip(scored, sizes, strict=True)]
    )
    majority = np.bincount(gold_N).argmax()
    return [
        mean(
            f"{name}.accuracy.{lang}",
            chosen_N == gold_N,
            seed,
            "share of questions whose right answer is the likeliest",
        ),
        mean(
            f"{name}.accuracy_per_byte.{lang}",
            per_byte_N == gold_N,
            seed,
            "the same with likelihoods divided by the answers' bytes",
        ),
        _macro_f1(f"{name}.macro_f1.{lang}", chosen_N, gold_N, seed),
        mean(
            f"{name}.majority.{lang}",
            gold_N == majority,
            seed,
            "share of the most common answer: what guessing it always would score",
        ),
    ]


def _macro_f1(name: str, chosen_N: np.ndarray, gold_N: np.ndarray, seed: int) -> Estimate:
    """Return the mean F1 over the answers that occur."""
    kinds_C = np.unique(gold_N)
    chosen_NC, gold_NC = chosen_N[:, None] == kinds_C, gold_N[:, None] == kinds_C
    parts_NC2 = np.stack((chosen_NC & gold_NC, chosen_NC.astype(int) + gold_NC), axis=2)

    def figure(sums_RC2: np.ndarray) -> np.ndarray:
        return (2 * sums_RC2[..., 0] / np.maximum(sums_RC2[..., 1], 1)).mean(1)

    value = float(figure(parts_NC2.sum(0, keepdims=True).astype(float))[0])
    low, high = interval(parts_NC2, figure, seed) or (None, None)
    return Estimate(name, value, low, high, len(gold_N), seed, "mean F1 over the possible answers")


def continuation_nats(
    loaded: LoadedModel, pairs: Sequence[tuple[str, str]], batch_size: int
) -> list[float]:
    """Return the nats of each (prompt, continuation)'s second text after the first.

    The two are encoded apart, as a model is taught an answer after its prompt. Where they exceed
    the context together, the prompt's beginning is left out.
    """
    context, tokenizer = loaded.network.config.context, loaded.tokenizer
    rows: list[tuple[int, np.ndarray, int]] = []
    for number, (prompt, continuation) in enumerate(pairs):
        scored_ids = tokenizer.encode(continuation)
        whole = [tokenizer.bos_id, *tokenizer.encode(prompt), *scored_ids]
        rows.append((number, np.array(whole[-context - 1 :], np.int64), max(1, len(scored_ids))))
    rows.sort(key=lambda row: len(row[1]))
    nats = [0.0] * len(rows)
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        nats_BT, _, _ = token_scores(loaded.network, pad([ids for _, ids, _ in batch]))
        for row, (number, ids, scored) in enumerate(batch):
            nats[number] = float(nats_BT[row, : len(ids) - 1][-scored:].sum())
    return nats
