"""The command `convert`: shards to token files of other tools, and back."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from flows.lineage.emitting import StageRunner
from flows.reports.terminal import progress_bars, stdout
from flows.settings import read_settings
from pipeline.conversion import exporting, importing
from pipeline.errors import ConfigError
from pipeline.store.artifact import load_artifact


def convert(options: Namespace) -> dict[str, Any] | None:
    """Write shards in another tool's format, or make shards of another tool's files."""
    if (options.to_format is None) == (options.from_format is None):
        raise ConfigError("convert: give either --to FORMAT or --from FORMAT")
    return _export(options) if options.to_format else _import(options)


def _export(options: Namespace) -> dict[str, Any] | None:
    shards = load_artifact(Path(options.input), contract="shard", checksums=True)
    out = Path(options.out)
    note = exporting.export(shards, options.to_format, out)
    if options.json:
        return {"path": str(out), **note}
    tokens, documents = (sum(note[name].values()) for name in ("tokens", "documents"))
    stdout().print(
        f"wrote {documents:,} documents, {tokens:,} tokens and an end token "
        f"({note['end_of_document']}) after each, for {note['format']}; {out}",
        soft_wrap=True,
    )
    return None


def _import(options: Namespace) -> dict[str, Any] | None:
    tokenizer = Path(options.tokenizer) if options.tokenizer else None
    path = Path(options.input)
    folder = importing.open_folder(path, options.from_format, tokenizer)
    config = importing.ImportConfig(source=options.source or path.resolve().name)
    if options.lang:
        config = replace(config, lang=options.lang)
    settings = read_settings(options.store, options.workers)
    with progress_bars() as (progress, _):
        runner = StageRunner(settings.engine(), progress)
        run = runner.run(importing.STAGE, config, [folder], Path(options.out))
    artifact = run.artifact
    if options.json:
        return {"path": str(artifact.path), "reused": run.reused, **artifact.manifest}
    dropped = "".join(f", {rule} {n:,}" for rule, n in artifact.ledger.dropped.most_common())
    tokens = sum(artifact.stats["tokens"].values())
    stdout().print(
        f"made shards: {artifact.ledger.kept:,} of {artifact.ledger.seen:,} documents kept"
        f"{dropped}, {tokens:,} tokens; {run.reason}, {run.seconds:.1f} s; {artifact.path}",
        soft_wrap=True,
    )
    return None
