"""The public summary of training content after the template of the European Commission.

The template is for providers of general-purpose models (AI Act, article 53 (1) (d)): published on
24 July 2025, and with its explanatory notice as C(2025) 8311 on 5 December 2025. Headings, order
and classes of size are the template's. What a ledger knows is filled in; what only the provider
knows is marked as theirs to state, and no question is answered for them.
"""

from collections.abc import Iterator

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
TITLE = (
    "Public Summary of Training Content for General-Purpose AI models required by Article 53(1)(d) "
    "of Regulation (EU) 2024/1689 (AI Act)"
)
# Classes of size of text, after processing and before training.
CLASSES = ((10**9, "Less than 1 billion tokens"), (10**13, "1 billion to 10 trillion tokens"))
LARGEST = "More than 10 trillion tokens"
TRAIN = "train"


def training_summary(snapshot: Snapshot) -> str:
    """Return the summary as Markdown, in the order of the template."""
    made = snapshot["ended_at"][:10] or "unknown"
    top = f"# {TITLE}\n\nVersion of the Summary: {snapshot['number']}\n\nLast update: {made}"
    unknown = "\n".join(["## What the ledger cannot know", "", *unknown_lines()])
    parts = [top, *_general(snapshot), *_sources(snapshot), *_processing(snapshot), unknown]
    return "\n\n".join(parts) + "\n"


def _general(snapshot: Snapshot) -> Iterator[str]:
    registration = snapshot["registration"] or {}
    name, version = registration.get("name", snapshot["name"]), registration.get("version", "-")
    yield "## 1. General information"
    yield "### 1.1. Provider identification"
    yield f"Provider name and contact details: {THEIRS}"
    yield f"Authorised representative name and contact details: {THEIRS}"
    yield "### 1.2. Model identification"
    yield f"Versioned model name(s): {escape_markdown(f'{name}, version {version}')}"
    yield f"Model dependencies: {_dependencies(snapshot)}"
    yield f"Date of placement of the model on the Union market: {THEIRS}"
    yield "### 1.3. Modalities, overall training data size and other characteristics"
    header = ("Modality", "Training data size", "Types of content")
    yield markdown_table(header, [("Text", _size(snapshot), THEIRS)])
    yield (
        "Latest date of data acquisition/collection for model training: not after "
        f"{snapshot['ended_at'][:10] or 'unknown'}, when the run ended; when the text was "
        "collected is not in the ledger"
    )
    total = sum(row["bytes"] for row in snapshot["contents"])
    named = [f"{lang} ({n / max(total, 1):.1%})" for lang, n in languages(snapshot).items()]
    yield (
        "Description of the linguistic characteristics of the overall training data: "
        f"{', '.join(named) or 'not identified'}; shares of the text's bytes, by language as it "
        "was stated or identified"
    )
    yield f"Other relevant characteristics of the overall training data: {THEIRS}"


def _size(snapshot: Snapshot) -> str:
    """Return the class of size with the figures behind it."""
    by_split = snapshot.get("tokens") or {}
    tokens = by_split.get(TRAIN, sum(row["tokens"] for row in _tokenizer_rows(snapshot)))
    of_size = next((words for most, words in CLASSES if tokens < most), LARGEST)
    total = sum(row["bytes"] for row in snapshot["contents"])
    return (
        f"{of_size}: {tokens:,} tokens; with held-out text {size(total)} in "
        f"{documents_kept(snapshot):,} documents"
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


def _sources(snapshot: Snapshot) -> Iterator[str]:
    hosts = ", ".join(domains(snapshot))
    read = f"read files from these hosts: {escape_markdown(hosts)}" if hosts else "read local files"
    yield "## 2. List of data sources"
    yield (
        "The ledger knows sources by name, language and stated licence; which of the headings "
        f"below each belongs to is the provider's to say. {THEIRS}"
    )
    yield sources_table(snapshot)
    yield f"### 2.1. Publicly available datasets\n\n{THEIRS}"
    yield "### 2.2. Private non-publicly available datasets obtained from third parties"
    yield (
        "#### 2.2.1. Datasets commercially licensed by rightsholders or their representatives\n\n"
        f"{THEIRS}"
    )
    yield f"#### 2.2.2. Private datasets obtained from other third parties\n\n{THEIRS}"
    yield (
        "### 2.3. Data crawled and scraped from online sources\n\n"
        f"textmill does not crawl; it {read}. Crawlers, their purposes and behaviour, periods, and "
        f"the domain names of what those files hold: {THEIRS}"
    )
    yield f"### 2.4. User data\n\n{THEIRS}"
    yield f"### 2.5. Synthetic data\n\n{THEIRS}"
    yield f"### 2.6. Other sources of data\n\n{THEIRS}"


def _processing(snapshot: Snapshot) -> Iterator[str]:
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
    forgotten = sum(row["dropped"].get("forgotten", 0) for row in snapshot["funnel"])
    yield "## 3. Data processing aspects"
    yield (
        "### 3.1. Respect of reservation of rights from text and data mining exception or "
        f"limitation\n\nLicences as stated by sources and records: {stated or 'none'}. Licences "
        f"refused by the recipe: `{refused}`. Documents left out because their removal was asked "
        f"for (`textmill forget`): {forgotten:,}. Opt-out protocols honoured when the text was "
        f"collected, and whether the provider signed the Code of Practice: {THEIRS}"
    )
    yield "### 3.2. Removal of illegal content"
    yield f"Terms blocked by the recipe: `{blocked}`. {THEIRS}"
    yield f"### 3.3. Other information (optional)\n\n{personal_data(snapshot)}"
    header = ("stage", "documents in", "kept", "dropped by rule")
    yield markdown_table(header, [*_funnel(snapshot)])


def _funnel(snapshot: Snapshot) -> Iterator[tuple[str, str, str, str]]:
    for row in snapshot["funnel"]:
        rules = (f"{escape_markdown(rule)} {n:,}" for rule, n in row["dropped"].items())
        told = ", ".join(rules) or "none"
        yield row["stage"], f"{row['documents_in']:,}", f"{row['documents_kept']:,}", told
