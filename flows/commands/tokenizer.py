"""The command `tokenizer`: train one, or give one to other tools."""

import importlib.util
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table

from flows.commands import stages
from flows.reports import tokenizer_page
from flows.reports.terminal import stdout
from pipeline import tokenizer_check, tokenizer_sweep
from pipeline.errors import ConfigError
from pipeline.store import storage
from pipeline.store.artifact import load_artifact
from pipeline.tokenizer import CONTROLS, MODEL_FILE
from pipeline.tokenizing import to_huggingface
from pipeline.tokenizing.drift import ALL
from pipeline.tokenizing.from_huggingface import read_tokenizer_json
from pipeline.tokenizing.to_huggingface import TOKENIZER_CONFIG, TOKENIZER_JSON
from pipeline.vocabulary import Vocabulary, read_vocabulary


def tokenizer(options: Namespace) -> dict[str, Any] | None:
    """Train a tokenizer, or do what the flag given says."""
    if options.check:
        return _check(options)
    if not options.out:
        raise ConfigError("give --out DIR, the folder to write")
    if options.export or options.import_:
        return _convert(options)
    if options.sweep:
        return _sweep(options)
    result = stages.tokenizer(options)
    page = Path(f"{options.out}.html")
    artifact = load_artifact(Path(options.out), contract="tokenizer_report")
    storage.write_bytes(page, tokenizer_page.fit_page(artifact).encode())
    if result is not None:
        return {**result, "page": str(page)}
    stdout().print(f"Tokens per word by language and source: {page}", soft_wrap=True)
    return None


def _sweep(options: Namespace) -> dict[str, Any] | None:
    """Train at several sizes and compare on held-out text; write a page with a plot."""
    sizes = [size.strip() for size in options.sweep.split(",")]
    if not all(size.isdigit() for size in sizes):
        raise ConfigError(f"--sweep {options.sweep!r}: give sizes, as in 2048,4096,8192")
    algorithms = tuple(tokenizer_sweep.ALGORITHMS)
    if importlib.util.find_spec("tokenizers") is None:
        algorithms = tuple(name for name in algorithms if name != tokenizer_sweep.BYTE_LEVEL)
        print("without the library tokenizers no byte-level BPE is compared", file=sys.stderr)
    swept = stages.run_tokenizer_stage(
        options,
        tokenizer_sweep.STAGE,
        lambda recipe: tokenizer_sweep.SweepConfig(
            tuple(int(size) for size in sizes), algorithms, recipe.tokenizer
        ),
    )
    page = Path(f"{options.out}.html")
    storage.write_bytes(page, tokenizer_page.sweep_page(swept).encode())
    rows = swept.scan().collect()
    if options.json:
        return {**swept.stats, "page": str(page), "rows": rows.to_dicts()}
    table = Table(
        "pieces",
        *(tokenizer_page.NAMES[name] for name in algorithms),
        title="Bytes per token on held-out text",
        title_justify="left",
        header_style="dim",
        box=None,
    )
    every = rows.filter(pl.col("lang") == ALL)
    for (size,), of_size in every.group_by("vocab_size", maintain_order=True):
        ratio = dict(zip(of_size["algorithm"], of_size["bytes"] / of_size["tokens"], strict=True))
        table.add_row(f"{size:,}", *(f"{ratio[name]:.3f}" for name in algorithms))
    stdout().print(table)
    stdout().print(f"\nEach language, drawn: {page}", soft_wrap=True)
    return None


def _check(options: Namespace) -> dict[str, Any] | None:
    """Measure how a tokenizer fits IN; recommend to keep it or to train another."""
    with tempfile.TemporaryDirectory() as folder:
        options.out = options.out or str(Path(folder) / "check")
        checked = stages.run_tokenizer_stage(
            options,
            tokenizer_check.STAGE,
            lambda recipe: recipe.tokenizer,
            stages.open_tokenizer(options.check),
        )
        table, stats = checked.scan().collect(), checked.stats
    if options.json:
        return {**stats, "languages": table.to_dicts()}
    console = stdout()
    console.print(_drift_table(table))
    if stats["reasons"]:
        console.print(f"\nRetrain: {'; '.join(stats['reasons'])}.", soft_wrap=True)
    else:
        console.print("\nKeep it: no language of this text is served clearly worse than before.")
    return None


def _drift_table(table: pl.DataFrame) -> Table:
    shown = Table(
        "language",
        "of the text",
        "bytes per token",
        "at training",
        "byte fallback",
        "at training",
        title="How the tokenizer fits",
        header_style="dim",
        title_justify="left",
        box=None,
    )
    for row in table.iter_rows(named=True):
        new = row["bytes_per_token_then"] is None
        shown.add_row(
            row["lang"],
            f"{row['share']:.1%}",
            f"{row['bytes_per_token']:.2f}",
            "-" if new else f"{row['bytes_per_token_then']:.2f}",
            f"{row['byte_share']:.2%}",
            "-" if new else f"{row['byte_share_then']:.2%}",
        )
    return shown


def _convert(options: Namespace) -> dict[str, Any] | None:
    """Write a tokenizer as SentencePiece and as Hugging Face's tools read it, with the same ids."""
    if len(options.input) > 1:
        raise ConfigError(f"give one tokenizer to convert, found {len(options.input)} paths")
    given, folder = Path(options.input[0]), Path(options.out)
    if options.import_:
        model = read_tokenizer_json(given / TOKENIZER_JSON if given.is_dir() else given)
    else:
        model = (given / MODEL_FILE if given.is_dir() else given).read_bytes()
    storage.write_bytes(folder / MODEL_FILE, model)
    to_huggingface.write(model, folder.joinpath)
    own = read_vocabulary(model)
    files = [MODEL_FILE, TOKENIZER_JSON, TOKENIZER_CONFIG]
    if options.json:
        paths = {name: str(folder / name) for name in files}
        return {"vocab_size": len(own.pieces), "fits_stages": _fits(own), "files": paths}
    console = stdout()
    console.print(
        f"wrote {', '.join(files)} ({len(own.pieces):,} pieces) to {folder}; "
        f"AutoTokenizer.from_pretrained({str(folder)!r}) gives the same ids",
        soft_wrap=True,
    )
    if not _fits(own):
        console.print(
            f"`shard` will refuse it: ids 0 to 3 are {own.pieces[: len(CONTROLS)]}, wanted the "
            f"tokens for unknown, beginning, end and padding in this order",
            soft_wrap=True,
        )
    return None


def _fits(own: Vocabulary) -> bool:
    return own.pieces[: len(CONTROLS)] == CONTROLS
