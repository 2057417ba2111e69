"""A store of one run over a corpus in which something of every kind happens to a document."""

import json

import pytest

from flows import cli
from tests import small_world

SETTINGS = (
    "--workers", "1", "--set", "train.steps=25", "--set", "train.log_every=5",
    "--set", "dedup.passages.paragraphs=true", "--set", "evaluate.tasks=[]",
)  # fmt: skip
SHARED = (
    "Whoever reads this paragraph has read it before, since a good many pages end with the very "
    "same words about how they were printed, who bound them, where the paper was made, and to "
    "whom all of it belongs when the shop that sold it has long been closed and forgotten."
)


def records() -> list[dict]:
    """Return documents that are kept, held out, repaired, copied, cut, too short."""
    english, chinese = small_world.english()[:40], small_world.chinese()
    rows = [{"text": text} for text in english]
    rows += [{"text": text, "lang": "zh", "license": "CC0"} for text in chinese]
    words = small_world.english()[50].split(" ")
    other = [word if at != len(words) // 2 else "altered" for at, word in enumerate(words)]
    return [
        *rows,
        {"id": "page", "text": small_world.english()[60], "url": "https://www.example.org/a?b=1"},
        {"id": "near", "text": " ".join(words)},
        {"id": "near-copy", "text": " ".join(other)},
        {"id": "copy", "text": english[3].upper()},
        {"id": "short", "text": "Too few words."},
        {"id": "mended", "text": "A rÃ©sumÃ© of it:\u00a0 " + small_world.english()[61]},
        {"id": "has-paragraph", "text": f"{small_world.english()[62]}\n\n{SHARED}"},
        {"id": "loses-paragraph", "text": f"{small_world.english()[63]}\n\n{SHARED}"},
    ]


def write_corpus(folder) -> None:
    """Write the corpus of the tests as files."""
    lines = [json.dumps(row, ensure_ascii=False) for row in records()]
    (folder / "many.jsonl").write_text("\n".join([*lines, '{"text": broken']) + "\n", "utf-8")
    (folder / "alone.txt").write_text(small_world.english()[70], "utf-8")


@pytest.fixture(scope="session")
def traced(tmp_path_factory):
    """The folder of sources, recipe and store."""
    folder = tmp_path_factory.mktemp("traced")
    small_world.begin(folder)
    write_corpus(folder / "texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["run", "world.toml", *SETTINGS]) == 0
    return folder
