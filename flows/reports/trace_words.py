"""The answers of `textmill trace` in words: a line for each stage, without colour."""

from collections.abc import Iterator
from typing import Any

LABEL = 10  # characters before a line's words
STEPS_SHOWN = 12
FILES_SHOWN = 20


def document_lines(answer: dict[str, Any]) -> list[str]:
    """Return what `Tracer.trace` found as lines."""
    found, shown = answer["documents_found"], len(answer["documents"])
    what = answer["what"] if len(answer["what"]) <= 80 else f"{answer['what'][:79]}…"
    aside = [_line("aside", _quarantined(row)) for row in answer["quarantined"]]
    if not found and not aside:
        return [_nothing(what, answer)]
    head = (
        [] if answer["by"] == "id" else [f"{what}: {_count(found, 'document')} by {answer['by']}"]
    )
    lines = [line for document in answer["documents"] for line in _document(document)]
    more = [f"{found - shown:,} more: --limit {found}"] if found > shown else []
    return [*head, *lines, *aside, *more]


def version_lines(answer: dict[str, Any]) -> list[str]:
    """Return what `trace_version` found as lines."""
    version, run = answer["version"], answer["run"]
    aliases = "".join(f" @{alias}" for alias in version["aliases"])
    code = answer["code"]
    commit = f"textmill {code['textmill']}, commit {code['commit']}, Python {code['python']}"
    lines = [
        f"{version['version']}{aliases}, registered {version['created']}",
        _line("run", f"{run['id']} ({run['name']}), {run['started']} to {run['ended']}"),
        _line("code", commit if code["textmill"] else "not recorded"),
    ]
    for artifact in answer["artifacts"]:
        ledger = artifact["ledger"]
        gone = {**ledger["dropped"], **ledger["quarantined"]}
        out = "".join(f", {rule} {count:,}" for rule, count in gone.items() if count)
        kept = f"{ledger['kept']:,} of {ledger['in']:,} kept{out}"
        parts = _count(len(artifact["parts"]), "part")
        stage, _, folder = artifact["artifact"].partition("/")
        lines.append(_line(stage, f"{folder}: {kept}; {parts}; code {artifact['code']}"))
    for gone in answer["not_in_the_store"]:
        lines.append(_line(gone["stage"], f"{gone['fingerprint'][:16]} is no longer in the store"))
    libraries = (f"{name} {number}" for name, number in answer["libraries"].items())
    lines.append(_line("libraries", ", ".join(libraries)))
    for row in answer["documents"]:
        licence = row["license"] or "not stated"
        words = f"{row['source']}: {_count(row['documents'], 'document')}, {row['bytes']:,} bytes"
        lines.append(_line("text", f"{words}, licence {licence}"))
    files = answer["files"]
    for file in files[:FILES_SHOWN]:
        if file["sha256"] is None:
            words = f"{file['source']}: {file['path']}: {file['skipped']}"
        else:
            words = f"{file['source']}: {file['path']}, {file['bytes']:,} bytes, {file['sha256']}"
        lines.append(_line("file", words))
    if len(files) > FILES_SHOWN:
        lines.append(_line("file", f"{len(files) - FILES_SHOWN:,} more: --json lists all"))
    return lines


def _document(document: dict[str, Any]) -> Iterator[str]:
    yield document["id"]
    yield _line("source", _origin_in_full(document))
    corpora = document["corpora"]
    ways = [way for corpus in corpora for way in corpus["ways"]]
    if not ways:
        yield _line("ingest", f"{corpora[0]['artifact']}: kept; nothing was made of it yet")
    for way in ways[:1]:
        for step in way["stages"]:
            yield _line(step["stage"], stage_words(step))
        for training in way["trainings"]:
            yield _line("train", training_words(training))
    others = [_end(way) for way in ways[1:]]
    for words in dict.fromkeys(others):
        same = words == _end(ways[0])
        times = _count(others.count(words), "earlier corpus", "earlier corpora")
        yield _line("also", f"in {times}: {'the same' if same else words}")
    for version in document["versions"]:
        yield _line("version", version_words(version))


def stage_words(step: dict[str, Any]) -> str:
    """Return in words what a stage did to a document."""
    changes = step.get("changes", [])
    if step["stage"] == "clean" and changes:
        names = ", ".join(change["change"] for change in changes)
        sizes = f"{changes[0]['bytes_before']:,} bytes before, {changes[0]['bytes_after']:,} after"
        changed = f"; changed by {names}: {sizes}"
    else:
        lost = (f"{c['change']} {c['start']}-{c['end']}, as in {c['partner']}" for c in changes)
        changed = f"; lost {'; '.join(lost)}" if changes else ""
    if step["fate"] == "dropped":
        return f"{_dropped(step)}{changed}"
    if step["fate"] != "kept":
        return f"{step['fate']}: an artifact it was made of is gone"
    if step["stage"] == "shard":
        return "; ".join(_row_words(row) for row in step["rows"])
    return f"kept{changed}"


def _dropped(step: dict[str, Any]) -> str:
    words = f"dropped by {step['rule']}: {_figure(step['value'])}"
    words += f", bound {_figure(step['threshold'])}"
    if step.get("partner"):
        origin = step.get("partner_origin")
        place = f" ({_place(origin)})" if origin else ""
        words = f"removed by {step['rule']} of {step['partner']}{place}"
        if step.get("similarity") is not None:
            bound = _figure(step["threshold"])
            words += f": similarity {_figure(step['similarity'])}, bound {bound}"
    return words + (f" ({step['detail']})" if step.get("detail") else "")


def _row_words(row: dict[str, Any]) -> str:
    block = f"from block {row['block']} on, " if "block" in row else ""
    held = "train" if row["split"] == "train" else "held out"
    end = row["offset"] + row["tokens"]
    return f"{block}{held}: {row['part']} row {row['row']}, tokens {row['offset']:,} to {end:,}"


def training_words(training: dict[str, Any]) -> str:
    """Return in words whether a training read a document, and when."""
    name = training["artifact"]
    if "because" in training:
        return f"{name}: {training['fate']} ({training['because']})"
    if not training["times"]:
        return f"{name}: no step of {training['of_steps']:,} read it"
    steps = ", ".join(str(step) for step in training["steps"][:STEPS_SHOWN])
    more = ", …" if training["times"] > STEPS_SHOWN else ""
    return f"{name}: {training['times']:,} of {training['of_steps']:,} steps read it: {steps}{more}"


def version_words(version: dict[str, Any]) -> str:
    """Return in words what a version has to do with a document."""
    aliases = "".join(f" @{alias}" for alias in version["aliases"])
    words = f"{version['version']}{aliases} of {version['created']}: {version['fate']}"
    if version["fate"] == "read":
        return f"{words} in {_count(version['times'], 'step')}"
    if version["fate"] == "taught":
        return f"{words} by {version['by']}, which read it"
    return f"{words} ({version['because']})"


def _end(way: dict[str, Any]) -> str:
    if not way["stages"]:
        return "kept; nothing was made of it yet"
    last = way["stages"][-1]
    words = f"{last['stage']} {stage_words(last)}" if last["fate"] != "kept" else "kept"
    if last.get("rows"):
        words = "/".join(dict.fromkeys(row["split"] for row in last["rows"]))
    return words


def _origin_in_full(document: dict[str, Any]) -> str:
    words = [f"{_place(document)} of {document['source']!r}", f"{document['bytes']:,} bytes"]
    if document["address"]:
        words.append(document["address"])
    words.append(f"licence {document['license'] or 'not stated'}")
    if document["lang"]:
        words.append(f"language {document['lang']}")
    if document["file"]:
        words.append(f"file {document['file']['sha256'][:16]}…")
    return ", ".join(words)


def _place(origin: dict[str, Any]) -> str:
    return f"{origin['path']} record {origin['position'] + 1}"


def _quarantined(row: dict[str, Any]) -> str:
    place = row["path"] if row["position"] < 0 else _place(row)
    return f"{place} of {row['source']!r}: {row['reason']} ({row['detail']})"


def _nothing(what: str, answer: dict[str, Any]) -> str:
    through = answer["looked_through"]
    looked = _count(through["ingest_artifacts"], "ingest artifact")
    wanted = {
        "id": "an id, a file or an address of http(s); a piece of its text is given with --text",
        "piece of text": "a text or a piece of one as it was read",
    }
    return (
        f"{what}: nothing of it is in this store; looked through {looked}, the largest of "
        f"{_count(through['documents_of_the_largest'], 'document')}; "
        f"wanted {wanted.get(answer['by'], 'what was ingested here')}"
    )


def _line(label: str, words: str) -> str:
    return f"  {label:<{LABEL}}{words}"


def _figure(value: float) -> str:
    return f"{value:.6g}"


def _count(number: int, what: str, several: str = "") -> str:
    return f"{number:,} {what if number == 1 else several or what + 's'}"
