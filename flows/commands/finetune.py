"""The command `finetune`: examples of files, then a model taught by them."""

from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from flows import config
from flows.config import Recipe, sections
from flows.forgotten_sources import examples_of, with_nothing_forgotten
from flows.reports.terminal import progress_bars, stdout
from flows.settings import read_settings
from flows.steps import CommandContext, inputs_folder, run_beside, tracking_settings
from model import evaluate_answers
from model.evaluate_answers import EvaluateAnswersConfig
from model.finetune import STAGE as FINETUNE
from model.formats.base_model import BaseModel
from model.registry import versions
from model.registry.model_record import ModelRecord
from model.registry.versions import Registration
from model.reports import finetune_card
from model.training.finetune_config import LoraConfig
from pipeline.examples import STAGE as EXAMPLES
from pipeline.prompts.task_templates import PREFERENCE
from pipeline.shard import VALIDATION
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import StageRun
from pipeline.store.artifact import Artifact, artifact_exists, load_artifact
from pipeline.store.set_aside import quarantined_places


def finetune(options: Namespace) -> dict[str, Any] | None:
    """Fine-tune a model and write the new one as a folder like that of `train`."""
    recipe = _recipe(options)
    settings = read_settings(options.store, options.workers)
    base = BaseModel(versions.resolve(options.model, tracking_settings(settings)))
    destination = Path(options.out)
    with progress_bars() as (progress, _):
        context = CommandContext(settings, progress)
        examples = _examples(options, recipe, context)
        run = context.runner.run(FINETUNE, recipe.finetune, [base, examples], destination)
        registration = None
        if options.register:
            registration = _register(options, recipe, context, examples, run.artifact)
    if options.json:
        result = {"path": str(run.artifact.path), "reused": run.reused, **run.artifact.manifest}
        result["records"] = _records(run.artifact, examples)
        return result | ({"registration": asdict(registration)} if registration else {})
    for line in _lines(run, examples):
        stdout().print(line, soft_wrap=True, markup=False, highlight=False)
    if registration is not None:
        stdout().print(
            f"models:/{registration.name}/{registration.version}: {registration.reason}",
            soft_wrap=True,
        )
    return None


def _register(
    options: Namespace,
    recipe: Recipe,
    context: CommandContext,
    examples: Artifact,
    tuned: Artifact,
) -> Registration:
    """Score held-out answers and register the model with what it came from."""
    evaluation_config = EvaluateAnswersConfig()
    evaluation = run_beside(
        inputs_folder(options.out),
        "evaluate",
        evaluate_answers.STAGE,
        evaluation_config,
        [tuned, examples],
        context,
    ).artifact
    return versions.register(
        tracking_settings(context.settings),
        options.register,
        tuned.path,
        ModelRecord(
            evaluation=evaluation,
            training=tuned,
            data=[examples],
            verdict_files=[],
            params={"finetune.parent": options.model, **sections(recipe)},
            card=finetune_card.render(examples, tuned, evaluation, options.register, options.model),
            promotion=recipe.promotion,
        ),
        lambda champion: evaluate_answers.answer_scores(champion, examples, evaluation_config),
    )


def _recipe(options: Namespace) -> Recipe:
    """Apply --set and then the command's own flags to the recipe."""
    recipe = config.load(options.recipe) if options.recipe else Recipe()
    recipe = config.override(recipe, options.overrides)
    if options.task:
        recipe = replace(recipe, examples=replace(recipe.examples, task=options.task))
    if options.lora is not None:
        adapters = replace(recipe.finetune.lora or LoraConfig(), rank=options.lora)
        recipe = replace(recipe, finetune=replace(recipe.finetune, lora=adapters))
    return recipe


def _examples(options: Namespace, recipe: Recipe, context: CommandContext) -> Artifact:
    """Open the examples given, or make them of files, beside the model to be."""
    if len(options.data) == 1 and artifact_exists(Path(options.data[0])):
        return with_nothing_forgotten(
            load_artifact(Path(options.data[0]), contract="examples"), context.settings
        )
    sources = [Source(path=path) for path in options.data]
    source_set = SourceSet.open(sources, Path.cwd(), workers=context.settings.workers)
    source_set = examples_of(source_set, recipe.examples, context.settings)
    folder = inputs_folder(options.out)
    return run_beside(folder, "examples", EXAMPLES, recipe.examples, [source_set], context).artifact


def _lines(run: StageRun, examples: Artifact) -> list[str]:
    """Return what was learned, and below it what became of the records that taught nothing."""
    stats, lost = run.artifact.stats, run.artifact.ledger.dropped.most_common()
    aside = examples.ledger.quarantined.most_common()
    records = _records(run.artifact, examples)
    parts = [
        f"{stats['task']}: taught by {records['taught']:,} of {records['seen']:,} records, "
        f"{records['held_out']:,} held out"
    ]
    parts += [f"{reason} {n:,}" for reason, n in lost]
    parts += [f"{rule} {n:,}" for rule, n in examples.ledger.dropped.most_common()]
    parts += [f"quarantined {reason} {n:,}" for reason, n in aside]
    if stats["prompts_cut"]:
        parts.append(f"{stats['prompts_cut']:,} prompts shortened to fit")
    if stats["validation_loss"] is not None:
        before, after = stats["validation_loss_before"], stats["validation_loss"]
        what = "loss of held-out answers {} -> {} nats per token"
        if stats["task"] == PREFERENCE:
            what = "loss of held-out pairs {} -> {}"
        parts.append(what.format(f"{before:.3f}", f"{after:.3f}"))
    first = f"{', '.join(parts)}; {run.reason}, {run.seconds:.1f} s; {run.artifact.path}"
    begin = stats["dropped_begin"].items()
    reason_lines = [f"  {reason}: {', '.join(map(repr, texts))}" for reason, texts in begin]
    figures = [
        f"  {row['name']}: {row['value']:.3f}"
        + ("" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]")
        + f" of {row['examples']:,}: {row['meaning']}"
        for row in stats.get("figures", [])
    ]
    return [first, *figures, *reason_lines, *(f"  {line}" for line in quarantined_places(examples))]


def _records(tuned: Artifact, examples: Artifact) -> dict[str, Any]:
    """Return the account of the records: what each of them was good for."""
    return {
        "seen": examples.ledger.seen,
        "taught": tuned.stats["examples"],
        "held_out": examples.stats["examples"].get(VALIDATION, 0),
        "dropped": dict(examples.ledger.dropped + tuned.ledger.dropped),
        "quarantined": dict(examples.ledger.quarantined),
    }
