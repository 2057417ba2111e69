"""Pictures for the run page: curves, funnel, bits per byte; one PNG each, readable at a glance."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from model.reports import evaluation_plots
from model.reports.markdown import counted
from model.reports.plot_style import (
    BARS,
    BLUE,
    COLOURS,
    DASHES,
    GREEN,
    GREY,
    GRID,
    INK,
    ORANGE,
    Row,
    readable,
    save,
    style,
)
from pipeline.schema import DOCUMENT_STAGES
from pipeline.store.artifact import Artifact

RATIO_FOR_LOG = 30  # a narrower range has too few ticks on a log scale


Job = tuple[str, Callable[[Axes], None], float]  # name, what paints it, height in inches


def draw(
    folder: Path,
    training: Artifact,
    evaluation: Artifact | None = None,
    data: Sequence[Artifact] = (),
    speed: Sequence[tuple[int, float]] = (),
) -> list[Path]:
    """Write the plots that the artifacts allow into `folder` and return their paths.

    `speed` holds (training tokens seen, tokens per second). Names of sources in a script that no
    installed font has are written as escapes.
    """
    rows = training.rows_of()
    jobs: list[Job] = [
        ("loss", lambda axes: loss_curve(axes, rows), 4.2),
        ("learning_rate", lambda axes: learning_rate(axes, rows), 3.2),
        ("gradient_norm", lambda axes: gradient_norm(axes, rows), 3.2),
    ]
    parts = training.stats.get("source_losses", [])
    if len({row["source"] for row in parts}) > 1:
        jobs.append(("loss_by_source", lambda axes: loss_by_source(axes, parts, rows), 4.2))
    if speed:
        jobs.append(("throughput", lambda axes: throughput(axes, speed), 3.2))
    if any(artifact.stage in DOCUMENT_STAGES for artifact in data):
        jobs.append(("funnel", lambda axes: funnel(axes, data), 4.2))
    mixed = training.stats.get("mixture", [])
    if mixed:
        height = 1.9 + 0.45 * min(len(mixed), BARS)
        jobs.append(("mixture", lambda axes: mixture(axes, mixed), height))
    slices = evaluation.rows_of() if evaluation else []
    if slices:
        height = 1.9 + 0.55 * min(len(slices), BARS)
        jobs.append(
            ("bits_per_byte", lambda axes: evaluation_plots.bits_per_byte(axes, slices), height)
        )
    bins = evaluation.rows_of("calibration") if evaluation else []
    if bins:
        jobs.append(("calibration", lambda axes: evaluation_plots.reliability(axes, bins), 4.6))
    places = evaluation.rows_of("positions") if evaluation else []
    if places:
        jobs.append(("position", lambda axes: evaluation_plots.by_position(axes, places), 3.6))
    jobs += _figure_jobs(evaluation.rows_of("figures") if evaluation else [])
    with matplotlib.rc_context(style()):
        return [save(folder, name, paint, height) for name, paint, height in jobs]


def draw_figures(folder: Path, figures: Sequence[Row]) -> list[Path]:
    """Write the plots of probes and tasks into `folder` and return their paths."""
    with matplotlib.rc_context(style()):
        return [save(folder, *job) for job in _figure_jobs(figures)]


def _figure_jobs(figures: Sequence[Row]) -> list[Job]:
    jobs: list[Job] = []
    if any(row["name"].startswith(evaluation_plots.BIAS) for row in figures):
        jobs.append(("bias", lambda axes: evaluation_plots.bias(axes, figures), 3.6))
    task_rows = evaluation_plots.task_rows(figures)
    if task_rows:
        height = 1.6 + 0.32 * len(task_rows)
        jobs.append(("tasks", lambda axes: evaluation_plots.tasks(axes, figures), height))
    return jobs


def loss_curve(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw training and validation loss over training tokens (log scale)."""
    rows = [row for row in rows if row["tokens"] > 0]
    held_out = [row for row in rows if row["validation_loss"] is not None]
    tokens = [row["tokens"] for row in rows]
    axes.plot(tokens, [row["loss"] for row in rows], color=BLUE, label="training", lw=1.6)
    if held_out:
        axes.plot(
            [row["tokens"] for row in held_out],
            [row["validation_loss"] for row in held_out],
            color=ORANGE,
            marker="o",
            ms=4,
            lw=1.6,
            label=f"held-out text, last {held_out[-1]['validation_loss']:.3f}",
        )
    axes.set(title="Loss", ylabel="nats per token")
    token_axis(axes, log=True)
    axes.legend(frameon=False)


def loss_by_source(axes: Axes, parts: Sequence[Row], rows: Sequence[Row]) -> None:
    """Draw the held-out loss of each source over training tokens (log scale)."""
    tokens = {row["step"]: row["tokens"] for row in rows}
    names = sorted({row["source"] for row in parts})
    for position, name in enumerate(names):
        own = [row for row in parts if row["source"] == name]
        axes.plot(
            [tokens[row["step"]] for row in own],
            [row["loss"] for row in own],
            lw=1.6,
            marker="o",
            ms=3,
            color=COLOURS[position % len(COLOURS)],
            ls=DASHES[position // len(COLOURS)],
            label=f"{readable(name)}, last {own[-1]['loss']:.3f}",
        )
    axes.set(title="Held-out loss by source", ylabel="nats per token")
    token_axis(axes, log=True)
    axes.legend(frameon=False, fontsize=8.5)


def learning_rate(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw the learning rate over training tokens."""
    axes.plot([r["tokens"] for r in rows], [r["learning_rate"] for r in rows], color=GREEN, lw=1.6)
    axes.set(title="Learning rate", ylabel="per step")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    token_axis(axes)


def gradient_norm(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw the gradient norm before clipping over training tokens."""
    axes.plot([r["tokens"] for r in rows], [r["gradient_norm"] for r in rows], color=BLUE, lw=1.2)
    axes.set(title="Gradient norm before clipping", ylabel="L2 norm")
    norms = [row["gradient_norm"] for row in rows if row["gradient_norm"] > 0]
    if norms and max(norms) / min(norms) > RATIO_FOR_LOG:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    token_axis(axes)


def throughput(axes: Axes, speed: Sequence[tuple[int, float]]) -> None:
    """Draw training speed over training tokens."""
    axes.plot([tokens for tokens, _ in speed], [rate for _, rate in speed], color=ORANGE, lw=1.4)
    axes.set(title="Training speed", ylabel="tokens per second")
    axes.set_ylim(0, 1.1 * max(rate for _, rate in speed))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: counted(value)))
    token_axis(axes)


def funnel(axes: Axes, data: Sequence[Artifact]) -> None:
    """Draw the share of rows that each data stage kept, and its chief reason for dropping."""
    stages = [
        artifact for artifact in data if artifact.stage in DOCUMENT_STAGES and artifact.ledger.seen
    ]
    shares = [artifact.ledger.kept / artifact.ledger.seen for artifact in stages]
    places = range(len(stages))
    axes.barh(places, [1.0] * len(stages), color=GRID, height=0.62)
    axes.barh(places, shares, color=BLUE, height=0.62)
    for position, artifact, share in zip(places, stages, shares, strict=True):
        text = f"{share:.1%}  {artifact.ledger.kept:,} of {artifact.ledger.seen:,}"
        dark = share < 0.45
        axes.text(
            share + 0.01 if dark else share - 0.01,
            position,
            text,
            va="center",
            ha="left" if dark else "right",
            color=INK if dark else "white",
        )
        axes.text(1.015, position, _lost(artifact), va="center", ha="left", fontsize=8.5)
    axes.set_yticks(list(places), [artifact.stage for artifact in stages])
    axes.invert_yaxis()
    axes.set(title="Documents kept by each stage", xlabel="share of documents", xlim=(0, 1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.grid(visible=False)


def mixture(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw each source's share of the tokens trained on beside its share of the shards' tokens."""
    shown = sorted(rows, key=lambda row: -row["share"])[:BARS]
    there = [row["tokens"] / row["epochs"] if row["epochs"] else 0.0 for row in rows]
    own = dict(zip([(row["source"], row["lang"]) for row in rows], there, strict=True))
    before = [own[row["source"], row["lang"]] / max(1.0, sum(there)) for row in shown]
    trained = [row["share"] for row in shown]
    places = range(len(shown))
    axes.barh([p - 0.19 for p in places], trained, height=0.36, color=BLUE, label="trained on")
    axes.barh([p + 0.19 for p in places], before, height=0.36, color=GREY, label="in the shards")
    for position, row in zip(places, shown, strict=True):
        text = f" {row['share']:.1%}   {row['epochs']:.3g} epochs, {counted(row['tokens'])} tokens"
        axes.text(row["share"], position - 0.19, text, va="center", fontsize=8.5)
    labels = [readable(f"{row['source']} ({row['lang']})") for row in shown]
    axes.set_yticks(list(places), labels)
    axes.invert_yaxis()
    axes.set(title="What the model was trained on", xlabel="share of tokens")
    axes.set_xlim(0, max([*trained, *before, 0.01]) * 1.45)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.grid(visible=False, axis="y")
    axes.legend(frameon=False, loc="lower right")


def _lost(artifact: Artifact) -> str:
    gone = artifact.ledger.dropped + artifact.ledger.quarantined
    if not gone:
        return "nothing dropped"
    rule, count = gone.most_common(1)[0]
    more = f" (+{len(gone) - 1} more)" if len(gone) > 1 else ""
    return f"−{gone.total():,}\n{readable(rule)} {count:,}{more}"


def token_axis(axes: Axes, *, log: bool = False) -> None:
    """Label the horizontal axis as tokens seen."""
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("training tokens seen")
    axes.xaxis.set_major_formatter(FuncFormatter(counted))
