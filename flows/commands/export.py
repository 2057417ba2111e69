"""The command `export`: a model in the formats of other programs."""

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.reports.terminal import stdout
from flows.settings import read_settings
from flows.steps import tracking_settings
from model.registry.versions import resolve
from pipeline.errors import ConfigError
from pipeline.inputs import small_text


def export(options: Namespace) -> dict[str, Any] | None:
    """Write a model for other programs and print how well each agrees with it."""
    try:
        from model.export.export import CARD, ExportSettings, export_model
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"exporting needs the package {error.name}; install it with `pip install "
            f"'textmill[export]'`"
        ) from error
    from model.export.export_card import sentence
    from model.export.parity import TEXTS, TOLERANCE
    from model.serve.options import served_name

    settings = read_settings(options.store, options.workers)
    texts: tuple[str, ...] = TEXTS
    if options.text:
        lines = small_text(Path(options.text)).splitlines()
        texts = tuple(line for line in lines if line.strip())
        if not texts:
            raise ConfigError(f"{options.text}: no lines of text to compare with")
    console = Console(stderr=True) if options.json else stdout()
    wanted = ExportSettings(
        name=options.name or served_name(options.model),
        precision=options.precision,
        int8=options.int8,
        texts=texts,
        tolerance=TOLERANCE if options.tolerance is None else options.tolerance,
    )
    files = export_model(
        resolve(options.model, tracking_settings(settings)),
        options.format,
        Path(options.out),
        wanted,
        finished=lambda exported: console.print(sentence(exported), highlight=False),
    )
    if options.json:
        return {"out": options.out, "files": [asdict(exported) for exported in files]}
    console.print(f"{len(files)} files in {options.out}; {CARD} there says how to open them")
    return None
