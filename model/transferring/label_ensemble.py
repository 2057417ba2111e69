"""Teaching a network labels in two ways that answer together (`model.transferring.opinion_pool`).

`tuned`: the network is trained with a linear map over it (`model.transferring.classifier`);
`frozen`: it stays as it is, and logistic regression learns from its vectors
(`model.transferring.frozen_features`).
Shapes: N texts, C labels, V vocabulary, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.network.families import AnyNetwork
from model.transferring import classifier, frozen_features
from model.transferring.classifier import ClassifierConfig, Labelled
from model.transferring.frozen_features import Features
from model.transferring.opinion_pool import Said, pool
from model.transferring.questions import Question, answer_of, input_of
from pipeline.tokenizer import Tokenizer

TUNED, FROZEN = "tuned", "frozen"


@dataclass(frozen=True)
class Taught:
    """What each label costs after each text asked for, in nats (N, C), and how that was found.

    `weights`: how far either way is heard, at most 1.
    """

    nats_NC: np.ndarray
    weights: dict[str, float]
    learning_rate: float  # of the tuned network


@dataclass(frozen=True)
class Lesson:
    """Examples, which of them to learn from and which are held aside; texts without labels.

    All as ids; `asked` are the texts whose labels are wanted.
    """

    examples: Labelled
    learned: list[int]
    aside: list[int]
    unlabelled: list[list[int]]
    asked: list[list[int]]
    labels: int


def lesson(
    rows: Sequence[dict[str, Any]],
    parts: tuple[list[int], list[int]],
    asked: Sequence[Question],
    unlabelled: Sequence[dict[str, Any]],
    tokenizer: Tokenizer,
    context: int,
) -> Lesson:
    """Return what rows of EXAMPLES come to, cut at a network's context."""

    def ids_of(rows: Sequence[dict[str, Any]]) -> list[list[int]]:
        return [classifier.coded_text(input_of(row), tokenizer, context) for row in rows]

    known = asked[0].candidates
    examples = Labelled(ids_of(rows), [known.index(answer_of(row)) for row in rows])
    shown = ids_of([one.row for one in asked])
    return Lesson(examples, *parts, ids_of(unlabelled), shown, len(known))


def taught(
    network: Callable[[], AnyNetwork],
    lesson: Lesson,
    config: ClassifierConfig,
    seed: int,
    *,
    reads: bool,
) -> Taught:
    """Teach the network that `network` gives, the same every time, and return what it answers.

    `reads`: its word vectors first go on with the texts without labels.
    """
    examples, held = lesson.examples, lesson.examples.part(lesson.aside)
    tuned = classifier.taught(
        network, examples.part(lesson.learned), held, lesson.labels, config, seed
    )
    features = _features(network(), lesson.unlabelled, config.reading_epochs * reads, seed)
    known_NF, asked_NF = features.of(examples.ids), features.of(lesson.asked)
    learned = known_NF, examples.labels
    crossed_NC = frozen_features.crossed_nats(*learned, lesson.labels, seed)
    ways = {
        TUNED: Said(tuned.held_NC, classifier.nats(tuned.classifier, lesson.asked)),
        FROZEN: Said(
            crossed_NC[lesson.aside],
            frozen_features.nats_from(*learned, asked_NF, lesson.labels, seed),
        ),
    }
    nats_NC, weights = pool(list(ways.values()), held.labels)
    return Taught(nats_NC, dict(zip(ways, weights, strict=True)), tuned.learning_rate)


def by_words(
    shape: tuple[int, int], lesson: Lesson, config: ClassifierConfig, seed: int
) -> np.ndarray:
    """Return nats (N, C) without a network: by word vectors (V, D) of the texts alone."""
    words = frozen_features.read_words(
        None, shape, lesson.unlabelled, max(1, config.reading_epochs), seed
    )
    known_NF, asked_NF = words.means(lesson.examples.ids), words.means(lesson.asked)
    return frozen_features.nats_from(
        known_NF, lesson.examples.labels, asked_NF, lesson.labels, seed
    )


def _features(
    network: AnyNetwork, unlabelled: Sequence[list[int]], epochs: int, seed: int
) -> Features:
    begin_VD = network.embed_tokens.weight.detach().float().cpu().numpy()
    words = frozen_features.read_words(begin_VD, begin_VD.shape, unlabelled, epochs, seed)
    return Features(words, network, frozen_features.last_means(network, unlabelled).mean(axis=0))
