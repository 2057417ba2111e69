"""Pages about tokenizers: one tokenizer by language and source, many by size and algorithm."""

import io
from collections.abc import Sequence
from html import escape

import matplotlib
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from expectations.html_table import breakable, html_table, table_row
from expectations.page_style import STYLE
from model.reports.plot_style import BLUE, GREEN, ORANGE, style
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
FIT_HEAD = ("documents", "bytes per token", "tokens per word", "tokens per character",
            "byte fallback", "round trip failed")  # fmt: skip


def fit_page(artifact: Artifact) -> str:
    """Return the report of one tokenizer as HTML: by language, by source, unused pieces."""
    stats = artifact.stats
    head = f"<p>{stats['vocab_size']:,} pieces, {escape(stats['model_type'])}; measured on "
    head += f"{stats['measured_bytes'] / 1e6:,.1f} MB of the text it was chosen for. "
    head += "A word of a script without spaces is one character.</p>"
    unused = " ".join(f"<code>{escape(repr(one)[1:-1])}</code>" for one in stats["unused_examples"])
    return page(
        f"Tokenizer {artifact.path.name}",
        head
        + f"<h2>By language</h2>{_fit_table(artifact.scan().collect(), ['lang'])}"
        + f"<h2>By source</h2>{_fit_table(artifact.scan(BY_SOURCE).collect(), ['lang', 'source'])}"
        + f"<h2>Pieces that this text does not use: {stats['unused_pieces']:,}</h2><p>{unused}</p>",
    )


def sweep_page(artifact: Artifact) -> str:
    """Return a sweep as HTML: a plot per language, a table of all figures."""
    swept = artifact.scan().collect()
    stats = artifact.stats
    head = (
        f"<p>Each trained on nine tenths of the same {stats['sample_bytes'] / 1e6:,.1f} MB, "
        f"measured on the rest. More bytes per token: shorter sequences, cheaper training. "
        f"More pieces: larger embeddings, rarer tokens.</p>"
    )
    body = f"{head}{_plots(swept)}<h2>All figures</h2>"
    return page(
        f"Vocabulary sizes: {artifact.path.name}",
        body + _fit_table(swept, ["algorithm", "vocab_size", "lang"]),
    )


def page(title: str, body: str) -> str:
    """Return a whole page that needs nothing from outside."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )


def _fit_table(fit: pl.DataFrame, keys: Sequence[str]) -> str:
    head = [name.replace("_", " ") for name in (*keys, *FIT_HEAD)]
    body = []
    for row in fit.iter_rows(named=True):
        tokens = max(row["tokens"], 1)
        names = [breakable(NAMES.get(row[key], f"{row[key]}")) for key in keys]
        figures = (
            f"{row['documents']:,}",
            f"{row['bytes'] / tokens:.2f}",
            f"{row['tokens'] / max(row['words'], 1):.2f}",
            f"{row['tokens'] / max(row['characters'], 1):.3f}",
            f"{row['byte_tokens'] / tokens:.2%}",
            f"{row['round_trip_failures']:,}",
        )
        body.append(table_row(head, (*names, *figures), range(len(names), len(head))))
    return html_table(head, body)


def _plots(swept: pl.DataFrame) -> str:
    by_size = swept.filter(pl.col("lang") != ALL).group_by("lang").agg(pl.col("bytes").sum())
    largest = by_size.sort("bytes", "lang", descending=[True, False])["lang"].to_list()
    shown = [ALL, *largest[:LANGUAGES_DRAWN]]
    shown = shown[1:] if len(largest) == 1 else shown
    drawn = (_svg(swept.filter(pl.col("lang") == lang), lang) for lang in shown)
    return f'<div class="plots">{"".join(drawn)}</div>'


def _svg(rows: pl.DataFrame, lang: str) -> str:
    with matplotlib.rc_context({**style(), "font.size": 8, "svg.hashsalt": lang}):
        figure = Figure(figsize=(3.6, 3.0), layout="constrained")
        axes = figure.subplots()
        _paint(axes, rows, lang)
        axes.set_ylabel("bytes per token, held-out text")
        axes.legend(frameon=False, fontsize=7)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _paint(axes: Axes, rows: pl.DataFrame, lang: str) -> None:
    for (algorithm,), line in rows.sort("vocab_size").group_by("algorithm", maintain_order=True):
        name = str(algorithm)
        ratio = (line["bytes"] / line["tokens"]).to_numpy()
        axes.plot(line["vocab_size"].to_numpy(), ratio, "o-", ms=3.5, lw=1.4,
                  color=COLOURS[name], label=NAMES[name])  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(set(rows["vocab_size"])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1024:.3g}k"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(title="all languages" if lang == ALL else lang, xlabel="pieces (1k = 1,024)")
