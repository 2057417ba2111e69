"""Each stage as a command on its own files, writing an artifact to --out."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flows import config
from flows.chain import CORPUS, STAGES, ChainStage
from flows.config import Recipe
from flows.forgotten_sources import with_tombstones
from flows.reports.summary import cut_in_words, data_lines
from flows.reports.terminal import progress_bars, stdout
from flows.settings import Settings, read_launch, read_settings
from flows.source_secrets import with_secrets
from flows.steps import CommandContext, inputs_folder, run_beside
from pipeline import rethreshold
from pipeline.errors import ConfigError
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import Stage, StageRun
from pipeline.store.artifact import Artifact, artifact_exists, load_artifact
from pipeline.store.set_aside import quarantined_places
from pipeline.tokenizer import MODEL_FILE, load_tokenizer
from pipeline.tokenizer_training import GivenTokenizer

DOCUMENTS = ("ingest", "clean", "dedup")  # stages whose artifacts hold documents


def ingest(options: Namespace) -> dict[str, Any] | None:
    """Read raw files into documents."""
    recipe = config.override(Recipe(), options.overrides)
    return _run(
        options,
        recipe,
        "ingest",
        lambda context: [_sources(options.input, context.settings, recipe)],
    )


def clean(options: Namespace) -> dict[str, Any] | None:
    """Repair and filter documents, or judge clean ones again."""
    if options.rethreshold:
        return _rethreshold(options)
    recipe = _with(options, "clean", profile=options.profile)
    return _run(options, recipe, "clean", lambda context: [_documents(options, "clean", context)])


def _rethreshold(options: Namespace) -> dict[str, Any] | None:
    before = load_artifact(Path(options.input[0]), contract="clean")
    given = config.override(Recipe(), options.overrides).clean
    profile = options.profile or before.manifest["inputs"]["config"]["profile"]
    stage_config = rethreshold.RethresholdConfig(profile, given.thresholds, given.switched_off)
    stage = replace(STAGES["clean"], definition=rethreshold.STAGE, summary="judged documents again")
    return _run_stage(options, stage, stage_config, lambda context: [before])


def dedup(options: Namespace) -> dict[str, Any] | None:
    """Remove copies, of one corpus or of several taken one after the other."""
    recipe = _with(options, "dedup", threshold=options.threshold)
    old = load_artifact(Path(options.add_to), contract="deduped") if options.add_to else None
    paths = [Path(path) for path in options.input]
    several = len(paths) > 1 and all(map(artifact_exists, paths))

    def parents(context: CommandContext) -> list[Any]:
        if several:
            return [load_artifact(path, contract="clean") for path in paths]
        return [_documents(options, "dedup", context)]

    stage = STAGES["dedup"]
    stage = replace(stage, definition=stage.definition.going_on_from(old))
    return _run_stage(options, stage, recipe.dedup, parents)


def tokenizer(options: Namespace) -> dict[str, Any] | None:
    """Train a tokenizer."""
    recipe = _with(options, "tokenizer", vocab_size=options.vocab_size, model_type=options.type)
    given = [open_tokenizer(options.use)] if options.use else []
    given = [
        GivenTokenizer(earlier.file(MODEL_FILE)) for earlier in given
    ]  # used, whatever its figures

    def parents(context: CommandContext) -> list[Any]:
        return [_documents(options, "tokenizer", context), *given]

    summary = "took over the tokenizer" if given else STAGES["tokenizer"].summary
    stage = replace(STAGES["tokenizer"], summary=summary)
    return _run_stage(options, stage, recipe.tokenizer, parents)


def run_tokenizer_stage(
    options: Namespace, stage: Stage, config_of: Callable[[Recipe], Any], *more: Any
) -> Artifact:
    """Run a stage beside the chain on the documents of IN, `more` being its other parents."""
    recipe = config.override(Recipe(), options.overrides)
    settings = read_settings(options.store, options.workers)
    with progress_bars() as (progress, _):
        context = CommandContext(settings, progress)
        documents = _documents(options, "tokenizer", context)
        parents, out = [documents, *more], Path(options.out)
        return context.runner.run(stage, config_of(recipe), parents, out).artifact


def open_tokenizer(given: str) -> Artifact | GivenTokenizer:
    """Open a tokenizer: an artifact of `tokenizer`, or another folder or file with a model."""
    path = Path(given)
    if artifact_exists(path) and load_artifact(path).stage == "tokenizer":
        return load_artifact(path, contract="tokenizer_report")
    load_tokenizer(path)
    return GivenTokenizer(path / MODEL_FILE if path.is_dir() else path)


def shard(options: Namespace) -> dict[str, Any] | None:
    """Turn documents into tokens."""
    recipe = config.override(Recipe(), options.overrides)
    own = load_artifact(Path(options.tokenizer), contract="tokenizer_report")
    return _run(
        options, recipe, "shard", lambda context: [_documents(options, "shard", context), own]
    )


def train(options: Namespace) -> dict[str, Any] | None:
    """Train a model on shards."""
    recipe = config.load(options.recipe) if options.recipe else Recipe()
    recipe = config.override(recipe, options.overrides)
    # Training checks every part's content itself and names all that are damaged.
    shards = load_artifact(Path(options.input[0]), contract="shard", files=False)
    return _run(options, recipe, "train", lambda context: [shards])


def _with(options: Namespace, section: str, **flags: Any) -> Recipe:
    """Apply --set and the command's own flags; --set wins, since messages advise it."""
    recipe = config.override(Recipe(), options.overrides)
    named = {override.partition("=")[0].strip() for override in options.overrides}
    given = {
        key: value
        for key, value in flags.items()
        if value is not None and f"{section}.{key}" not in named
    }
    return replace(recipe, **{section: replace(getattr(recipe, section), **given)})


def _run(options: Namespace, recipe: Recipe, name: str, parents: Any) -> dict[str, Any] | None:
    return _run_stage(options, STAGES[name], STAGES[name].config(recipe), parents)


def _run_stage(
    options: Namespace, stage: ChainStage, stage_config: Any, parents: Any
) -> dict[str, Any] | None:
    settings = read_settings(options.store, options.workers)
    settings = replace(settings, launch=read_launch(options))
    with progress_bars() as (progress, _):
        context = CommandContext(settings, progress)
        definition = settings.with_launch(stage.definition)
        out = Path(options.out)
        run = context.runner.run(definition, stage_config, parents(context), out)
    if options.json:
        return {"path": str(run.artifact.path), "reused": run.reused, **run.artifact.manifest}
    for line in (*context.lines, *_lines(run, stage), *data_lines(run.artifact.stats)):
        stdout().print(line, soft_wrap=True)
    return None


def _lines(run: StageRun, stage: ChainStage) -> list[str]:
    """Return what a stage did, and below it where what it could not read stands."""
    ledger = run.artifact.ledger
    kept = f"{ledger.kept:,} of {ledger.seen:,} {stage.unit} kept"
    parts = [f"{stage.summary}: {kept}{cut_in_words(run.artifact.stats)}"]
    parts += [f"{rule} {n:,}" for rule, n in ledger.dropped.most_common()]
    parts += [f"quarantined {reason} {n:,}" for reason, n in ledger.quarantined.most_common()]
    first = f"{', '.join(parts)}; {run.reason}, {run.seconds:.1f} s; {run.artifact.path}"
    return [first, *(f"  {line}" for line in quarantined_places(run.artifact))]


def _sources(paths: Sequence[str], settings: Settings, recipe: Recipe) -> SourceSet:
    sources = [Source(path=path) for path in paths]
    named = with_secrets(sources, settings)
    opened = SourceSet.open(named, Path.cwd(), workers=settings.workers)
    return with_tombstones(opened, recipe.ingest, settings)


def _documents(options: Namespace, stage: str, context: CommandContext) -> Artifact:
    """Open the artifact given as IN, or make one of raw files with the stages that come before.

    Raw files pass through `clean` with the profile 'none': repaired and measured, nothing dropped.
    """
    paths = [Path(path) for path in options.input]
    before = [
        chain_stage
        for chain_stage in CORPUS
        if chain_stage.name in ("ingest", "clean") and chain_stage.name != stage
    ]
    before = before[: 1 if stage == "clean" else 2]
    documents: Any
    if len(paths) == 1 and artifact_exists(paths[0]):
        documents = load_artifact(paths[0])
        if documents.stage not in DOCUMENTS:
            raise ConfigError(
                f"{paths[0]}: was made by `{documents.stage}` and holds no documents; `{stage}` "
                f"wants raw files or what `ingest`, `clean` or `dedup` wrote"
            )
        if documents.stage != "ingest" or stage != "dedup":
            return documents
        before = before[1:]  # raw documents have no language yet
    elif any(artifact_exists(path) for path in paths):
        raise ConfigError("IN: give one artifact folder, or raw files only, not both")
    else:
        documents = _sources(options.input, context.settings, Recipe())
    recipe = config.override(Recipe(), ["clean.profile=none"])
    for earlier_stage in before:
        stage_config = earlier_stage.config(recipe)
        run = run_beside(
            inputs_folder(options.out),
            earlier_stage.name,
            earlier_stage.definition,
            stage_config,
            [documents],
            context,
        )
        context.lines.extend(_lines(run, earlier_stage))
        documents = run.artifact
    return documents
