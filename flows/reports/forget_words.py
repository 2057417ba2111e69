"""A receipt of forgetting in words."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def receipt_lines(
    receipt: dict[str, Any], path: Path | None, not_there: Sequence[str], beside: Path
) -> list[str]:
    """Return what is forgotten, what holds it and what comes next; `path` None: a dry run."""
    documents, count = receipt["documents"], len(receipt["tombstones"])
    by = Counter(document["by"] for document in documents)
    words = ", ".join(f"{number} by {how}" for how, number in sorted(by.items())) or "none"
    verb = "would be forgotten" if path is None else "forgotten"
    lines = [f"{verb}: {count} tombstones; documents in this store that fit: {words}"]
    lines += [f"  not in this store, held for later: {what}" for what in not_there]
    if receipt["artifacts"]:
        stages = Counter(name.partition("/")[0] for name in receipt["artifacts"])
        held = ", ".join(f"{number} of {stage}" for stage, number in stages.items())
        lines.append(f"  artifacts that hold it: {held}")
    lines += [version_line(version) for version in receipt["versions"]]
    if path is None:
        return lines
    lines += memorisation_lines(receipt)
    lines.append(f"  receipt: {path} ({receipt['time']})")
    lines.append(f"  the list of hashes lies in the store and in {beside}")
    purged = receipt["purged"]
    if purged is None and receipt["artifacts"]:
        lines.append("  its bytes are still in the store: run the recipe, then `--purge`")
    if purged is not None:
        gone = len(purged["artifacts"]), len(purged["files"]), len(purged["records"])
        lines.append("  purged: {} artifacts, {} files, {} records of MLflow".format(*gone))
        lines += [f"  still quotes it, remove by hand: {path}" for path in purged["left"]]
    return lines


def version_line(version: dict[str, Any]) -> str:
    """Return what a version has learned of it."""
    aliases = "".join(f" @{alias}" for alias in version["aliases"])
    fate = "has learned it" if version["fate"] in ("read", "taught") else "may have learned it"
    return f"  {version['version']}{aliases} of {version['created']} {fate}"


def memorisation_lines(receipt: dict[str, Any]) -> list[str]:
    """Return what versions give back of the text, a line each."""
    lines = []
    for row in receipt["memorisation"]:
        if "because" in row:
            lines.append(f"  {row['version']}: not measured ({row['because']})")
        elif row["passages"] == 0:
            lines.append(f"  {row['version']} ({row['fate']}): the text is shorter than a passage")
        else:
            exact = f"{row['exact']:.1%} of {row['passages']} passages word for word"
            tokens = f"{row['tokens']:.2f} of {row['of_tokens']} tokens before the first error"
            words = f"continues {exact}, {tokens}; {row['nats']:.3f} nats per token"
            lines.append(f"  {row['version']} ({row['fate']}): {words}")
    return lines
