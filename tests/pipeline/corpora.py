"""Small corpora to deduplicate, and what became of them."""

import random
from dataclasses import dataclass

import pyarrow as pa

from pipeline.dedup import DedupConfig
from pipeline.duplicates.config import PassageConfig
from pipeline.duplicates.tables import cluster_sizes
from pipeline.schema import CLEAN
from pipeline.stage import Stage
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.store.sink import Sink


@dataclass(frozen=True)
class Given:
    """The rows of each part."""

    parts: tuple[tuple[tuple[str, ...], ...], ...]  # (id, text) or (id, text, lang)


def emit(rows: tuple[tuple[str, ...], ...], sink: Sink) -> None:
    """Write the documents of one part, 50 to a row group."""
    sink.saw(len(rows))
    documents = [
        {"id": id_, "text": text, "source": "tests", "path": "a", "position": at, "lang": lang}
        for at, (id_, text, lang) in enumerate((*row, "und")[:3] for row in rows)
    ]
    for start in range(0, len(rows), 50):
        sink.write("main", pa.Table.from_pylist(documents[start : start + 50], schema=CLEAN.schema))


GIVEN = Stage(
    "clean", CLEAN, lambda job: job.map(emit, job.config.parts) and None, "pipeline.schema", ()
)


def kept(artifact: Artifact) -> dict[str, int]:
    """How many documents each kept one stands for, by id."""
    if not artifact.rows:
        return {}
    sizes = dict.fromkeys(artifact.scan().collect()["id"], 1)
    if artifact.parts("rejects"):
        sizes |= dict(cluster_sizes(artifact.scan("rejects")).collect().iter_rows())
    return sizes


def rejects(artifact: Artifact) -> dict[str, dict]:
    """The rows of removed documents, by id."""
    if not artifact.parts("rejects"):
        return {}
    return {row["id"]: row for row in artifact.scan("rejects").collect().to_dicts()}


def english(seed: int, words: int = 200) -> str:
    """Words in no order."""
    generator = random.Random(seed)
    return " ".join(f"w{generator.randrange(5000)}" for _ in range(words))


def chinese(seed: int, characters: int = 300) -> str:
    """Ideographs in no order."""
    generator = random.Random(seed)
    return "".join(chr(0x4E00 + generator.randrange(3000)) for _ in range(characters))


def edited(text: str, every: int, to: str) -> str:
    """Put `to` for one word or character in `every`."""
    pieces = text.split(" ") if " " in text else list(text)
    pieces[every // 2 :: every] = [to] * len(pieces[every // 2 :: every])
    return (" " if " " in text else "").join(pieces)


def corpus(groups: int) -> list[tuple[str, str]]:
    """Families of a text, its edited forms and copies, shuffled: (id, text)."""
    rows: list[tuple[str, str]] = []
    for n in range(groups):
        text = english(n, 120) if n % 2 else chinese(n, 150)
        rows.append((f"{n}-0", text))
        rows += [
            (f"{n}-{i + 1}", edited(text, 40 + 7 * i, f"e{i}" if n % 2 else "改"))
            for i in range(n % 4)
        ]
        rows += [(f"{n}-copy", text)] * (n % 3 == 0)
    random.Random(3).shuffle(rows)
    return rows


def files_of(artifact: Artifact) -> dict[str, str]:
    """Hashes of all files that are part of its identity, by name."""
    names = (f for f in artifact.path.rglob("*") if f.is_file() and f.name != "timing.json")
    return {str(f.relative_to(artifact.path)): storage.sha256_of(f) for f in names}


def passages(*kinds: str) -> DedupConfig:
    """The default config with these kinds of passages taken out."""
    return DedupConfig(passages=PassageConfig(**dict.fromkeys(kinds, True)))
