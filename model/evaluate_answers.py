"""The stage `evaluate` of a fine-tuned model: how well it predicts held-out answers."""

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model.contracts import DOCUMENT_SCORE, EVALUATION
from model.data.examples import ExampleSet, encode_split
from model.evaluation.answer_scores import AnswerScores, score_answers
from model.evaluation.intervals import interval, ratio
from model.evaluation.paired import DocumentCost
from model.formats import model_folder
from pipeline.config_checks import AtLeast, require
from pipeline.errors import TrainingError
from pipeline.shard import TRAIN, VALIDATION
from pipeline.stage import Job, Stage
from pipeline.store.artifact import Artifact
from pipeline.store.sink import Sink
from pipeline.tokenizer import load_tokenizer


@dataclass(frozen=True)
class EvaluateAnswersConfig:
    """How many held-out examples are scored, those of the lowest id hashes."""

    examples_max: int = 1000
    seed: int = 0  # of the resamples for the intervals

    def __post_init__(self) -> None:
        require(self, "evaluate_answers", examples_max=AtLeast(1))


def run(job: Job[EvaluateAnswersConfig]) -> None:
    """Score the second parent's held-out answers under the model of the first.

    The account is kept in held-out examples. Raises TrainingError if there are none.
    """
    config = job.config
    model, examples = job.parents
    held_out, scores = _scored(model.path, examples, config)
    unigram_N = _unigram_bits(model.path, examples, held_out)
    rows = _slices(held_out, scores, unigram_N, config.seed)
    documents = _document_rows(held_out, scores)
    job.map(functools.partial(_write, rows, documents, held_out), [None])
    job.stats.update(
        bits_per_byte=rows[0]["bits_per_byte"],
        unigram_bits_per_byte=rows[0]["unigram_bits_per_byte"],
        documents=len(held_out.encoded),
    )


def answer_scores(
    folder: Path, examples: Artifact, config: EvaluateAnswersConfig
) -> list[DocumentCost]:
    """Return what each held-out answer costs any model, whatever its tokenizer."""
    held_out, scores = _scored(folder, examples, config)
    return [
        DocumentCost(row["id"], int(text_bytes), float(nats) / math.log(2))
        for row, text_bytes, nats in zip(
            held_out.rows, _bytes(held_out), scores.nats_N, strict=True
        )
    ]


def _document_rows(held_out: ExampleSet, scores: AnswerScores) -> list[dict[str, Any]]:
    """Return the rows of the contract DOCUMENT_SCORE, an answer each."""
    bits_N, bytes_N = scores.nats_N / math.log(2), _bytes(held_out)
    return [
        {
            **{name: row[name] for name in ("id", "lang", "source")},
            "age": None,
            "tokens": int(tokens),
            "bytes": int(text_bytes),
            "bits": float(bits),
            "champion_bits": None,
        }
        for row, tokens, text_bytes, bits in zip(
            held_out.rows, scores.tokens_N, bytes_N, bits_N, strict=True
        )
    ]


def _scored(
    folder: Path, examples: Artifact, config: EvaluateAnswersConfig
) -> tuple[ExampleSet, AnswerScores]:
    network, tokenizer = model_folder.read(folder), load_tokenizer(folder / model_folder.TOKENIZER)
    limit = config.examples_max
    held_out = encode_split(examples, VALIDATION, tokenizer, network.config, limit)
    if not held_out.encoded:
        raise TrainingError(
            f"{examples.path}: no held-out example that fits the model; give more examples or "
            f"raise examples.validation_share"
        )
    return held_out, score_answers(network, held_out.encoded)


def _bytes(held_out: ExampleSet) -> np.ndarray:
    return np.array([len(row["turns"][-1]["text"].encode()) for row in held_out.rows])


def _unigram_bits(folder: Path, examples: Artifact, held_out: ExampleSet) -> np.ndarray:
    """Return the bits (N,) of each answer under the token frequencies of the training answers."""
    network, tokenizer = model_folder.read(folder), load_tokenizer(folder / model_folder.TOKENIZER)
    counts_V = np.ones(tokenizer.vocab_size)
    for example in encode_split(examples, TRAIN, tokenizer, network.config).encoded:
        counts_V += np.bincount(example.ids[example.loss_mask], minlength=tokenizer.vocab_size)
    bits_V = math.log2(counts_V.sum()) - np.log2(counts_V)
    return np.array([bits_V[example.ids[example.loss_mask]].sum() for example in held_out.encoded])


def _slices(
    held_out: ExampleSet, scores: AnswerScores, unigram_N: np.ndarray, seed: int
) -> list[dict[str, Any]]:
    groups = {(kind, row[kind]) for row in held_out.rows for kind in ("lang", "source")}
    keys = [("all", "all"), *sorted(groups)]
    rows = []
    for kind, name in keys:
        chosen = [i for i, row in enumerate(held_out.rows) if kind == "all" or row[kind] == name]
        bytes_N, bits_N = _bytes(held_out)[chosen], scores.nats_N[chosen] / math.log(2)
        tokens, nats = int(scores.tokens_N[chosen].sum()), float(scores.nats_N[chosen].sum())
        low, high = interval(np.stack((bits_N, bytes_N), 1), ratio, seed) or (None, None)
        rows.append(
            {
                "kind": kind,
                "name": name,
                "documents": len(chosen),
                "tokens": tokens,
                "bytes": int(bytes_N.sum()),
                "loss": nats / tokens,
                "perplexity": math.exp(min(nats / tokens, 700.0)),
                "accuracy": float(scores.correct_N[chosen].sum()) / tokens,
                "bits_per_byte": float(bits_N.sum() / bytes_N.sum()),
                "unigram_bits_per_byte": float(unigram_N[chosen].sum() / bytes_N.sum()),
                "bits_per_byte_low": low,
                "bits_per_byte_high": high,
            }
        )
    return rows


def _write(
    rows: list[dict[str, Any]],
    documents: list[dict[str, Any]],
    held_out: ExampleSet,
    task: None,
    sink: Sink,
) -> None:
    sink.saw(len(held_out.encoded) + held_out.dropped.total())
    sink.kept(len(held_out.encoded))
    for reason, count in sorted(held_out.dropped.items()):
        sink.dropped(reason, count)
    sink.write("main", pa.Table.from_pylist(rows))
    sink.write("documents", pa.Table.from_pylist(documents, schema=DOCUMENT_SCORE.schema))


STAGE = Stage(
    name="evaluate",
    contract=EVALUATION,
    run=run,
    module="model.evaluate_answers",
    libraries=("torch", "numpy"),
    tables={"documents": DOCUMENT_SCORE},
    counts_rows=False,
)
