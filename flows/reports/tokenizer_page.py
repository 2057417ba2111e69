"""Pages about tokenizers: one tokenizer by language and source, many by size and algorithm."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from expectations import html
from model.reports.line_plot import LinePlot, PlotLine, line_svg
from model.reports.plot_style import BLUE, GREEN, ORANGE
from pipeline.store.artifact import Artifact
from pipeline.tokenizer_training import BY_SOURCE
from pipeline.tokenizing.drift import ALL

NAMES = {
    "bpe": "SentencePiece BPE",
    "unigram": "SentencePiece unigram",
    "byte_level_bpe": "byte-level BPE (tokenizers)",
}
COLOURS = dict(zip(NAMES, (BLUE, ORANGE, GREEN), strict=True))
LANGUAGES_DRAWN = 3
TEMPLATES = Path(__file__).with_name("templates")
FIT_HEAD = (
    "documents",
    "bytes per token",
    "tokens per word",
    "tokens per character",
    "byte fallback",
    "round trip failed",
)


def fit_page(artifact: Artifact) -> str:
    """Return the report of one tokenizer as HTML: by language, by source, unused pieces."""
    stats = artifact.stats
    return html.render(
        "tokenizer.html",
        TEMPLATES,
        title=f"Tokenizer {artifact.path.name}",
        pieces=f"{stats['vocab_size']:,}",
        model_type=stats["model_type"],
        measured=f"{stats['measured_bytes'] / 1e6:,.1f}",
        by_language=_fit_table(artifact.scan().collect(), ["lang"]),
        by_source=_fit_table(artifact.scan(BY_SOURCE).collect(), ["lang", "source"]),
        unused_count=f"{stats['unused_pieces']:,}",
        unused=[repr(piece)[1:-1] for piece in stats["unused_examples"]],
    )


def sweep_page(artifact: Artifact) -> str:
    """Return a sweep as HTML: a plot per language, a table of all figures."""
    swept = artifact.scan().collect()
    return html.render(
        "sweep.html",
        TEMPLATES,
        title=f"Vocabulary sizes: {artifact.path.name}",
        sample=f"{artifact.stats['sample_bytes'] / 1e6:,.1f}",
        plots=_plots(swept),
        figures=_fit_table(swept, ["algorithm", "vocab_size", "lang"]),
    )


def _fit_table(fit: pl.DataFrame, keys: Sequence[str]) -> dict[str, Any]:
    """Return names of columns, rows of strings, and which columns hold numbers."""
    figure_names = list(FIT_HEAD)
    rows = []
    for row in fit.iter_rows(named=True):
        tokens = max(row["tokens"], 1)
        figures = (
            f"{row['documents']:,}",
            f"{row['bytes'] / tokens:.2f}",
            f"{row['tokens'] / max(row['words'], 1):.2f}",
            f"{row['tokens'] / max(row['characters'], 1):.3f}",
            f"{row['byte_tokens'] / tokens:.2%}",
            f"{row['round_trip_failures']:,}",
        )
        rows.append([*(NAMES.get(row[key], f"{row[key]}") for key in keys), *figures])
    names = [*(key.replace("_", " ") for key in keys), *figure_names]
    return {"names": names, "rows": rows, "numbers": figure_names}


def _plots(swept: pl.DataFrame) -> list[str]:
    by_size = swept.filter(pl.col("lang") != ALL).group_by("lang").agg(pl.col("bytes").sum())
    largest = by_size.sort("bytes", "lang", descending=[True, False])["lang"].to_list()
    shown = [ALL, *largest[:LANGUAGES_DRAWN]]
    shown = shown[1:] if len(largest) == 1 else shown
    return [_plot(swept.filter(pl.col("lang") == lang), lang) for lang in shown]


def _plot(rows: pl.DataFrame, lang: str) -> str:
    lines = []
    for (algorithm,), line in rows.sort("vocab_size").group_by("algorithm", maintain_order=True):
        name, ratio = str(algorithm), (line["bytes"] / line["tokens"]).to_numpy()
        lines.append(PlotLine(NAMES[name], COLOURS[name], line["vocab_size"].to_numpy(), ratio))
    plot = LinePlot(
        title="all languages" if lang == ALL else lang,
        ylabel="bytes per token, held-out text",
        xlabel="pieces (1k = 1,024)",
        height_inches=3.0,
        log_base=2,
        ticks=sorted(set(rows["vocab_size"])),
        tick_label=lambda value: f"{value / 1024:.3g}k",
        look={"svg.hashsalt": lang},
    )
    return line_svg(plot, lines)
