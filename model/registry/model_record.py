"""Everything that goes with a model into its run and version: data, figures, verdicts, card."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NotRequired

import polars as pl
from typing_extensions import TypedDict

from model.promotion.config import PromotionConfig
from model.registry.lineage import DOCUMENTS, lineage_tags
from model.registry.metric_names import metric_name
from model.registry.run_figures import (
    bits_per_byte_of,
    data_waits_of,
    evaluation_figures,
    funnel_figures,
    mixture_figures,
    probe_figures,
    protocol_hash,
    source_losses,
    spent_figures,
    throughput_of,
)
from model.registry.tracking import FINGERPRINT, RunLog
from model.reports.data_shares import data_table, shares
from model.training.curve import MEASURED_FILE
from pipeline.cleaning.pii import without_personal_data
from pipeline.store import storage
from pipeline.store.artifact import Artifact

EVALUATION = "textmill.evaluation"
PROTOCOL = "textmill.yardstick"  # hash of how and on what text was measured
DATA = "textmill.data"
PARENT = "textmill.parent"  # content of the model that this one was fine-tuned from
GATES = "textmill.gates"
# Tags with shares of the text, to be searched with LIKE.
SHARES = {"language": "textmill.languages", "license": "textmill.licenses"}
TRAINED_FROM = "textmill.trained_from"  # the version that training went on from
SUMMARY = "textmill.summary"
ORIGIN = "origin"  # folder of a run's files by which its model can be made again
NOTE = "mlflow.note.content"  # what a run's page shows as its description
BITS_PER_BYTE = "bits_per_byte"
SHARES_MAX = 20  # named in a tag
DESCRIPTION_CHARACTERS = 5000  # width of the column in MLflow's database


class VerdictNote(TypedDict):
    """What is read of a verdict's file."""

    stage: str
    passed: bool
    critical_failures: NotRequired[int]
    outcomes: NotRequired[list[dict[str, Any]]]


@dataclass(frozen=True)
class ModelRecord:
    """What explains a model: `data` in chain order, verdicts as JSON files, card as Markdown."""

    training: Artifact
    evaluation: Artifact
    data: Sequence[Artifact]
    verdict_files: Sequence[Path]
    params: Mapping[str, Any]
    card: str
    promotion: PromotionConfig = field(default_factory=PromotionConfig)
    sources: Sequence[str] = ()  # paths of the corpus; empty where there is none, as in finetuning
    origin: Callable[[], Sequence[Path]] = tuple  # writes the files it can be made again by

    @property
    def description(self) -> str:
        """The card as a version's description, cut to what MLflow's database holds."""
        if len(self.card) <= DESCRIPTION_CHARACTERS:
            return self.card
        end = "\n\n(cut here: the whole card is card.md of the run)"
        kept = self.card[: DESCRIPTION_CHARACTERS - len(end)]
        return kept[: kept.rfind("\n")] + end

    def tags(self) -> dict[str, str]:
        """Return the tags of the run and of the model version."""
        tags = {
            FINGERPRINT: self.training.fingerprint,
            EVALUATION: self.evaluation.fingerprint,
            PROTOCOL: protocol_hash(self.evaluation),
            BITS_PER_BYTE: repr(bits_per_byte_of(self.evaluation)),
            DATA: self.data[-1].fingerprint if self.data else "none",
            GATES: _gate_words(self.verdict_files),
        }
        if "parent" in self.training.stats:
            tags[PARENT] = self.training.stats["parent"]
        if self.sources:
            documents = next(part for part in self.data if part.stage == "dedup")
            tags |= lineage_tags(self.sources, documents)
        tags |= {SHARES[kind]: in_words(parts) for kind, parts in self.shares.items() if parts}
        return tags

    @property
    def trained_from(self) -> str | None:
        """Fingerprint of the training that this one went on from; None of one from scratch."""
        parents = self.training.manifest["inputs"].get("parents", [])
        own = self.training.stage
        return next((p["fingerprint"] for p in parents if p["stage"] == own), None)

    @cached_property
    def shares(self) -> dict[str, dict[str, float]]:
        """Shares of the documents' bytes by 'language' and by 'license', the largest first."""
        documents = next((part for part in self.data if part.stage == "dedup"), None)
        if documents is None:
            return {}
        table = data_table(documents)
        return {"language": shares(table, "lang"), "license": shares(table, "license")}

    def run_tags(self) -> dict[str, str]:
        """Return the tags of the run: the version's without what no person reads, and a summary."""
        tags = {name: value for name, value in self.tags().items() if name != DOCUMENTS}
        return {**tags, SUMMARY: self.summary(), NOTE: self.description}

    def summary(self) -> str:
        """Return the model's size, training and figure in a line."""
        stats = self.training.stats
        counts = (("parameters", "parameters"), ("tokens_seen", "tokens seen"))
        size = [f"{stats[key]:,} {word}" for key, word in counts if stats.get(key)]
        return ", ".join([*size, f"{bits_per_byte_of(self.evaluation):.3f} bits per byte"])

    def log(self, run: RunLog) -> None:
        """Write all of it into an open run."""
        from model.reports import plots  # 1 s to import, needed only here

        run.params(self.params)
        speed = throughput_of(self.training)
        run.curves(self.training, speed, data_waits_of(self.training))  # first on the run's page
        self.log_evaluation(run)
        run.figures(funnel_figures(self.data))
        run.figures(mixture_figures(self.training.stats))
        run.figures(probe_figures(self.training.stats.get("figures", [])))
        run.figures(
            {
                metric_name(f"data/{kind}_share/{name}"): share
                for kind, parts in self.shares.items()
                for name, share in parts.items()
            }
        )
        run.metrics(source_losses(self.training.stats))
        measured = self.training.path / MEASURED_FILE
        if measured.exists():
            run.file(measured)
        run.figures(spent_figures(self.training))
        for part in self.data:
            run.dataset(part, "training")
        with tempfile.TemporaryDirectory() as folder:
            files = plots.draw(Path(folder), self.training, self.evaluation, self.data, speed)
            for plot in files:
                run.file(plot, "plots")

    def log_evaluation(self, run: RunLog, step: int = 0) -> None:
        """Write the part that another evaluation of the same model changes."""
        run.figures(evaluation_figures(self.evaluation), step)
        for path in self.verdict_files:
            run.text(path.read_text(encoding="utf-8"), f"gates/{_stage_of(path)}.json")
        tables = {name: self.evaluation.rows_of(name) for name in ("figures", "examples")}
        _log_tables(run, tables)
        for path in self.origin():
            run.file(path, ORIGIN)
        run.text(self.card, "card.md")


def log_figures(
    run: RunLog, figures: Sequence[dict[str, Any]], examples: Sequence[dict[str, Any]]
) -> None:
    """Write figures of probes and tasks into a run under the names that a recipe's have."""
    from model.reports import plots

    run.figures(probe_figures(figures))
    _log_tables(run, {"figures": figures, "examples": examples})
    with tempfile.TemporaryDirectory() as folder:
        for plot in plots.draw_figures(Path(folder), figures):
            run.file(plot, "plots")


def _log_tables(run: RunLog, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    for name, rows in tables.items():
        if rows:
            rows = [_counted_not_copied(row) for row in rows]
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            run.text(lines, f"evaluation/{name}.jsonl")


def _counted_not_copied(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with placeholders for the personal data in its texts."""
    names = [name for name, value in row.items() if isinstance(value, str)]
    texts = without_personal_data(pl.Series([row[name] for name in names], dtype=pl.String))
    return {**row, **dict(zip(names, texts, strict=True))}


def in_words(parts: Mapping[str, float]) -> str:
    """Return shares as a tag that is read and searched: 'zh 61.0 %, en 39.0 %'."""
    shown = [f"{name} {share:.1%}".replace("%", " %") for name, share in parts.items()]
    more = f", and {len(shown) - SHARES_MAX} more" if len(shown) > SHARES_MAX else ""
    return ", ".join(shown[:SHARES_MAX]) + more


def _stage_of(verdict_file: Path) -> str:
    return storage.read_json(verdict_file, VerdictNote)["stage"]


def _gate_words(verdict_files: Sequence[Path]) -> str:
    verdicts = [storage.read_json(path, VerdictNote) for path in verdict_files]
    failed = [verdict["stage"] for verdict in verdicts if verdict.get("critical_failures")]
    not_passed = [verdict["stage"] for verdict in verdicts if not verdict["passed"]]
    warned = [stage for stage in not_passed if stage not in failed]
    words = [f"failed: {', '.join(failed)}"] if failed else [f"{len(verdicts)} passed"]
    return "; ".join([*words, f"warnings: {', '.join(warned)}"] if warned else words)
