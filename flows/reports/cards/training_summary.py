"""The public summary of training content after the template of the EU's AI Office (July 2025).

The template is for providers of general-purpose models (AI Act, article 53 (1) d). What a ledger
knows is filled in; what only the provider knows is marked as theirs to state.
"""

from flows.reports.cards.card_facts import (
    Snapshot,
    documents_kept,
    domains,
    languages,
    licenses,
    personal_data,
    sources_table,
    unknown_lines,
)
from model.reports.markdown import escape_markdown, markdown_table, size

THEIRS = "*To be stated by the provider.*"
# Classes of size of the template, in tokens.
CLASSES = ((10**9, "less than 1 billion tokens"), (10**13, "1 billion to 10 trillion tokens"))


def training_summary(snapshot: Snapshot) -> str:
    """Return the summary as Markdown, in the order of the template."""
    return (
        "\n\n".join([_general(snapshot), _sources(snapshot), _processing(snapshot), _unknown()])
        + "\n"
    )


def _general(snapshot: Snapshot) -> str:
    registration = snapshot["registration"] or {}
    tokens = sum(row["tokens"] for row in _tokenizer_rows(snapshot))
    total = sum(row["bytes"] for row in snapshot["contents"])
    of_size = next(
        (words for most, words in CLASSES if tokens < most), "more than 10 trillion tokens"
    )
    model = (
        f"{registration.get('name', snapshot['name'])}, version {registration.get('version', '-')}"
    )
    named = ", ".join(
        f"{lang} ({n / max(total, 1):.1%})" for lang, n in languages(snapshot).items()
    )
    rows = [
        ("Provider", THEIRS),
        ("Versioned model name", escape_markdown(model)),
        ("Model dependencies", _dependencies(snapshot)),
        ("Date of placement on the Union market", THEIRS),
        ("Modality", "text"),
        (
            "Training data size",
            f"{of_size}: {tokens:,} tokens, {size(total)} of text in "
            f"{documents_kept(snapshot):,} documents",
        ),
        ("Types of content", THEIRS),
        (
            "Latest date of data acquisition",
            f"not after {snapshot['ended_at'][:10] or 'unknown'}, "
            "when the run ended; when the text was collected is not in the ledger",
        ),
        ("Linguistic characteristics", named or "not identified"),
    ]
    return "# Public summary of training content\n\n## 1. General information\n\n" + markdown_table(
        ("", ""), rows
    )


def _dependencies(snapshot: Snapshot) -> str:
    train = next((s for s in snapshot["stages"] if s["stage"] == "train"), None)
    earlier = [
        p["fingerprint"][:16]
        for p in (train or {"parents": []})["parents"]
        if p["stage"] == "train"
    ]
    if earlier:
        return f"training went on from the model with fingerprint {earlier[0]}"
    return "none: trained from random weights"


def _tokenizer_rows(snapshot: Snapshot) -> list[dict[str, int]]:
    rows = (snapshot["tokenizer"] or {"languages": []})["languages"]
    return [row for row in rows if row["lang"] == "all"] or rows


def _sources(snapshot: Snapshot) -> str:
    hosts = ", ".join(domains(snapshot))
    read = f"read files from these hosts: {escape_markdown(hosts)}" if hosts else "read local files"
    return "\n\n".join(
        [
            "## 2. List of data sources",
            "The ledger knows sources by name, language and stated licence; which of the headings "
            f"below each belongs to is the provider's to say. {THEIRS}",
            sources_table(snapshot),
            "### 2.1 Publicly available datasets\n\n" + THEIRS,
            "### 2.2 Private datasets obtained from third parties\n\n" + THEIRS,
            f"### 2.3 Data crawled and scraped from online sources\n\ntextmill does not crawl; it "
            f"{read}. Crawlers, periods and domains of what those files hold: {THEIRS}",
            "### 2.4 User data\n\n" + THEIRS,
            "### 2.5 Synthetic data\n\n" + THEIRS,
            "### 2.6 Other sources\n\n" + THEIRS,
        ]
    )


def _processing(snapshot: Snapshot) -> str:
    rows = [
        (
            row["stage"],
            f"{row['documents_in']:,}",
            f"{row['documents_kept']:,}",
            ", ".join(f"{escape_markdown(rule)} {n:,}" for rule, n in row["dropped"].items())
            or "none",
        )
        for row in snapshot["funnel"]
    ]
    stated = ", ".join(
        f"{escape_markdown(name)} ({size(n)})" for name, n in licenses(snapshot).items()
    )
    refused, blocked = (
        {"()": "none", "[]": "none"}.get(words, words)
        for words in (
            str(snapshot["settings"].get(f"clean.lists.{name}", "()"))
            for name in ("refused_licenses", "blocked_terms")
        )
    )
    return "\n\n".join(
        [
            "## 3. Data processing aspects",
            "### 3.1 Respect of reservation of rights (text and data mining)\n\nLicences as stated "
            f"by sources and records: {stated or 'none'}. Licences refused by the recipe: "
            f"`{refused}`. Opt-out protocols honoured when the text was collected: {THEIRS}",
            f"### 3.2 Removal of illegal content\n\nTerms blocked by the recipe: `{blocked}`. "
            f"{THEIRS}",
            "### 3.3 Other information\n\n"
            + personal_data(snapshot)
            + "\n\n"
            + markdown_table(("stage", "documents in", "kept", "dropped by rule"), rows),
        ]
    )


def _unknown() -> str:
    return "\n".join(["## What the ledger cannot know", "", *unknown_lines()])
