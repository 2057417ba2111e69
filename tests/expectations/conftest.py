"""Artifacts of every stage, made by tiny stages that write given rows under the real contracts."""

from dataclasses import dataclass

import pyarrow as pa
import pytest

from model import contracts
from pipeline import schema
from pipeline.stage import Stage, run_stage

CONTRACTS = {
    "ingest": schema.RAW,
    "clean": schema.CLEAN,
    "dedup": schema.DEDUPED,
    "tokenizer": schema.TOKENIZER_REPORT,
    "shard": schema.shard_contract(1000),
    "train": contracts.CURVE,
    "evaluate": contracts.EVALUATION,
}
TEXTS = (
    "The mill stands where the river bends, and its wheel has turned since spring.",
    "水车在河湾处转动,从春天一直转到现在。",
    "Flour is weighed twice: once for the farmer, once for the baker.",
    "面粉要称两次,一次给农夫,一次给面包师。",
)


@dataclass(frozen=True)
class Made:
    """The configuration of a made artifact: a word that tells two of them apart."""

    tag: str = ""


def documents(count, repeats=0, **columns):
    """Rows of documents; the last `repeats` have the text of the first."""
    rows = []
    for n in range(count):
        text = f"{TEXTS[n % len(TEXTS)]} {n}" if n < count - repeats else f"{TEXTS[0]} 0"
        row = {"id": f"d{n}", "text": text, "source": "books", "path": "a.txt", "position": n}
        row |= {"lang": "zh" if n % 2 else "en", "license": None, "meta": None}
        rows.append(row | columns)
    return rows


def rejects(count, rule, source="books"):
    """Rows of dropped documents."""
    row = {"source": source, "rule": rule, "value": 1.0, "threshold": 0.8}
    row |= {"partner": None, "similarity": None}
    return [row | {"id": f"r{n}"} for n in range(count)]


def quarantine(count):
    """Rows of what could not be read."""
    row = {"source": "books", "path": "b.txt", "reason": "not_json", "detail": "", "sample": ""}
    return [row | {"position": n} for n in range(count)]


def report(lang="all", **changes):
    """A row of a tokenizer's report."""
    row = {"lang": lang, "documents": 10, "bytes": 4000, "characters": 3000, "words": 600}
    return row | {"tokens": 1000, "byte_tokens": 10, "round_trip_failures": 0} | changes


def shards(splits, largest=999):
    """Rows of tokenised documents, three tokens each."""
    row = {"source": "books", "lang": "en", "tokens": [4, 5, largest], "bytes": 12, "offset": 0}
    return [row | {"id": f"d{n}", "split": split} for n, split in enumerate(splits)]


def curve(*losses):
    """Rows of a training curve, the last one validated."""
    row = {"learning_rate": 0.001, "gradient_norm": 1.0}
    return [
        row | {"step": 10 * n, "tokens": 640 * n, "loss": loss,
               "validation_loss": loss if n == len(losses) else None}
        for n, loss in enumerate(losses, 1)
    ]  # fmt: skip


def score(kind="all", name="all", bits=1.5, unigram=2.5):
    """A row of an evaluation."""
    row = {"kind": kind, "name": name, "documents": 9, "tokens": 900, "bytes": 3000, "loss": 3.0}
    return row | {"perplexity": 20.1, "accuracy": 0.4, "bits_per_byte": bits,
                  "unigram_bits_per_byte": unigram}  # fmt: skip


def tokens(train, validation):
    """What a shard artifact keeps of its tokens and vocabulary."""
    documents = {"train": train, "validation": validation}
    counted = {"tokens": documents, "documents": documents}
    return {**counted, "vocab_size": 1000, "round_trip_failures": 0}


VOCABULARY = {"vocab_size": 1000, "vocab_size_asked": 1000}
GOOD = {
    "ingest": {"main": documents(5), "quarantine": quarantine(1)},
    "clean": {"main": documents(5), "rejects": rejects(1, "min_words"), "stats": {"bytes_in": 600}},
    "dedup": {"main": documents(5), "rejects": rejects(1, "near_duplicate")},
    "tokenizer": {"main": [report(), report("zh", words=900)], "stats": VOCABULARY},
    "shard": {"main": shards(["train", "validation"]), "stats": tokens(30, 30)},
    "train": {"main": curve(6.9, 4.2, 3.1)},
    "evaluate": {"main": [score(), score("lang", "zh"), score("source", "books")]},
}


@pytest.fixture
def make(tmp_path):
    """Return a function (stage, changes to the good artifact) -> artifact."""

    def build(stage, **changes):
        content = GOOD[stage] | changes
        tables = {name: content.get(name, []) for name in ("main", "rejects", "quarantine")}
        contracts = {"main": CONTRACTS[stage], "rejects": schema.REJECT,
                     "quarantine": schema.QUARANTINE_ROW}  # fmt: skip

        def write(task, sink):
            for name, rows in tables.items():
                sink.saw(len(rows))
                sink.write(name, pa.Table.from_pylist(rows, contracts[name].schema))

        def run(job):
            job.map(write, [0])
            job.stats |= content.get("stats", {})

        folder = tmp_path / f"{stage}-{len(list(tmp_path.iterdir()))}"
        made = Stage(stage, CONTRACTS[stage], run, "pipeline.store.ledger", ())
        return run_stage(made, Made(folder.name), [], folder).artifact

    build.documents, build.rejects, build.quarantine = documents, rejects, quarantine
    build.report, build.shards, build.curve, build.score = report, shards, curve, score
    build.tokens = tokens
    return build
