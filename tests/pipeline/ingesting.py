"""Ingest called on a folder of small files, and what it wrote."""

import importlib.resources
import json
from pathlib import Path

import polars as pl

from pipeline.engine.local import LocalEngine
from pipeline.ingest import STAGE, IngestConfig
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage
from pipeline.store.artifact import Artifact

SAMPLES = [
    json.loads(line)
    for line in importlib.resources.files("pipeline")
    .joinpath("sample", "zh.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]
TEXTS = [sample["text"] for sample in SAMPLES]


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def ingested(folder: Path, destination: Path, workers: int = 1, **config) -> Artifact:
    sources = SourceSet.open([Source(str(folder))], folder)
    engine = LocalEngine(workers)
    return run_stage(STAGE, IngestConfig(**config), [sources], destination, engine=engine).artifact


def documents(artifact: Artifact) -> pl.DataFrame:
    return artifact.scan().collect()


def quarantine(artifact: Artifact) -> pl.DataFrame:
    return artifact.scan("quarantine").collect()
