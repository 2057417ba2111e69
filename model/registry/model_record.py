"""Everything that goes with a model into its run and version: data, figures, verdicts, card."""

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NotRequired

import pyarrow.parquet as pq
from pydantic import Field
from typing_extensions import TypedDict

from model.planning import usage
from model.registry.lineage import DOCUMENTS, lineage_tags
from model.registry.metric_names import GLANCE, metric_name
from model.registry.tracking import FINGERPRINT, RunLog
from model.training.curve import MEASURED_FILE, SPEED_FILE
from pipeline.errors import ArtifactError
from pipeline.store import storage
from pipeline.store.artifact import Artifact

EVALUATION = "textmill.evaluation"
YARDSTICK = "textmill.yardstick"
DATA = "textmill.data"
PARENT = "textmill.parent"  # content of the model that this one was fine-tuned from
GATES = "textmill.gates"
SUMMARY = "textmill.summary"
NOTE = "mlflow.note.content"  # what a run's page shows as its description
BITS_PER_BYTE = "bits_per_byte"
HEADLINES = ("bits_per_byte", "perplexity")  # of all text: under GLANCE too
DESCRIPTION_CHARACTERS = 5000  # width of the column in MLflow's database
FIGURES = (
    "documents",
    "tokens",
    "loss",
    "perplexity",
    "accuracy",
    "bits_per_byte",
    "bits_per_byte_low",
    "bits_per_byte_high",
    "calibration_error",
    "unigram_bits_per_byte",
    "ngram_bits_per_byte",
    "ppmd_bits_per_byte",
    "xz_bits_per_byte",
)
MODELS = ("train", "finetune")  # stages whose artifact is a model
POSITION_FIGURES = ("tokens", "loss", "accuracy", "bits_per_byte", "low", "high")


SPEED_ROWS = list[Annotated[list[float], Field(min_length=2)]]


class VerdictNote(TypedDict):
    """What is read of a verdict's file."""

    stage: str
    passed: bool
    critical_failures: NotRequired[int]


@dataclass(frozen=True)
class Evidence:
    """What explains a model: `data` in chain order, verdicts as JSON files, card as Markdown."""

    training: Artifact
    evaluation: Artifact
    data: Sequence[Artifact]
    verdict_files: Sequence[Path]
    params: Mapping[str, Any]
    card: str
    pages: Sequence[Path]
    sources: Sequence[str] = ()  # paths of the corpus; empty where there is none, as in finetuning

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
            YARDSTICK: yardstick(self.evaluation),
            BITS_PER_BYTE: repr(bits_per_byte_of(self.evaluation)),
            DATA: self.data[-1].fingerprint if self.data else "none",
            GATES: _gate_words(self.verdict_files),
        }
        if "parent" in self.training.stats:
            tags[PARENT] = self.training.stats["parent"]
        if self.sources:
            documents = next(one for one in self.data if one.stage == "dedup")
            tags |= lineage_tags(self.sources, documents)
        return tags

    def run_tags(self) -> dict[str, str]:
        """Return the tags of the run: the version's without what no person reads, and a summary."""
        tags = {name: value for name, value in self.tags().items() if name != DOCUMENTS}
        return {**tags, SUMMARY: self.summary(), NOTE: self.description}

    def summary(self) -> str:
        """Return the model's size, training and figure in a line."""
        stats = self.training.stats
        counts = (("parameters", "parameters"), ("tokens_seen", "tokens seen"))
        said = [f"{stats[key]:,} {word}" for key, word in counts if stats.get(key)]
        return ", ".join([*said, f"{bits_per_byte_of(self.evaluation):.3f} bits per byte"])

    def log(self, run: RunLog) -> None:
        """Write all of it into an open run."""
        from model.reports import plots  # 1 s to import, needed only here

        run.params(self.params)
        speed = throughput_of(self.training)
        run.curves(self.training, speed, data_waits_of(self.training))  # first on the run's page
        self.log_evaluation(run)
        run.metrics([(name, value, 0) for name, value in funnel_figures(self.data).items()])
        mixture = mixture_figures(self.training.stats)
        run.metrics([(name, value, 0) for name, value in mixture.items()])
        run.metrics(source_losses(self.training.stats))
        measured = self.training.path / MEASURED_FILE
        if measured.exists():
            run.file(measured)
        run.metrics([(name, value, 0) for name, value in spent_figures(self.training).items()])
        for part in self.data:
            run.dataset(part, "training")
        with tempfile.TemporaryDirectory() as folder:
            made = plots.draw(Path(folder), self.training, self.evaluation, self.data, speed)
            for plot in made:
                run.file(plot, "plots")

    def log_evaluation(self, run: RunLog, step: int = 0) -> None:
        """Write the part that another evaluation of the same model changes."""
        figures = evaluation_figures(self.evaluation)
        run.metrics([(name, value, step) for name, value in figures.items()])
        for path in self.verdict_files:
            run.text(path.read_text(encoding="utf-8"), f"gates/{_stage_of(path)}.json")
        tables = {name: self.evaluation.rows_of(name) for name in ("figures", "examples")}
        _log_tables(run, tables)
        for page in self.pages:
            run.file(page)
        run.text(self.card, "card.md")


def log_figures(
    run: RunLog, figures: Sequence[dict[str, Any]], examples: Sequence[dict[str, Any]]
) -> None:
    """Write figures of probes and tasks into a run under the names that a recipe's have."""
    from model.reports import plots

    found: dict[str, float] = {}
    _enter_figures(found, figures)
    run.metrics([(name, value, 0) for name, value in found.items()])
    _log_tables(run, {"figures": figures, "examples": examples})
    with tempfile.TemporaryDirectory() as folder:
        for plot in plots.draw_figures(Path(folder), figures):
            run.file(plot, "plots")


def _log_tables(run: RunLog, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    for name, rows in tables.items():
        if rows:
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            run.text(lines, f"evaluation/{name}.jsonl")


def source_losses(stats: Mapping[str, Any]) -> list[tuple[str, float, int]]:
    """Return the held-out loss by source as (metric name, value, step)."""
    return [
        (metric_name(f"validation/source/{row['source']}/loss"), row["loss"], row["step"])
        for row in stats.get("source_losses", [])
    ]


def funnel_figures(data: Sequence[Artifact]) -> dict[str, float]:
    """Return rows in, rows kept and text bytes of each data stage as {metric name: value}."""
    found: dict[str, float] = {}
    for made in data:
        found[f"data/{made.stage}/rows_in"] = made.ledger.seen
        found[f"data/{made.stage}/rows_kept"] = made.ledger.kept
        if made.text_bytes:
            found[f"data/{made.stage}/text_bytes"] = made.text_bytes
    return found


def mixture_figures(stats: Mapping[str, Any]) -> dict[str, float]:
    """Return what a training's data was made of as {metric name: value}.

    `data/share/SOURCE/LANG`, `data/epochs/SOURCE/LANG` and what was padded or left out, if any.
    """
    skipped = stats.get("skipped_parts", [])
    left_out = {
        "data/padding_share": stats.get("padding_share", 0.0),
        "data/skipped_parts": len(skipped),
        "data/skipped_tokens": sum(entry["tokens"] or 0 for entry in skipped),
    }
    found = {name: value for name, value in left_out.items() if value}
    for row in stats.get("mixture", []):
        for figure in ("share", "epochs"):
            found[metric_name(f"data/{figure}/{row['source']}/{row['lang']}")] = row[figure]
    return found


def evaluation_figures(evaluation: Artifact) -> dict[str, float]:
    """Return an evaluation's tables as {metric name: value}, without figures that are not finite.

    `evaluate/all/...`, `evaluate/lang/NAME/...`, `evaluate/source/NAME/...`,
    `evaluate/position/FIRST-LAST/...` and, of probes and tasks, `evaluate/bias/gap/zh/value`;
    `at_a_glance/...` is what counts.
    """
    found: dict[str, float] = {}
    for row in evaluation.rows_of():
        if row["kind"] == "all":
            headlines = {f"{GLANCE}/{name}": row.get(name) for name in HEADLINES}
            found |= {n: v for n, v in headlines.items() if v is not None and math.isfinite(v)}
        place = "all" if row["kind"] == "all" else f"{row['kind']}/{row['name']}"
        _enter(found, place, {figure: row.get(figure) for figure in FIGURES})
    for row in evaluation.rows_of("positions"):
        place = f"position/{row['first']}-{row['last']}"
        _enter(found, place, {figure: row[figure] for figure in POSITION_FIGURES})
    _enter_figures(found, evaluation.rows_of("figures"))
    return found


def _enter_figures(found: dict[str, float], figures: Sequence[Mapping[str, Any]]) -> None:
    for row in figures:
        wanted = ("value", "low", "high", "examples")
        _enter(found, row["name"].replace(".", "/"), {figure: row[figure] for figure in wanted})


def _enter(found: dict[str, float], place: str, figures: Mapping[str, float | None]) -> None:
    for figure, value in figures.items():
        name = metric_name(f"evaluate/{place}/{figure}")
        while name in found:  # two sources whose names differ in refused characters only
            name += "_"
        if value is not None and math.isfinite(value):
            found[name] = value


def throughput_of(training: Artifact) -> list[tuple[int, float]]:
    """Return (tokens seen, tokens per second) as noted beside the artifact; empty if it was not."""
    path = training.path / SPEED_FILE
    return [(seen, rate) for seen, rate, *_ in storage.recall_json(path, SPEED_ROWS) or []]


def data_waits_of(training: Artifact) -> list[tuple[int, float]]:
    """Return (tokens seen, share of the time that went into waiting for batches), where noted."""
    path = training.path / SPEED_FILE
    rows = storage.recall_json(path, SPEED_ROWS) or []
    return [(seen, waited[0]) for seen, _, *waited in rows if waited]


def spent_figures(training: Artifact) -> dict[str, float]:
    """Return what training took as {metric name: value}: time, rate, FLOPs, MFU, memory, disk."""
    noted = usage.read(training) or {}
    return {
        f"spent/{name}": value for name, value in noted.items() if isinstance(value, int | float)
    }


def bits_per_byte_of(evaluation: Artifact) -> float:
    """Return the figure over all held-out text; raise ArtifactError if there is no such row."""
    for part in evaluation.parts():
        for row in pq.read_table(part, columns=["kind", "bits_per_byte"]).to_pylist():
            if row["kind"] == "all":
                return row["bits_per_byte"]
    raise ArtifactError(
        f"{evaluation.path}: no row of kind 'all', so the model cannot be compared; "
        f"run `textmill evaluate` again"
    )


def yardstick(evaluation: Artifact) -> str:
    """Return a hash of how and on what text was measured: the fingerprint without the model."""
    inputs = dict(evaluation.manifest["inputs"])
    inputs["parents"] = [p for p in inputs.get("parents", []) if p["stage"] not in MODELS]
    return storage.sha256_text(storage.canonical_json(inputs))


def _stage_of(verdict_file: Path) -> str:
    return storage.read_json(verdict_file, VerdictNote)["stage"]


def _gate_words(verdict_files: Sequence[Path]) -> str:
    verdicts = [storage.read_json(path, VerdictNote) for path in verdict_files]
    failed = [one["stage"] for one in verdicts if one.get("critical_failures")]
    warned = [one["stage"] for one in verdicts if not one["passed"] and one["stage"] not in failed]
    words = [f"failed: {', '.join(failed)}"] if failed else [f"{len(verdicts)} passed"]
    return "; ".join([*words, f"warnings: {', '.join(warned)}"] if warned else words)
