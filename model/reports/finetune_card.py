"""The card of a fine-tuned model: what it came from, what taught it, how well it answers."""

from model.reports.markdown import markdown_table
from pipeline.prompts.task_templates import PREFERENCE
from pipeline.store.artifact import Artifact


def render(
    examples: Artifact, tuned: Artifact, evaluation: Artifact, name: str, parent: str
) -> str:
    """Return the card as Markdown; the same artifacts and names give the same text."""
    stats, config = tuned.stats, tuned.manifest["inputs"]["config"]
    how = "all weights"
    if config["lora"]:
        how = f"adapters of rank {config['lora']['rank']}, merged into the weights"
    sections = [
        f"# {name}",
        f"A language model with {stats['parameters']:,} parameters, fine-tuned by textmill for the "
        f"task `{stats['task']}` from `{parent}` (content {stats['parent'][:16]}).",
        "## How to use it",
        f'```\ntextmill generate models:/{name}@champion "..."\ntextmill serve models:/{name}'
        f"@champion\n```",
        "Ask as it was taught: the prompt of an example, or for conversations the roles as the "
        "tokenizer writes them.",
        "## What taught it",
        markdown_table(("", "examples"), _counts(examples, tuned), 1),
        f"Trained: {how}; {config['epochs']:g} epochs, seed {config['seed']}, {_learned(tuned)}.",
        *_preferences(tuned),
        "## How well it answers",
        markdown_table(
            (
                "held-out answers",
                "examples",
                "bits per byte",
                "interval",
                "token accuracy",
                "unigram",
            ),
            _figures(evaluation),
            5,
        ),
        "Perplexity of answers says nothing about whether they are true, and held-out examples "
        "come from the same collections as those that taught it.",
    ]
    return "\n\n".join(sections) + "\n"


def _counts(examples: Artifact, tuned: Artifact) -> list[tuple[str, str]]:
    ledger = examples.ledger
    rows = [("read", f"{ledger.seen:,}"), ("learned from", f"{tuned.stats['examples']:,}")]
    rows += [(f"quarantined: {reason}", f"{n:,}") for reason, n in ledger.quarantined.most_common()]
    rows += [(f"left out: {why}", f"{n:,}") for why, n in tuned.ledger.dropped.most_common()]
    return [*rows, ("prompts shortened to fit", f"{tuned.stats['prompts_cut']:,}")]


def _learned(tuned: Artifact) -> str:
    """Say what was learned: answers, or which of two is the better one."""
    if tuned.stats["task"] != PREFERENCE:
        return "loss on answers alone"
    preference = tuned.manifest["inputs"]["config"]["preference"]
    values = [f"{name} {preference[name]:g}" for name in ("beta", "margin") if preference[name]]
    return ", ".join([f"preferences by {preference['loss'].upper()}", *values])


def _preferences(tuned: Artifact) -> list[str]:
    """Return what held-out pairs say of a model that learned preferences."""
    if "figures" not in tuned.stats:
        return []
    rows = [
        (
            row["name"].removeprefix("preference."),
            f"{row['value']:.3f}",
            "" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}",
            f"{row['examples']:,}",
            row["meaning"],
        )
        for row in tuned.stats["figures"]
    ]
    header = ("figure", "value", "95 % interval", "pairs", "what it says")
    return ["## What it prefers", markdown_table(header, rows)]


def _figures(evaluation: Artifact) -> list[tuple[str, ...]]:
    return [
        (
            row["name"],
            f"{row['documents']:,}",
            f"{row['bits_per_byte']:.3f}",
            f"{row['bits_per_byte_low']:.3f} to {row['bits_per_byte_high']:.3f}"
            if row["bits_per_byte_low"] is not None
            else "",
            f"{row['accuracy']:.1%}",
            f"{row['unigram_bits_per_byte']:.3f}",
        )
        for row in evaluation.rows_of()
    ]
