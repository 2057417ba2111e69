"""What differs between two runs: settings, sources, figures with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SHOWN_MAX = 60
PROBES = ("memorisation.", "toxicity.", "bias.")
FINER = (
    "bias.by_attribute.",
    "bias.gap.",
    "memorisation.train_tokens.",
    "memorisation.validation_tokens.",
)


@dataclass(frozen=True)
class Figure:
    """A figure of a run: `word` names its kind, `about` what of; an interval where it has one."""

    word: str
    about: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def key(self) -> str:
        """What figures of two runs have in common."""
        return f"{self.word}.{self.about}"


def figures_of(snapshot: Mapping[str, Any]) -> list[Figure]:
    """Return the figures by which two runs are compared, in reading order."""
    rows = [
        Figure("documents_kept", row["stage"], row["documents_kept"]) for row in snapshot["funnel"]
    ]
    tokenizer = snapshot.get("tokenizer") or {"languages": []}
    rows += [
        Figure("tokens_per_word", row["lang"], row["tokens"] / row["words"])
        for row in tokenizer["languages"]
        if row["words"]
    ]
    training = snapshot.get("training") or {}
    rows += [
        Figure(name, "", training[name])
        for name in ("parameters", "tokens_seen")
        if training.get(name) is not None
    ]
    spent = snapshot.get("spent") or {}
    if spent.get("seconds") is not None:
        rows.append(Figure("seconds", "", spent["seconds"]))
    return rows + _evaluated(snapshot.get("evaluation"))


def _evaluated(evaluation: Mapping[str, Any] | None) -> list[Figure]:
    if evaluation is None:
        return []
    rows = [
        Figure(
            "bits_per_byte",
            row["name"],
            row["bits_per_byte"],
            row["bits_per_byte_low"],
            row["bits_per_byte_high"],
        )
        for row in evaluation["slices"]
    ]
    return rows + [
        Figure("figure", row["name"], row["value"], row["low"], row["high"])
        for row in evaluation["figures"]
        if not row["name"].startswith(FINER)
    ]


def changed_settings(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> list[tuple[str, str | None, str | None]]:
    """Return (key, before, now) of each setting that differs; None where there is none."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return [(key, before.get(key), now.get(key)) for key in keys[:SHOWN_MAX]]


def changed_sources(
    before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return documents and bytes of each source and language that has other ones, both times."""
    if not before or not now:  # one of them did not get that far
        return []
    sides = [{(row["source"], row["lang"]): row for row in rows} for rows in (before, now)]
    changed = []
    for source, lang in {**sides[0], **sides[1]}:
        pair = [side.get((source, lang), {"documents": 0, "bytes": 0}) for side in sides]
        counts = [(row["documents"], row["bytes"]) for row in pair]
        if counts[0] != counts[1]:
            changed.append({"source": source, "lang": lang, "before": counts[0], "now": counts[1]})
    return changed[:SHOWN_MAX]


def changed_figures(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> list[tuple[Figure, Figure]]:
    """Return the figures that both runs have and that differ, as (before, now)."""
    earlier = {figure.key: figure for figure in figures_of(before)}
    pairs = [(earlier[f.key], f) for f in figures_of(now) if f.key in earlier]
    return [(old, new) for old, new in pairs if old.value != new.value][:SHOWN_MAX]
