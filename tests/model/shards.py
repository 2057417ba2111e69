"""Real shards of a little real text, for the tests of training and evaluation."""

import pydoc_data.topics
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.schema import CLEAN
from pipeline.shard import STAGE as SHARD
from pipeline.shard import ShardConfig
from pipeline.stage import Job, Stage, run_stage
from pipeline.store.artifact import Artifact
from pipeline.store.sink import Sink
from pipeline.tokenizer_training import STAGE as TOKENIZER
from pipeline.tokenizer_training import TokenizerConfig

CHINESE = (Path(__file__).parents[1] / "data" / "tokenizer_zh.txt").read_text("utf-8").split("\n")


@dataclass(frozen=True)
class Texts:
    """Which documents the artifact holds."""

    english: int = 40
    chinese: int = 20
    parts: int = 1


def texts(config: Texts) -> list[dict]:
    topics = sorted(pydoc_data.topics.topics.items())[: config.english]
    rows = [("en", name, text[:3000]) for name, text in topics]
    rows += [("zh", f"zh-{i}", "\n".join(CHINESE[i : i + 6])) for i in range(config.chinese)]
    return [
        {"id": name, "text": text, "source": f"{lang}-source", "path": "p", "position": i,
         "lang": lang, "license": None, "meta": None}
        for i, (lang, name, text) in enumerate(rows)
    ]  # fmt: skip


def write_texts(rows: list[dict], sink: Sink) -> None:
    sink.saw(len(rows))
    sink.write("main", pa.Table.from_pylist(rows, schema=CLEAN.schema))


def run_texts(job: Job) -> None:
    rows = texts(job.config)
    job.map(write_texts, [rows[part :: job.config.parts] for part in range(job.config.parts)])


TEXTS = Stage("clean", CLEAN, run_texts, "pipeline.store.ledger", ("pyarrow",))


def make_shards(
    folder: Path, vocab_size: int = 720, parts: int = 1, measures: tuple[str, ...] = (), **config
) -> Artifact:
    """Tokenise a few dozen documents in two languages, a fifth of them held out."""
    documents = run_stage(TEXTS, Texts(parts=parts), [], folder / "texts").artifact
    settings = TokenizerConfig(vocab_size=vocab_size, **config)
    tokenizer = run_stage(TOKENIZER, settings, [documents], folder / f"tok-{vocab_size}").artifact
    shards = folder / f"shards-{vocab_size}"
    split = ShardConfig(validation_share=0.2, row_group_tokens=4000, measures=measures)
    return run_stage(SHARD, split, [documents, tokenizer], shards).artifact


def grown_shards(
    folder: Path, before: dict[str, int], after: dict[str, int] | None = None, vocab_size: int = 720
) -> tuple[Artifact, Artifact]:
    """Return shards of a corpus before and after it grew, of one tokenizer: that of the first."""
    first, second = Texts(**before), Texts(**(after or {}))
    settings = TokenizerConfig(vocab_size=vocab_size)
    split = ShardConfig(validation_share=0.2, row_group_tokens=4000)
    documents = [
        run_stage(TEXTS, texts_, [], folder / f"texts-{i}").artifact
        for i, texts_ in enumerate((first, second))
    ]
    tokenizer = run_stage(TOKENIZER, settings, documents[:1], folder / "tokenizer").artifact
    earlier, shards = (
        run_stage(SHARD, split, [own, tokenizer], folder / f"shards-{i}").artifact
        for i, own in enumerate(documents)
    )
    return earlier, shards
