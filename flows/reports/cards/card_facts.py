"""What all cards say alike, from a snapshot of a run; and what its ledger cannot know."""

from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from model.reports.data_shares import NOT_STATED
from model.reports.markdown import escape_markdown, markdown_table, size
from pipeline.reading.remote import is_remote
from pipeline.schema import UNKNOWN_LANGUAGE

Snapshot = Mapping[str, Any]
# Licences as model hubs name them; another one is 'other' with its name beside it.
HUB_LICENSES = {
    "afl-3.0",
    "agpl-3.0",
    "apache-2.0",
    "artistic-2.0",
    "bsd-2-clause",
    "bsd-3-clause",
    "bsl-1.0",
    "cc-by-2.0",
    "cc-by-2.5",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc0-1.0",
    "ecl-2.0",
    "epl-2.0",
    "gfdl",
    "gpl-2.0",
    "gpl-3.0",
    "isc",
    "lgpl-2.1",
    "lgpl-3.0",
    "mit",
    "mpl-2.0",
    "odbl",
    "odc-by",
    "osl-3.0",
    "pddl",
    "unlicense",
    "wtfpl",
    "zlib",
}
UNKNOWN = (
    "who wrote or collected the text, when, and whether they agreed; the ledger begins with files",
    "whether a licence that a source or record states is true, and what laws allow",
    "what personal data the detectors did not find, and whose they are",
    "what opinions, errors and gaps the text has beyond the figures here",
    "what becomes of the model or the data once they leave the store",
)


def languages(snapshot: Snapshot) -> dict[str, int]:
    """Return bytes by language, the largest first, without what was not identified."""
    sizes: Counter[str] = Counter()
    for row in snapshot["contents"]:
        sizes[row["lang"]] += row["bytes"]
    return {lang: size for lang, size in sizes.most_common() if lang != UNKNOWN_LANGUAGE}


def licenses(snapshot: Snapshot) -> dict[str, int]:
    """Return bytes by licence, the largest first; NOT_STATED among them."""
    sizes: Counter[str] = Counter()
    for row in snapshot["contents"]:
        sizes[row["license"]] += row["bytes"]
    return dict(sizes.most_common())


def hub_licenses(snapshot: Snapshot) -> list[str]:
    """Return the licences as model hubs name them; 'unknown' and 'other' where they have none."""
    named = []
    for name in licenses(snapshot):
        hub = "unknown" if name == NOT_STATED else name.lower()
        named.append(hub if hub in HUB_LICENSES or hub == "unknown" else "other")
    return list(dict.fromkeys(named)) or ["unknown"]


def domains(snapshot: Snapshot) -> list[str]:
    """Return the hosts of sources that are addresses."""
    hosts = (urlsplit(path).hostname for path in snapshot["source_paths"] if is_remote(path))
    return sorted({host for host in hosts if host})


def documents_kept(snapshot: Snapshot) -> int:
    """Return the documents that the last stage of the funnel kept."""
    return snapshot["funnel"][-1]["documents_kept"] if snapshot["funnel"] else 0


def personal_data(snapshot: Snapshot) -> str:
    """Say what was done about personal data, and how many were found."""
    told = snapshot["personal_data"]
    if told["action"] == "off":
        return "Nobody looked for personal data (clean.pii.action is off)."
    found = ", ".join(f"{kind} {count:,}" for kind, count in told["found"].items()) or "none"
    done = {
        "replace": "replaced by placeholders",
        "drop": "reason to drop the document",
        "tag": "listed with their places",
    }
    return f"Personal data were {done.get(told['action'], told['action'])}; found: {found}."


def unknown_lines() -> list[str]:
    """Return what no ledger of files can know, as Markdown list lines."""
    return [f"- {line}" for line in UNKNOWN]


def sources_table(snapshot: Snapshot) -> str:
    """Return the sources with language, licence, documents and size as a table in Markdown."""
    rows = [
        (
            escape_markdown(row["source"]),
            row["lang"],
            escape_markdown(row["license"]),
            f"{row['documents']:,}",
            size(row["bytes"]),
        )
        for row in snapshot["contents"]
    ]
    return markdown_table(("source", "language", "licence", "documents", "text"), rows, 2)
