"""The stage `evaluate`: how well a model predicts held-out documents, by language and source."""

import functools
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from model.contracts import CALIBRATION, EVALUATION, EXAMPLE, FIGURE, POSITION
from model.evaluation.baselines import BaselineConfig, compressed, token_models
from model.evaluation.figures import Estimate, EvaluatedExample
from model.evaluation.held_out import choose, documents, recode
from model.evaluation.probes import bias, memorisation, toxicity
from model.evaluation.probes.memorisation import MemorisationConfig
from model.evaluation.probes.pairs import pairs
from model.evaluation.probes.toxicity import ToxicityConfig
from model.evaluation.scoring import HeldOutDocument, score
from model.evaluation.slices import calibration, positions, slices
from model.evaluation.tasks import ask
from model.evaluation.tasks.questions import TaskConfig
from model.formats import model_folder
from model.generation.completion import LoadedModel
from model.network.families import family_of
from pipeline.config_checks import AtLeast, require
from pipeline.errors import ConfigError, TrainingError
from pipeline.shard import VALIDATION, refuse_another_tokenizer
from pipeline.stage import Job, Progress, Stage
from pipeline.store.artifact import MAIN, Artifact
from pipeline.store.sink import Sink
from pipeline.tokenizer import Tokenizer, load_tokenizer

Tables = dict[str, list[dict[str, Any]]]  # rows by the table's name


@dataclass(frozen=True)
class EvaluateConfig:
    """How much is scored: whole documents, in the order of their ids' hash, up to these limits."""

    documents_max: int = 2000
    tokens_max: int = 200_000
    batch_size: int = 16
    seed: int = 0  # of what is drawn: passages, samples, resamples for the intervals
    bias: bool = True  # compare sentences of which one word is changed
    baselines: BaselineConfig = field(default_factory=BaselineConfig)
    memorisation: MemorisationConfig = field(default_factory=MemorisationConfig)
    toxicity: ToxicityConfig = field(default_factory=ToxicityConfig)
    tasks: tuple[TaskConfig, ...] = ()

    def __post_init__(self) -> None:
        one = AtLeast(1)
        require(self, "evaluate", documents_max=one, tokens_max=one, batch_size=one)
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ConfigError(f"evaluate.tasks: {names} names a task twice; give each task once")


def run(job: Job[EvaluateConfig]) -> None:
    """Score the shards' validation documents with the model of the first parent.

    The account is kept in validation documents; those over the limits are dropped.
    """
    config = job.config
    model, shards = job.parents
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
    tables = _score_documents(loaded, shards, held_out, config, job.progress)
    figures, examples = _probes(loaded, shards, held_out, config)
    more_figures, more_examples = run_bias_and_tasks(loaded, config, job.progress)
    tables["figures"] = [asdict(figure) for figure in figures + more_figures]
    tables["examples"] = [asdict(example) for example in examples + more_examples]
    job.map(functools.partial(_write, tables, seen, len(chosen)), [None])
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
) -> Tables:
    """Return the tables of what the held-out documents cost the model and the baselines."""
    scores = score(
        loaded.network,
        loaded.tokenizer,
        held_out,
        baselines=token_models(shards, loaded.tokenizer, config.baselines),
        batch_size=config.batch_size,
        report=lambda done: progress("evaluate", done, len(held_out)),
    )
    scores, xz_bytes = compressed(scores, held_out, shards, loaded.tokenizer, config.baselines)
    return {
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


def bits_per_byte(
    folder: Path, shards: Artifact, tokenizer: Tokenizer, config: EvaluateConfig
) -> float:
    """Score any model on the same documents, whatever its tokenizer; lower is better.

    `tokenizer` is the one the shards were made with: their text is decoded and encoded anew where
    the model has another.
    """
    chosen, _ = choose(shards, VALIDATION, config.tokens_max, config.documents_max)
    own = load_tokenizer(folder / model_folder.TOKENIZER)
    held_out = documents(shards, VALIDATION, chosen)
    if own.fingerprint != tokenizer.fingerprint:
        held_out = (recode(document, tokenizer, own) for document in held_out)
    network = model_folder.read(folder)
    scores = score(network, own, held_out, batch_size=config.batch_size)
    return slices(scores)[0]["bits_per_byte"]


def _write(tables: Tables, seen: int, scored: int, task: None, sink: Sink) -> None:
    sink.saw(seen)
    sink.kept(scored)
    sink.dropped("beyond_limit", seen - scored)
    for name, rows in tables.items():
        contract = {MAIN: EVALUATION, **TABLES}[name]
        sink.write(name, pa.Table.from_pylist(rows, schema=contract.schema))


TABLES = {
    "calibration": CALIBRATION,
    "positions": POSITION,
    "figures": FIGURE,
    "examples": EXAMPLE,
}
STAGE = Stage(
    name="evaluate",
    contract=EVALUATION,
    run=run,
    module="model.evaluate",
    libraries=("torch", "numpy", "pyppmd", "sacrebleu", "scipy"),
    tables=TABLES,
    counts_rows=False,
)
