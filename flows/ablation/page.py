"""The page of `textmill ablate`: what each choice about the data is worth."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from expectations import html
from flows.ablation.arms import Sampled
from flows.ablation.worth import Worth
from model.reports.interval_plot import IntervalPlot, IntervalSeries, interval_svg
from model.reports.plot_style import BLUE

TEMPLATES = Path(__file__).with_name("templates")
HEAD = ("left out", "documents it drops", "held-out text", "bits per byte without", "worth", "says")
NUMBERS = HEAD[1:2] + HEAD[3:5]


def ablation_page(
    title: str, sampled: Sequence[Sampled], worths: Mapping[str, Sequence[Worth]], tokens: int
) -> str:
    """Return the page as HTML; `worths` by arm, `tokens` that every arm was trained on once."""
    rows = [row for arm in sampled[1:] for row in arm_rows(arm, worths[arm.arm.name])]
    slices = dict.fromkeys(w.slice for own in worths.values() for w in own)
    return html.render(
        "ablation.html",
        TEMPLATES,
        title=title,
        tokens=f"{tokens:,}",
        seeds=max((len(w.seeds) for own in worths.values() for w in own), default=0),
        plots=[plot_of(name, worths) for name in slices if not name.startswith("source.")],
        HEAD=HEAD,
        NUMBERS=NUMBERS,
        rows=rows,
    )


def arm_rows(sampled: Sampled, worths: Sequence[Worth]) -> list[list[str]]:
    """Return an arm's rows as strings under HEAD, one per slice."""
    arm = sampled.arm
    return [
        [
            arm.name,
            f"{arm.dropped:,}" if arm.dropped else "",
            worth.slice,
            f"{worth.base + worth.difference:.4f}",
            interval_of(worth),
            worth.verdict,
        ]
        for worth in worths
    ]


def interval_of(worth: Worth) -> str:
    """Return a worth in words: '+0.0123 (+0.0040 to +0.0206)'."""
    if worth.low is None or worth.high is None:
        return f"{worth.difference:+.4f}"
    return f"{worth.difference:+.4f} ({worth.low:+.4f} to {worth.high:+.4f})"


def plot_of(slice_name: str, worths: Mapping[str, Sequence[Worth]]) -> str:
    """Return a plot of all arms on one slice as SVG."""
    shown = [(arm, w) for arm, own in worths.items() for w in own if w.slice == slice_name]
    values = [worth for _, worth in shown]
    series = IntervalSeries(
        label="mean of the seeds, 95 % interval",
        colour=BLUE,
        rows=range(len(values)),
        means=[worth.difference for worth in values],
        lows=[worth.difference if worth.low is None else worth.low for worth in values],
        highs=[worth.difference if worth.high is None else worth.high for worth in values],
    )
    names = [arm for arm, _ in shown]
    xlabel = "bits per byte more without it"
    return interval_svg(IntervalPlot(slice_name, slice_name, xlabel, names, [series]))
