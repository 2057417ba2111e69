"""A promotion's ledger in MLflow: judged, then stored with the challenger's run as evidence."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.evaluation.paired import DocumentCost
from model.promotion.ledger import PromotionLedger
from model.promotion.rule import Challenger, ReigningChampion
from model.promotion.rule import judge as judge_contenders
from model.registry.metric_names import metric_name
from model.registry.model_record import ModelRecord, VerdictNote
from model.registry.tracking import RunLog
from pipeline.store import storage

if TYPE_CHECKING:
    from model.registry.tracking import ModelVersion

FOLDER = "promotion"  # of the run's artifacts
LEDGER = "ledger.json"


def judge(
    run: RunLog,
    record: ModelRecord,
    number: str,
    champion: "ModelVersion",
    champion_scores: Sequence[DocumentCost],
) -> PromotionLedger:
    """Hold version `number` against the champion and store the ledger with its run."""
    challenger = _challenger(record, number)
    metrics = run.client.get_run(champion.run_id).data.metrics if champion.run_id else {}
    names = {*challenger.figures, *(str(o["metric"]) for o in challenger.outcomes)}
    rival = ReigningChampion(str(champion.version), champion_scores, _figures_of(metrics, names))
    ledger = judge_contenders(challenger, rival, record.promotion)
    log_ledger(run, ledger)
    return ledger


def log_ledger(run: RunLog, ledger: PromotionLedger) -> None:
    """Store a ledger as JSON, as a page and as a plot."""
    from model.reports import promotion_plot  # matplotlib takes a second to import

    run.text(json.dumps(ledger.to_json(), ensure_ascii=False, indent=1), f"{FOLDER}/{LEDGER}")
    run.text(ledger.to_markdown(), f"{FOLDER}/ledger.md")
    with tempfile.TemporaryDirectory() as folder:
        for plot in promotion_plot.draw(Path(folder), ledger.to_json()):
            run.file(plot, FOLDER)


def _challenger(record: ModelRecord, number: str) -> Challenger:
    verdicts = [storage.read_json(path, VerdictNote) for path in record.verdict_files]
    figures = record.evaluation.rows_of("figures")
    return Challenger(
        version=number,
        documents=record.evaluation.rows_of("documents"),
        figures={row["name"]: row["value"] for row in figures},
        intervals={row["name"]: (row["low"], row["high"]) for row in figures},
        outcomes=[
            outcome
            for verdict in verdicts
            if verdict["stage"] == record.evaluation.stage
            for outcome in verdict.get("outcomes", [])
        ],
        failed_gates=[verdict["stage"] for verdict in verdicts if verdict.get("critical_failures")],
    )


def _figures_of(metrics: Mapping[str, float], names: Sequence[str] | set[str]) -> dict[str, Any]:
    """Return those of a run's metrics that are probes' and tasks' figures, by the figure's name."""
    by_name = {name: metric_name(f"evaluate/{name.replace('.', '/')}/value") for name in names}
    return {name: metrics[metric] for name, metric in by_name.items() if metric in metrics}
