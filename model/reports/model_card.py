"""The model card: what the model is, what it is made of, how good it is, where its limits are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from model.reports import model_card_evaluation
from model.reports.data_shares import data_table
from model.reports.markdown import flatten, language, markdown_table, size
from pipeline.schema import DOCUMENT_STAGES
from pipeline.store.artifact import Artifact

ROWS_SHOWN = 40


class MetricOutcome(Protocol):
    """One expectation of a gate and what was found."""

    @property
    def metric(self) -> str:
        """Name of the figure looked at."""
        ...

    @property
    def observed(self) -> float | None:
        """The figure; None if it was missing."""
        ...


class GateVerdict(Protocol):
    """What a gate said about one artifact."""

    @property
    def stage(self) -> str:
        """The stage it looked at."""
        ...

    @property
    def outcomes(self) -> Sequence[MetricOutcome]:
        """Every expectation."""
        ...

    @property
    def failures(self) -> Sequence[MetricOutcome]:
        """Those not met."""
        ...

    @property
    def critical_failures(self) -> Sequence[MetricOutcome]:
        """Those not met that stop a run."""
        ...


def render(artifacts: Sequence[Artifact], verdicts: Sequence[GateVerdict], name: str) -> str:
    """Return the card as Markdown, from the chain's artifacts in order; missing ones are left out.

    The same artifacts give the same text: no dates, no paths.
    """
    artifact_of = {artifact.stage: artifact for artifact in artifacts}
    sections = [
        _summary(artifact_of, name),
        _use(artifact_of, name),
        *model_card_evaluation.sections(artifact_of.get("evaluate")),
        _limits(artifact_of),
        _data(artifact_of),
        _cleaning(artifacts),
        _tokenizer(artifact_of),
        _gates(verdicts),
        _training(artifact_of),
        _identity(artifacts),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _summary(artifact_of: Mapping[str, Artifact], name: str) -> str:
    train = artifact_of.get("train")
    parameters = train.stats.get("parameters") if train else None
    large = f" with {parameters:,} parameters" if parameters else ""
    return (
        f"# {name}\n\nA decoder-only language model{large} that continues text, made by textmill "
        f"from the corpus described below. It is a base model: it was not tuned to follow "
        f"instructions or to converse."
    )


def _use(artifact_of: Mapping[str, Artifact], name: str) -> str:
    return (
        "## How to use it\n\n"
        "```\n"
        f'textmill generate models:/{name}@champion "The "\n'
        f"textmill serve models:/{name}@champion\n"
        "```\n\n"
        "From Python, with textmill installed beside mlflow (the stored model holds weights, "
        "tokenizer and settings, not textmill's code):\n\n"
        "```python\n"
        "import mlflow\n"
        f'model = mlflow.pyfunc.load_model("models:/{name}@champion")\n'
        'model.predict(["人工智能"], params={"max_new_tokens": 40, "seed": 1})\n'
        "```"
    )


def _data(artifact_of: Mapping[str, Artifact]) -> str:
    documents = next(
        (artifact_of[name] for name in ("dedup", "clean", "ingest") if name in artifact_of), None
    )
    if documents is None or not documents.parts():
        return ""
    table = data_table(documents)
    rows = [
        (
            row["source"],
            language(row["lang"]),
            row["license"],
            f"{row['documents']:,}",
            size(row["bytes"]),
        )
        for row in table.head(ROWS_SHOWN).iter_rows(named=True)
    ]
    text = (
        f"## Data\n\nAfter the stage `{documents.stage}`: {table['documents'].sum():,} documents, "
    )
    text += f"{size(int(table['bytes'].sum()))} of text.\n\n"
    text += markdown_table(("source", "language", "licence", "documents", "text"), rows, numbers=2)
    if len(table) > ROWS_SHOWN:
        text += f"\n\nand {len(table) - ROWS_SHOWN} smaller groups."
    return text


def _cleaning(artifacts: Sequence[Artifact]) -> str:
    rows = []
    for artifact in artifacts:
        if artifact.stage not in DOCUMENT_STAGES:
            continue
        ledger = artifact.ledger
        gone = [f"{rule} {count:,}" for rule, count in ledger.dropped.most_common()]
        gone += [f"quarantined: {why} {count:,}" for why, count in ledger.quarantined.most_common()]
        rows.append(
            (artifact.stage, f"{ledger.seen:,}", f"{ledger.kept:,}", ", ".join(gone) or "none")
        )
    if not rows:
        return ""
    header = ("stage", "documents in", "kept", "dropped by rule")
    return "## Cleaning and deduplication\n\n" + markdown_table(header, rows)


def _tokenizer(artifact_of: Mapping[str, Artifact]) -> str:
    if "tokenizer" not in artifact_of:
        return ""
    rows = []
    for row in artifact_of["tokenizer"].rows_of():
        tokens = max(row["tokens"], 1)
        rows.append(
            (
                language(row["lang"]),
                f"{row['bytes'] / tokens:.2f}",
                f"{row['tokens'] / max(row['words'], 1):.2f}",
                f"{row['byte_tokens'] / tokens:.2%}",
                f"{row['round_trip_failures']:,} of {row['documents']:,}",
            )
        )
    header = (
        "language",
        "bytes per token",
        "tokens per word",
        "byte fallback",
        "round trip failed",
    )
    count = artifact_of["tokenizer"].stats.get("vocab_size")
    pieces = f" {count:,} pieces." if count else ""
    return f"## Tokenizer\n\nSentencePiece with byte fallback.{pieces}\n\n" + markdown_table(
        header, rows, numbers=4
    )


def _training(artifact_of: Mapping[str, Artifact]) -> str:
    train = artifact_of.get("train")
    if train is None:
        return ""
    config = train.manifest["inputs"].get("config", {})
    facts = [
        f"- {words}: {_plain(train.stats[key])}"
        for key, words in (
            ("parameters", "parameters"),
            ("tokens_seen", "training tokens seen"),
            ("precision", "precision"),
        )
        if key in train.stats
    ]
    settings = [(f"`{key}`", _plain(value)) for key, value in flatten(config)]
    curve = train.rows_of()
    if curve:
        last = curve[-1]
        facts.append(
            f"- last step {last['step']:,}, training loss {last['loss']:.3f} nats per token"
        )
    text = (
        "## Architecture and training\n\nA Llama-style decoder: RMSNorm, rotary positions, SwiGLU."
    )
    text += "\n\n" + "\n".join(facts)
    return text + ("\n\n" + markdown_table(("setting", "value"), settings) if settings else "")


def _gates(verdicts: Sequence[GateVerdict]) -> str:
    if not verdicts:
        return ""
    rows = []
    for verdict in verdicts:
        word = "failed" if verdict.critical_failures else "passed"
        notes = [
            f"{item.metric} = {'missing' if item.observed is None else f'{item.observed:.4g}'}"
            for item in verdict.failures
        ]
        rows.append((verdict.stage, word, str(len(verdict.outcomes)), "; ".join(notes) or "none"))
    header = ("after", "verdict", "expectations", "not met")
    return "## Quality gates\n\n" + markdown_table(header, rows)


def _limits(artifact_of: Mapping[str, Artifact]) -> str:
    lines = [
        "- It continues text; it does not answer questions and has no notion of truth.",
        "- It repeats views, errors and personal details that its sources hold.",
        "- Languages and subjects that are rare above are worse than the average says.",
        "- No filter for harmful output is applied when it is served.",
    ]
    seen = artifact_of["train"].stats.get("tokens_seen") if "train" in artifact_of else None
    parameters = artifact_of["train"].stats.get("parameters") if "train" in artifact_of else None
    if seen and parameters and seen < 5 * parameters:
        lines.append(
            f"- It saw {seen / parameters:.1f} training tokens per parameter, where about 20 are "
            f"usual: it is a demonstration rather than a model to rely on."
        )
    return "## Limits\n\n" + "\n".join(lines)


def _identity(artifacts: Iterable[Artifact]) -> str:
    rows = [
        (artifact.stage, f"`{artifact.fingerprint[:16]}`", artifact.contract)
        for artifact in artifacts
    ]
    return "## Made from\n\n" + markdown_table(("stage", "fingerprint", "contract"), rows)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "off"}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)
