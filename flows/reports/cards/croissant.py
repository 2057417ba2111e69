"""The shards as a Croissant 1.1 dataset (MLCommons) with the RAI vocabulary, as JSON-LD."""

import json
from typing import Any

from flows.reports.cards.card_facts import (
    UNKNOWN,
    Snapshot,
    documents_kept,
    licenses,
    personal_data,
)

CONFORMS = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
# Columns of the shards: name, type, words, whether a list.
COLUMNS = (
    ("id", "sc:Text", "id of the document", False),
    ("source", "sc:Text", "where it is from", False),
    ("lang", "sc:Text", "its language", False),
    ("split", "sc:Text", "train or validation", False),
    ("tokens", "sc:Integer", "ids of its tokens", True),
    ("offset", "sc:Integer", "where it begins, in tokens of the part", False),
    ("bytes", "sc:Integer", "UTF-8 bytes of its text", False),
)


def croissant(snapshot: Snapshot) -> str:
    """Return the description as JSON; paths are beside it, in the artifact of `shard`."""
    shards = next((s for s in snapshot["stages"] if s["stage"] == "shard"), None)
    files = [
        {
            "@type": "cr:FileObject",
            "@id": file["path"],
            "name": file["path"],
            "contentUrl": file["path"],
            "contentSize": f"{file['bytes']} B",
            "encodingFormat": "application/x-parquet",
            "sha256": file["sha256"],
        }
        for file in snapshot["shards"]
    ]
    record_sets = [_record_set(file["path"]) for file in snapshot["shards"]]
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": snapshot["name"],
        "description": f"Tokens of {documents_kept(snapshot):,} documents, made by textmill, run "
        f"{snapshot['name']}/{snapshot['number']}. {snapshot['description']}".strip(),
        "conformsTo": CONFORMS,
        "url": f"urn:textmill:shard:{shards['fingerprint'] if shards else 'none'}",
        "version": f"{snapshot['number']}.0.0",
        "datePublished": snapshot["ended_at"] or "1970-01-01",
        "license": [*licenses(snapshot)],
        "citeAs": "not stated",
        "distribution": files,
        "recordSet": record_sets,
        **_responsible(snapshot),
    }
    return json.dumps(described, ensure_ascii=False, indent=1) + "\n"


def _record_set(path: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": f"documents/{path}",
        "name": f"documents/{path}",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"documents/{path}/{name}",
                "name": f"documents/{path}/{name}",
                "description": words,
                "dataType": kind,
                **({"repeated": True} if is_list else {}),
                "source": {"fileObject": {"@id": path}, "extract": {"column": name}},
            }
            for name, kind, words, is_list in COLUMNS
        ],
    }


def _responsible(snapshot: Snapshot) -> dict[str, Any]:
    """Return the RAI properties that a ledger can fill, and what it cannot know."""
    steps = [
        f"{row['stage']}: {row['documents_kept']:,} of {row['documents_in']:,} documents kept"
        + "".join(f"; {rule} dropped {n:,}" for rule, n in row["dropped"].items())
        for row in snapshot["funnel"]
    ]
    return {
        "rai:dataCollection": "Files and addresses that the recipe names were read as they are; "
        "how their text was collected is not known to the ledger.",
        "rai:dataPreprocessingProtocol": steps,
        "rai:personalSensitiveInformation": personal_data(snapshot),
        "rai:dataLimitations": [f"Not known: {line}" for line in UNKNOWN],
        "rai:dataBiases": "Not measured in the text itself; shares of languages and sources are "
        "in the run's report, probes of the model in its evaluation.",
    }
