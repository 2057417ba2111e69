"""Whatever happened to a folder, the data stages leave the bytes of starting from scratch.

A store lives through a history: files are added, changed, removed and renamed, sources named in
another order, on one or two workers, some runs broken off. After each step the five stages run in
it, and in an empty store on the same files with the same tokenizer to keep.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline import clean, dedup, ingest, shard, tokenizer_training
from pipeline.clean import CleanConfig
from pipeline.dedup import DedupConfig
from pipeline.duplicates.config import PassageConfig
from pipeline.engine.local import LocalEngine
from pipeline.ingest import IngestConfig
from pipeline.reading import tasks
from pipeline.shard import ShardConfig
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import StageRun, run_stage, store_path
from pipeline.store.artifact import Artifact
from pipeline.tokenizing.config import TokenizerConfig
from tests.pipeline.corpora import chinese, edited, english, files_of

FILES, PARAGRAPHS = 40, 8  # of about 8 kB
PASSAGES = PassageConfig(paragraphs=True)


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    """Let a folder of 320 kB have several groups of files."""
    monkeypatch.setattr(tasks, "GROUP_BYTES_MIN", 32 << 10)


class Broken(Exception):
    """A run was broken off."""


@dataclass
class BreaksOff(LocalEngine):
    """Does some tasks and then no more."""

    left: int = 0

    def imap(self, function, tasks):
        for index, task in enumerate(tasks):
            if not self.left:
                raise Broken
            self.left -= 1
            yield index, function(task)


def paragraph(drawn: random.Random) -> str:
    """Text that may come again, as it is or edited."""
    seed = drawn.randrange(400)
    text = english(seed, 130) if seed % 2 else chinese(seed, 330)
    return edited(text, 60, "neu" if seed % 2 else "新") if drawn.random() < 0.2 else text


def text_file(drawn: random.Random) -> str:
    return "\n\n".join(paragraph(drawn) for _ in range(PARAGRAPHS))


@dataclass
class History:
    """Two folders and what happens to them."""

    folder: Path
    drawn: random.Random
    number: int = FILES
    happened: list[str] = field(default_factory=list)

    def begin(self) -> None:
        for number in range(FILES):
            path = self.folder / ("old" if number % 3 else "new") / f"{number:03d}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text_file(self.drawn), "utf-8")

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.txt"))

    def any(self) -> Path:
        return self.drawn.choice(self.files[1:-1])  # the ends are the test's own

    def add(self) -> None:
        name = f"{self.drawn.randrange(FILES):03d}-{self.number}.txt"
        self.number += 1
        text = self.drawn.choice([text_file(self.drawn), self.any().read_text("utf-8")])
        (self.any().parent / name).write_text(text, "utf-8")

    def change(self) -> None:
        path = self.any()
        path.write_text(f"{paragraph(self.drawn)}\n\n{path.read_text('utf-8')}", "utf-8")

    def remove(self) -> None:
        self.any().unlink()

    def rename(self) -> None:
        path = self.any()
        path.rename(path.with_name(f"{self.drawn.randrange(FILES):03d}-{self.number}.txt"))
        self.number += 1

    def step(self) -> None:
        for change in self.drawn.choices([self.add, self.change, self.remove, self.rename], k=2):
            change()
            self.happened.append(change.__name__)


def run_all(
    history: History, store: Path, kept: list[Artifact], config: DedupConfig, engine: LocalEngine
) -> dict[str, StageRun]:
    """Run the data stages in a store; `kept` is the tokenizer to keep, if there is one."""
    names = history.drawn.sample(["old", "new"], 2)
    sources = SourceSet.open([Source(path=str(history.folder / n)) for n in names], Path("/"))
    runs: dict[str, StageRun] = {}

    def make(stage, settings, *parents) -> Artifact:
        place = store_path(store, stage.name, stage.fingerprint(settings, parents).digest)
        runs[stage.name] = run_stage(stage, settings, parents, place, engine=engine)
        return runs[stage.name].artifact

    raw = make(ingest.STAGE, IngestConfig(), sources)
    documents = make(dedup.STAGE, config, make(clean.STAGE, CleanConfig(profile="none"), raw))
    settings = TokenizerConfig(vocab_size=4000)
    tokenizer = make(tokenizer_training.STAGE, settings, documents, *kept)
    make(shard.STAGE, ShardConfig(), documents, tokenizer)
    return runs


@pytest.mark.parametrize(
    ("seed", "config"), [(1, DedupConfig()), (2, DedupConfig(passages=PASSAGES))]
)
def test_any_history_gives_the_bytes_of_starting_from_scratch(tmp_path, seed, config):
    history = History(tmp_path / "text", random.Random(seed))
    history.begin()
    kept: list[Artifact] = []
    taken_over = 0
    copy = history.files[-1].with_name("999-copy.txt")
    for step in range(4):
        if step == 1:
            copy.write_text(history.files[0].read_text("utf-8"), "utf-8")
        if step == 2:  # broken off in the middle; then the text changes once more
            with pytest.raises(Broken):
                run_all(history, tmp_path / "store", kept, config, BreaksOff(left=4))
            history.step()
        if step == 3:
            history.files[0].unlink()
        engine = LocalEngine(1 + step % 2)
        living = run_all(history, tmp_path / "store", kept, config, engine)
        scratch = run_all(history, tmp_path / f"scratch{step}", kept, config, LocalEngine(1))
        for name, run in living.items():
            assert run.artifact.manifest == scratch[name].artifact.manifest, (name, history)
            assert files_of(run.artifact) == files_of(scratch[name].artifact), (name, history)
        taken_over += sum("an earlier run made" in run.reason for run in living.values())
        kept = kept or [living["tokenizer"].artifact]
        paths = {*living["dedup"].artifact.scan().collect()["path"]}
        assert (copy.name in paths) == (step == 3), "a copy comes back when its original is gone"
        history.step()
    assert taken_over > 8, "most parts of most runs were made before"


def test_a_file_more_is_all_that_is_worked_on(tmp_path):
    history = History(tmp_path / "text", random.Random(3))
    history.begin()
    first = run_all(history, tmp_path / "store", [], DedupConfig(), LocalEngine(1))
    history.add()
    kept = [first["tokenizer"].artifact]
    again = run_all(history, tmp_path / "store", kept, DedupConfig(), LocalEngine(1))
    for name in ("ingest", "clean", "dedup", "shard"):
        same = {entry["sha256"] for entry in first[name].artifact.manifest["tables"]["main"]}
        parts = {entry["sha256"] for entry in again[name].artifact.manifest["tables"]["main"]}
        assert len(parts - same) <= 2, name
        assert len(parts & same) >= 4, name
        [path, *_] = (
            again[name].artifact.path / entry["path"]
            for entry in again[name].artifact.manifest["tables"]["main"]
            if entry["sha256"] in same
        )
        assert path.stat().st_nlink > 1, "linked, not copied"
