"""Pictures of an evaluation: bits per byte beside baselines, calibration, gain from context."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from model.reports.markdown import language
from model.reports.plot_style import BARS, BLUE, GREEN, GREY, INK, ORANGE, Row, readable

MARKS = {  # figure of a baseline -> name, marker
    "ngram_bits_per_byte": ("n-grams, Kneser-Ney", "D"),
    "ppmd_bits_per_byte": ("PPMd", "^"),
    "xz_bits_per_byte": ("xz", "s"),
}
BIAS = "bias.by_attribute."  # how names of the figures begin
LANGUAGE_COLOURS = {"all": INK, "zh": ORANGE, "en": BLUE}


def bits_per_byte(axes: Axes, slices: Sequence[Row]) -> None:
    """Draw bits per byte of each language and source with intervals, beside the baselines'."""
    order = {"all": 0, "lang": 1, "source": 2}
    shown = sorted(slices, key=lambda row: (order.get(row["kind"], 3), -row["documents"]))[:BARS]
    places = range(len(shown))
    words = {"all": "all text", "lang": "language ", "source": "source "}
    labels = [
        words.get(row["kind"], "") + ("" if row["kind"] == "all" else readable(row["name"]))
        for row in shown
    ]
    before = [row["unigram_bits_per_byte"] for row in shown]
    ours = [row["bits_per_byte"] for row in shown]
    axes.barh(
        [p - 0.19 for p in places],
        ours,
        height=0.36,
        color=BLUE,
        label="this model",
        xerr=_arms(shown),
        error_kw={"ecolor": INK, "elinewidth": 1},
    )
    axes.barh([p + 0.19 for p in places], before, height=0.36, color=GREY, label="unigram model")
    marked = _marks(axes, shown)
    for position, row in zip(places, shown, strict=True):
        kept = f"{row['bits_per_byte']:.3f}   {row['documents']:,} documents"
        right = max(row["bits_per_byte"], row.get("bits_per_byte_high") or 0.0)
        axes.text(right, position - 0.19, f" {kept}", va="center", fontsize=8.5)
    axes.set_yticks(list(places), labels)
    axes.invert_yaxis()
    axes.set(title="Held-out text, lower is better", xlabel="bits per byte")
    axes.set_xlim(0, max([*before, *ours, *marked]) * 1.18)
    axes.grid(visible=False, axis="y")
    axes.legend(
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.9 / (1 + len(shown))),
        ncols=5,
        fontsize=8.5,
        columnspacing=1.2,
    )


def _arms(rows: Sequence[Row]) -> list[list[float]]:
    """Return the lengths of the interval's arms to the left and right, 0 where there is none."""
    ends = [
        (r["bits_per_byte"], r.get("bits_per_byte_low"), r.get("bits_per_byte_high")) for r in rows
    ]
    left = [0.0 if low is None else max(0.0, at - low) for at, low, _ in ends]
    right = [0.0 if high is None else max(0.0, high - at) for at, _, high in ends]
    return [left, right]


def _marks(axes: Axes, rows: Sequence[Row]) -> list[float]:
    """Mark the other baselines on the lower bar of each row; return all their values."""
    values: list[float] = []
    for figure, (name, marker) in MARKS.items():
        points = [(r[figure], p + 0.19) for p, r in enumerate(rows) if r.get(figure) is not None]
        if points:
            across, up = zip(*points, strict=True)
            axes.plot(across, up, marker, color=GREEN, mec="white", ms=6, ls="none", label=name)
            values += across
    return values


def reliability(axes: Axes, bins: Sequence[Row]) -> None:
    """Draw accuracy over confidence by language: on the diagonal, confidence can be believed."""
    axes.plot([0, 1], [0, 1], color=GREY, lw=1.2, ls="--", label="perfectly calibrated")
    whole = [row for row in bins if row["lang"] == "all"]
    total = sum(row["tokens"] for row in whole)
    axes.bar(
        [row["lower"] for row in whole],
        [row["tokens"] / total for row in whole],
        width=[row["upper"] - row["lower"] for row in whole],
        align="edge",
        color=GREY,
        alpha=0.45,
        label="share of tokens",
    )
    for lang in dict.fromkeys(row["lang"] for row in bins):
        rows = [row for row in bins if row["lang"] == lang]
        count = sum(row["tokens"] for row in rows)
        gap = sum(row["tokens"] * abs(row["confidence"] - row["accuracy"]) for row in rows)
        axes.plot(
            [row["confidence"] for row in rows],
            [row["accuracy"] for row in rows],
            color=LANGUAGE_COLOURS.get(lang, GREEN),
            marker="o",
            ms=3.5,
            lw=1.5,
            label=f"{readable(language(lang))}, error {gap / count:.3f}",
        )
    axes.set(
        title="Calibration: can its confidence be believed?",
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="confidence: probability of the likeliest token",
        ylabel="share that was right",
    )
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")


def by_position(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw bits per byte over the position in the window: what more context is worth."""
    middles = [(row["first"] * row["last"]) ** 0.5 for row in rows]
    low = [row["bits_per_byte"] if row["low"] is None else row["low"] for row in rows]
    high = [row["bits_per_byte"] if row["high"] is None else row["high"] for row in rows]
    axes.fill_between(middles, low, high, color=BLUE, alpha=0.18, lw=0, label="95 % interval")
    values = [row["bits_per_byte"] for row in rows]
    axes.plot(middles, values, color=BLUE, marker="o", ms=4, lw=1.6, label="this model")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(
        title="Prediction by position in the window",
        ylabel="bits per byte",
        xlabel="tokens into the window",
    )
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def bias(axes: Axes, figures: Sequence[Row]) -> None:
    """Draw by language and attribute how often the stereotype is likelier, with intervals."""
    rows = [row for row in figures if row["name"].startswith(BIAS)]
    names = [row["name"].removeprefix(BIAS).split(".") for row in rows]
    labels = [f"{language(lang)}: {', '.join(rest)}" for lang, *rest in names]
    _dots(axes, rows, labels, [lang for lang, *_ in names])
    axes.axvline(0.5, color=INK, lw=1, ls="--")
    axes.set(title="Bias: how often the stereotype is likelier")
    axes.set_xlabel("share of sentence pairs; 0.5 is no preference, bars are 95 % intervals")


def tasks(axes: Axes, figures: Sequence[Row]) -> None:
    """Draw each task's metrics by language, with intervals and what guessing would score."""
    rows = task_rows(figures)
    names = [row["name"].split(".")[1:] for row in rows]
    labels = [f"{task}, {lang}: {metric}" for task, metric, lang in names]
    _dots(axes, rows, labels, [lang for *_, lang in names])
    guesses = {row["name"]: row["value"] for row in figures if ".majority." in row["name"]}
    places = [
        (guesses[f"task.{task}.majority.{lang}"], position)
        for position, (task, metric, lang) in enumerate(names)
        if metric.startswith("accuracy") and f"task.{task}.majority.{lang}" in guesses
    ]
    if places:
        across, up = zip(*places, strict=True)
        axes.scatter(
            across,
            up,
            marker="|",
            color=INK,
            s=120,
            zorder=4,
            label="the most common answer always",
        )
        axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    axes.set(title="Tasks, without further training")
    axes.set_xlabel("0 to 1, higher is better; bars are 95 % intervals")


def task_rows(figures: Sequence[Row]) -> list[Row]:
    """Return the figures of tasks that are scores, in their order."""
    scores = [
        row for row in figures if row["name"].startswith("task.") and row["name"].count(".") == 3
    ]
    return [row for row in scores if ".majority." not in row["name"]]


def _dots(axes: Axes, rows: Sequence[Row], labels: Sequence[str], langs: Sequence[str]) -> None:
    for position, row in enumerate(rows):
        low, high = (row["value"] if end is None else end for end in (row["low"], row["high"]))
        axes.plot([low, high], [position, position], color=GREY, lw=5, solid_capstyle="round")
    colours = [LANGUAGE_COLOURS.get(lang, GREEN) for lang in langs]
    axes.scatter([row["value"] for row in rows], range(len(rows)), color=colours, s=42, zorder=3)
    axes.set_yticks(range(len(rows)), [readable(label) for label in labels])
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.grid(visible=False, axis="y")
