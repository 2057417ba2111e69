"""What a report shows, as JSON: taken from a run's records once, drawn as often as is wanted.

Every figure is the manifests'. Lists are cut to what a person reads, so that a snapshot has a bound
whatever the run; it stays readable after its artifacts are pruned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from typing_extensions import TypedDict

from expectations.expect import Verdict
from flows.reports.run_page import data_part, model_part
from flows.reports.run_page.shown_text import one_line, shown
from flows.reports.samples import ShownContinuation
from model.promotion.ledger import PromotionLedger
from pipeline.stage import StageRun
from pipeline.store.artifact import Artifact

SNAPSHOT_FORMAT: Literal[2] = 2  # one of another format is taken again
SETTINGS_MAX, VALUE_CHARACTERS = 600, 160
PATHS_MAX = 100
OUTCOMES_MAX = 60  # of a gate; those that failed come first
WORDS_CHARACTERS = 2000
TOKENIZED_CHARACTERS = 160
# How a run ended.
REGISTERED, CORPUS_MADE, GATE, FAILED, INTERRUPTED = (
    "registered",
    "corpus",
    "gate",
    "failed",
    "interrupted",
)


@dataclass(frozen=True)
class Ending:
    """How a run ended, at which stage, and what was said; `next_step` where one is known."""

    how: str
    stage: str = ""
    words: str = ""
    next_step: str = ""


@dataclass(frozen=True)
class RunFacts:
    """A run's records, opened: what a snapshot is taken of.

    `settings` are the recipe's as dotted keys, with what differs from the defaults in `changed`;
    `plan` is what was planned of training, `spent` what it took.
    """

    name: str
    number: int
    runs: Mapping[str, StageRun]
    verdicts: Sequence[Verdict]
    ending: Ending
    description: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    changed: Sequence[str] = ()
    registration: Mapping[str, Any] | None = None
    ledger: PromotionLedger | None = None
    plan: Mapping[str, Any] | None = None
    spent: Mapping[str, Any] | None = None
    samples: Sequence[ShownContinuation] = ()
    source_paths: Sequence[str] = ()  # as they are shown
    ended_at: str = ""  # ISO 8601, UTC

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Artifacts by stage."""
        return {name: run.artifact for name, run in self.runs.items()}


class Snapshot(TypedDict):
    """The shape of a stored snapshot, as far as it is relied on."""

    format: Literal[2]
    name: str
    number: int
    ending: dict[str, str]
    stages: list[dict[str, Any]]
    funnel: list[dict[str, Any]]
    settings: dict[str, Any]
    contents: list[dict[str, Any]]
    source_paths: list[str]


def take(facts: RunFacts) -> dict[str, Any]:
    """Return the snapshot of a run; equal records give an equal one."""
    artifacts = facts.artifacts
    train, evaluation = artifacts.get("train"), artifacts.get("evaluate")
    tokenizer = artifacts.get("tokenizer")
    texts = [(s.lang, s.prompt + (s.real or "")) for s in facts.samples]
    return {
        "format": SNAPSHOT_FORMAT,
        "name": facts.name,
        "number": facts.number,
        "description": shown(facts.description, 400),
        "ended_at": facts.ended_at,
        "ending": {k: shown(v, WORDS_CHARACTERS) for k, v in asdict(facts.ending).items()},
        "registration": facts.registration,
        "settings": {
            one_line(key, 120): one_line(value, VALUE_CHARACTERS)
            for key, value in list(facts.settings.items())[:SETTINGS_MAX]
            if value != {}  # a table without entries
        },
        "changed": list(facts.changed)[:SETTINGS_MAX],
        "stages": [_stage(run) for run in facts.runs.values()],
        "funnel": data_part.funnel_part(facts.runs),
        "rejects": data_part.rejects_part(artifacts),
        "pairs": data_part.pairs_part(artifacts),
        "sources": data_part.sources_part(artifacts.get("shard")),
        "contents": data_part.contents_part(artifacts),
        "shards": data_part.files_part(artifacts.get("shard")),
        "tokens": artifacts["shard"].stats.get("tokens") if "shard" in artifacts else None,
        "model_files": data_part.listed_part(train),
        "source_paths": [one_line(path, 200) for path in list(facts.source_paths)[:PATHS_MAX]],
        "personal_data": _personal_data(artifacts.get("clean")),
        "gates": [_gate(verdict) for verdict in facts.verdicts],
        "tokenizer": tokenizer
        and model_part.tokenizer_part(
            tokenizer, [(lang, text[:TOKENIZED_CHARACTERS]) for lang, text in texts]
        ),
        "training": train and model_part.training_part(train),
        "evaluation": evaluation and model_part.evaluation_part(evaluation),
        "champion": model_part.champion_part(facts.ledger),
        "plan": facts.plan,
        "spent": facts.spent,
        "samples": model_part.samples_part(facts.samples),
    }


def _personal_data(clean: Artifact | None) -> dict[str, Any]:
    """Return what was done about personal data and how often each kind was found."""
    stats = {} if clean is None else clean.stats
    return {"action": stats.get("pii_action", "off"), "found": stats.get("pii", {})}


def _stage(run: StageRun) -> dict[str, Any]:
    artifact = run.artifact
    inputs = artifact.manifest["inputs"]
    return {
        "stage": artifact.stage,
        "fingerprint": artifact.fingerprint,
        "contract": artifact.contract,
        "seconds": artifact.timing.get("seconds"),
        "bytes": artifact.bytes_on_disk,
        "reused": run.reused,
        "code": inputs.get("code"),
        "libraries": inputs.get("libraries", {}),
        "parents": [
            {"stage": parent["stage"], "fingerprint": parent["fingerprint"]}
            for parent in inputs.get("parents", [])
        ],
        "files": artifact.stats.get("files"),
        "in": artifact.ledger.seen,
        "kept": artifact.ledger.kept,
    }


def _gate(verdict: Verdict) -> dict[str, Any]:
    outcomes = sorted(
        verdict.outcomes, key=lambda item: (item.passed, item.expect.severity != "critical")
    )
    return {
        "stage": verdict.stage,
        "word": verdict.word,
        "expectations": len(verdict.outcomes),
        "failed": len(verdict.failures),
        "outcomes": [
            {
                "metric": one_line(item.metric, 100),
                "severity": item.expect.severity,
                "observed": item.observed,
                "wanted": item.bounds,
                "passed": item.passed,
                "because": shown(item.expect.because, 400),
                "next_step": "" if item.passed else shown(item.expect.next_step, 400),
            }
            for item in outcomes[:OUTCOMES_MAX]
        ],
    }
