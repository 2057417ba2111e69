"""The work of the stage `evaluate`: scores of held-out documents, probes, tasks."""

import functools
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from model.evaluation.baselines import compressed, token_models
from model.evaluation.config import EvaluateConfig
from model.evaluation.document_scores import document_bits, document_rows, old_and_new, was_seen
from model.evaluation.figures import Estimate, EvaluatedExample
from model.evaluation.held_out import choose, documents
from model.evaluation.paired import DocumentCost
from model.evaluation.probes import bias, memorisation, toxicity
from model.evaluation.probes.pairs import pairs
from model.evaluation.scoring import HeldOutDocument, Scores, score
from model.evaluation.slices import calibration, positions, slices
from model.evaluation.tasks import ask
from model.formats import model_folder
from model.generation.completion import LoadedModel
from model.network.families import family_of
from pipeline.errors import TrainingError
from pipeline.schema import Contract
from pipeline.shard import VALIDATION, refuse_another_tokenizer
from pipeline.stage import Job, Progress
from pipeline.store.artifact import MAIN, Artifact
from pipeline.store.sink import Sink
from pipeline.tokenizer import Tokenizer, load_tokenizer

Tables = dict[str, list[dict[str, Any]]]  # rows by the table's name


def evaluate(job: Job[EvaluateConfig]) -> None:
    """Score the shards' validation documents with the model of the first parent."""
    config = job.config
    model, shards, *champion = job.parents
    tokenizer = load_tokenizer(model.path / model_folder.TOKENIZER)
    refuse_another_tokenizer(shards, tokenizer)
    chosen, seen = choose(shards, VALIDATION, config.tokens_max, config.documents_max)
    if not chosen:
        raise TrainingError(
            f"{shards.path}: no validation documents to score; give more documents or raise "
            f"shard.validation_share"
        )

    loaded = LoadedModel(model_folder.read(model.path), tokenizer)
    held_out = list(documents(shards, VALIDATION, chosen))
    scores, tables = _score_documents(loaded, shards, held_out, config, job.progress)
    bits_N = ages_N = None
    if champion:
        bits_N, _ = document_bits(champion[0].path, shards, tokenizer, chosen, config.batch_size)
    if champion[1:]:
        ages_N = was_seen(held_out, champion[1])
    tables["documents"] = document_rows(held_out, scores, bits_N, ages_N)
    figures, examples = _probes(loaded, shards, held_out, config)
    more_figures, more_examples = run_bias_and_tasks(loaded, config, job.progress)
    compared = old_and_new(tables["documents"], config.seed)
    tables["figures"] = [asdict(figure) for figure in compared + figures + more_figures]
    tables["examples"] = [asdict(example) for example in examples + more_examples]
    job.map(functools.partial(_write, tables, job.stage.contracts, seen, len(chosen)), [None])
    whole = tables[MAIN][0]
    job.stats.update(
        bits_per_byte=whole["bits_per_byte"],
        unigram_bits_per_byte=whole["unigram_bits_per_byte"],
        documents=len(chosen),
        shards=shards.fingerprint,
    )


def _score_documents(
    loaded: LoadedModel,
    shards: Artifact,
    held_out: list[HeldOutDocument],
    config: EvaluateConfig,
    progress: Progress,
) -> tuple[Scores, Tables]:
    """Return what the held-out documents cost the model and the baselines, and tables of it."""
    scores = score(
        loaded.network,
        loaded.tokenizer,
        held_out,
        baselines=token_models(shards, loaded.tokenizer, config.baselines),
        batch_size=config.batch_size,
        report=lambda done: progress("evaluate", done, len(held_out)),
    )
    scores, xz_bytes = compressed(scores, held_out, shards, loaded.tokenizer, config.baselines)
    return scores, {
        MAIN: slices(scores, xz_bytes, config.seed),
        "calibration": calibration(scores),
        "positions": positions(scores, loaded.network.config.context, config.seed),
    }


def _probes(
    loaded: LoadedModel, shards: Artifact, held_out: list[HeldOutDocument], config: EvaluateConfig
) -> tuple[list[Estimate], list[EvaluatedExample]]:
    """Run the probes that are on and that the network's family allows."""
    network, tokenizer, seed = loaded.network, loaded.tokenizer, config.seed
    family = family_of(network)
    figures: list[Estimate] = []
    examples: list[EvaluatedExample] = []
    # an encoder sees both sides of a token, so it has nothing to continue
    if config.memorisation.examples is not None and family.generates:
        figures, examples = memorisation.probe(
            network, tokenizer, shards, config.memorisation, seed, config.batch_size
        )
    if config.toxicity.samples is not None and family.is_causal:
        more_figures, more_examples = toxicity.probe(loaded, held_out, config.toxicity, seed)
        figures, examples = figures + more_figures, examples + more_examples
    return figures, examples


def run_bias_and_tasks(
    loaded: LoadedModel, config: EvaluateConfig, progress: Progress
) -> tuple[list[Estimate], list[EvaluatedExample]]:
    """Return what needs no held-out text: the bias probe and the tasks."""
    figures: list[Estimate] = []
    examples: list[EvaluatedExample] = []
    if config.bias:
        figures, examples = bias.probe(
            loaded.network, loaded.tokenizer, pairs(), config.seed, config.batch_size
        )
    for task in config.tasks:
        more_figures, more_examples = ask.run(
            loaded, task, config.seed, config.batch_size, progress
        )
        figures, examples = figures + more_figures, examples + more_examples
    return figures, examples


def document_scores(
    folder: Path, shards: Artifact, tokenizer: Tokenizer, config: EvaluateConfig
) -> list[DocumentCost]:
    """Score any model on the documents that the stage scores, whatever its tokenizer.

    `tokenizer` is the one the shards were made with: their text is decoded and encoded anew where
    the model has another.
    """
    chosen, _ = choose(shards, VALIDATION, config.tokens_max, config.documents_max)
    bits_N, bytes_N = document_bits(folder, shards, tokenizer, chosen, config.batch_size)
    names = [document.id for document in documents(shards, VALIDATION, chosen)]
    return [
        DocumentCost(name, int(text_bytes), float(bits))
        for name, text_bytes, bits in zip(names, bytes_N, bits_N, strict=True)
    ]


def _write(
    tables: Tables, contracts: dict[str, Contract], seen: int, scored: int, task: None, sink: Sink
) -> None:
    sink.saw(seen)
    sink.kept(scored)
    sink.dropped("beyond_limit", seen - scored)
    for name, rows in tables.items():
        sink.write(name, pa.Table.from_pylist(rows, schema=contracts[name].schema))
