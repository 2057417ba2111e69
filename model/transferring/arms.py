"""The arms of a transfer: ways to do one task, all of which answer the same questions.

`ARMS` is their table: the network from the base's weights, the same network from random ones,
TF-IDF with logistic regression, and, where there are labels, Word2Vec with logistic regression.

Both networks are trained alike: for labels as in `model.transferring.label_ensemble`, for free
answers word by word. What there is to choose is chosen by development examples, for either network
by itself. Before it is trained on labels, the transferred network's word vectors are continued on
the texts of all training examples, without their labels. Word2Vec reads the same texts, without a
model to begin with.
Shapes: N questions, C candidates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from model.data.chat import EncodedExample
from model.data.example_batches import fits_context
from model.data.examples import encode_row, lowest_by_hash, rows_of
from model.evaluation.answer_scores import score_answers
from model.formats import model_folder
from model.network.families import AnyNetwork
from model.training import tuning
from model.training.finetune_config import RANDOM, WEIGHTS, FinetuneConfig
from model.transferring import label_ensemble, tfidf
from model.transferring.classifier import LabelledTexts, encode_text
from model.transferring.config import LINEAR, SCRATCH, TRANSFERRED, WORDS, TransferConfig
from model.transferring.label_ensemble import LabelDataset
from model.transferring.questions import (
    ChoiceQuestion,
    answer_of,
    choose_cheapest,
    input_of,
    prompt_of,
    result_row,
    without_input,
)
from pipeline.shard import TRAIN
from pipeline.stage import Job
from pipeline.tokenizer import Tokenizer

LABELLED = ("classification", "sentiment")  # tasks whose answers are labels


@dataclass(frozen=True)
class ArmInputs:
    """What an arm is given: training examples, as rows and as ids, and questions to answer."""

    job: Job[TransferConfig]
    rows: Sequence[dict[str, Any]]
    encoded: Sequence[EncodedExample]
    questions: Sequence[ChoiceQuestion]
    tokenizer: Tokenizer

    @property
    def config(self) -> TransferConfig:
        """Return the stage's config."""
        return self.job.config

    @property
    def labelled(self) -> bool:
        """Tell whether answers are labels."""
        return self.job.parents[1].stats["task"] in LABELLED

    def split(self) -> tuple[list[int], list[int]]:
        """Return the indices of examples to train on and of development examples, by the seed."""
        generator = np.random.Generator(np.random.PCG64(self.config.finetune.seed))
        order = generator.permutation(len(self.rows)).tolist()
        dev = max(1, round(self.config.held_aside_share * len(order)))
        return order[dev:] or order, order[:dev]


def network_arm(inputs: ArmInputs) -> list[dict[str, Any]]:
    """Train the network, from the base's weights or random ones, and let it answer."""
    start = RANDOM if inputs.config.arm == SCRATCH else WEIGHTS
    config = replace(inputs.config.finetune, start=start)
    return (_choose_label if inputs.labelled else _choose_by_likelihood)(inputs, config)


def _choose_label(inputs: ArmInputs, finetune: FinetuneConfig) -> list[dict[str, Any]]:
    def network() -> AnyNetwork:
        return tuning.starting_network(inputs.job.parents[0], finetune)

    predictions = label_ensemble.fit_and_predict(
        network,
        _label_dataset(inputs),
        inputs.config.classifier,
        finetune.seed,
        adapt_word_vectors=inputs.config.arm == TRANSFERRED,
    )
    inputs.job.stats.update(weights=predictions.weights, learning_rate=predictions.learning_rate)
    return choose_cheapest(inputs.questions, predictions.nll_NC)


def _label_dataset(inputs: ArmInputs) -> LabelDataset:
    """Return the task as ids, cut at the network's context."""
    base, examples = inputs.job.parents
    context = model_folder.read(base.path).config.context

    def encode(rows: Sequence[dict[str, Any]]) -> list[list[int]]:
        return [encode_text(input_of(row), inputs.tokenizer, context) for row in rows]

    unlabelled = lowest_by_hash(
        rows_of(examples, TRAIN), inputs.config.classifier.reading_texts_max
    )
    labels = inputs.questions[0].candidates
    answers = [labels.index(answer_of(row)) for row in inputs.rows]
    train, dev = inputs.split()
    return LabelDataset(
        examples=LabelledTexts(encode(inputs.rows), answers),
        train=train,
        dev=dev,
        unlabelled=encode(unlabelled),
        test=encode([question.row for question in inputs.questions]),
        labels=len(labels),
    )


def word_vector_arm(inputs: ArmInputs) -> list[dict[str, Any]]:
    """Let Word2Vec and logistic regression answer, from the texts of the transferred network."""
    width = model_folder.read(inputs.job.parents[0].path).config.width
    shape = inputs.tokenizer.vocab_size, width
    config, seed = inputs.config.classifier, inputs.config.finetune.seed
    nll_NC = label_ensemble.predict_by_words(shape, _label_dataset(inputs), config, seed)
    return choose_cheapest(inputs.questions, nll_NC)


def _choose_by_likelihood(inputs: ArmInputs, finetune: FinetuneConfig) -> list[dict[str, Any]]:
    """Choose the answer to whose likelihood the question adds most.

    That is domain conditional PMI (Holtzman et al. 2021, arXiv:2104.08315); by likelihood alone a
    short answer would always win.
    """
    train, dev = ([inputs.encoded[index] for index in part] for part in inputs.split())
    base = inputs.job.parents[0]
    data = tuning.answers_to_learn(finetune, model_folder.read(base.path).config, train, dev)
    result = tuning.best_of_rates(inputs.job, finetune, base, data)
    network, questions = result.training.network, inputs.questions
    nll_NC = _candidate_nll(network, questions, inputs.tokenizer, blank=False)
    pmi_NC = _candidate_nll(network, questions, inputs.tokenizer, blank=True) - nll_NC
    inputs.job.stats.update(
        learning_rate=result.training.optimizer.hyperparameters.learning_rate,
        epochs=result.training.kept_step / result.batches.batches_per_epoch,
    )
    return [
        result_row(question, int(np.argmax(pmi_C)), float(nll_C[question.right]))
        for question, pmi_C, nll_C in zip(questions, pmi_NC, nll_NC, strict=True)
    ]


def _candidate_nll(
    network: AnyNetwork,
    questions: Sequence[ChoiceQuestion],
    tokenizer: Tokenizer,
    *,
    blank: bool,
) -> np.ndarray:
    """Return nats (N, C) of each candidate after its question, or after one without its input."""

    def fits(total: int, before: int) -> bool:
        return fits_context(network.config, total, before)

    rows = [without_input(q.row) if blank else q.row for q in questions]
    results = [
        encode_row(row, answer, tokenizer, fits)
        for row, question in zip(rows, questions, strict=True)
        for answer in question.candidates
    ]
    encoded = [result for result in results if isinstance(result, EncodedExample)]
    assert len(encoded) == len(results)  # `keep_readable` left out what does not fit
    return score_answers(network, encoded).nats_N.reshape(len(questions), -1)


def linear_arm(inputs: ArmInputs) -> list[dict[str, Any]]:
    """Let TF-IDF and logistic regression answer; they read texts whole."""
    return (_predict_label if inputs.labelled else _match_answer)(inputs)


def _predict_label(inputs: ArmInputs) -> list[dict[str, Any]]:
    texts = [input_of(row) for row in inputs.rows]
    answers = [answer_of(row) for row in inputs.rows]
    test_texts = [input_of(question.row) for question in inputs.questions]
    labels = tfidf.predict_labels(texts, answers, test_texts, inputs.config.finetune.seed)
    return [
        result_row(question, question.candidates.index(label), None)
        for question, label in zip(inputs.questions, labels, strict=True)
    ]


def _match_answer(inputs: ArmInputs) -> list[dict[str, Any]]:
    config = inputs.config
    pairs = [(prompt_of(row), answer_of(row)) for row in inputs.rows]
    choices = [(prompt_of(question.row), question.candidates) for question in inputs.questions]
    scores_NC = tfidf.score_choices(pairs, choices, config.candidates - 1, config.finetune.seed)
    return [
        result_row(question, int(np.argmax(scores_C)), None)
        for question, scores_C in zip(inputs.questions, scores_NC, strict=True)
    ]


Arm = Callable[[ArmInputs], list[dict[str, Any]]]
ARMS: dict[str, Arm] = {
    SCRATCH: network_arm,
    TRANSFERRED: network_arm,
    LINEAR: linear_arm,
    WORDS: word_vector_arm,
}


def arms_of(task: str) -> list[str]:
    """Return the arms that a task has."""
    return [arm for arm in ARMS if arm != WORDS or task in LABELLED]
