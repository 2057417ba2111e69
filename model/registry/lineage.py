"""Whether two models were made of the same corpus: only then is one better than the other.

A corpus that grows stays the same: its sources are at the same places, or, where they were moved,
a good part of its documents is still there. Of the documents a sketch is kept, those of the
smallest hashes (Broder 1997), so that the answer needs none of the old text.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.hashing import id_hashes
from pipeline.store import storage
from pipeline.store.artifact import Artifact

SOURCES = "textmill.sources"  # tag: paths as JSON
DOCUMENTS = "textmill.documents"  # tag: the sketch, hash of the id and of the text as hex
SKETCH_SIZE = 64
SHARED_MIN = 0.05  # of the sketches' documents; less is chance: a licence text in both
SALT = "lineage"


def lineage_tags(sources: Sequence[str], documents: Artifact) -> dict[str, str]:
    """Return what a version keeps of its corpus: where it is, and a sketch of its documents."""
    ids = documents.scan().select("id").collect().to_series()
    hashes = id_hashes(pa.array(ids.to_list(), pa.string()), SALT)
    order = np.argsort(hashes, kind="stable")[:SKETCH_SIZE]
    chosen = documents.scan().filter(pl.col("id").is_in(ids[order].to_list())).select("id", "text")
    sketch = []
    for document_id, text in chosen.collect(engine="streaming").iter_rows():
        ordered = id_hashes(pa.array([document_id], pa.string()), SALT)[0]
        sketch.append(f"{ordered:016x}{storage.sha256_text(text)[:8]}")
    return {
        SOURCES: json.dumps(sorted(sources), ensure_ascii=False),
        DOCUMENTS: " ".join(sorted(sketch)),
    }


def is_other_corpus(own: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Tell whether the tags of two versions say that nothing of their corpora is the same."""
    if SOURCES not in own or SOURCES not in other:
        return False  # registered without sources, or before they were kept
    if set(json.loads(own[SOURCES])) & set(json.loads(other[SOURCES])):
        return False
    first, second = (set(tags.get(DOCUMENTS, "").split()) for tags in (own, other))
    smallest = sorted(first | second)[:SKETCH_SIZE]
    shared = sum(smallest_hash in first and smallest_hash in second for smallest_hash in smallest)
    return shared < SHARED_MIN * len(smallest) or not smallest


def sources_of(tags: Mapping[str, str]) -> str:
    """Return the sources that a version's tags name, in words."""
    return ", ".join(json.loads(tags.get(SOURCES, "[]"))) or "unknown sources"
