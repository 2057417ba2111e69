"""Other tools for comparison, in a virtual environment of their own, and the texts to compare on.

TEXTMILL_BENCH_ENV names the folder of the environments (default ~/.cache/textmill/bench), one for
each set of packages, for peers exclude each other's requirements; what is absent is installed with
pip. A peer script is run in one, on one thread, and prints JSON last.
"""

import gzip
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS",
     "RAYON_NUM_THREADS", "TOKENIZERS_PARALLELISM"),
    "1",
)  # fmt: skip


def env_folder(name: str) -> Path:
    """Folder of the virtual environment of that name."""
    default = Path.home() / ".cache" / "textmill" / "bench"
    return Path(os.environ.get("TEXTMILL_BENCH_ENV", default)) / name


def ensure_env(name: str, packages: Iterable[str]) -> Path:
    """Python of the environment `name`, in which `packages` ("name==version") are installed."""
    folder = env_folder(name)
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
    )
    present = set(listed.stdout.lower().split())
    missing = [package for package in packages if package.lower() not in present]
    if missing:
        command = [python, "-m", "pip", "install", "--quiet", *missing]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return python


def run_in_env(name: str, script: Path, *arguments: str) -> Any:
    """Run a script in an environment on one thread; return the JSON of its last line."""
    command = [str(env_folder(name) / "bin" / "python"), str(script), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **ONE_THREAD}, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{script.name} failed in {env_folder(name)}:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def sample_texts(sources: dict[str, str | None], megabytes: float) -> list[str]:
    """Texts of the named files in equal shares, `megabytes` of UTF-8 in all.

    A source's value is the language its texts must have, None for any.
    """
    share = megabytes * 1e6 / len(sources)
    texts = []
    for name, lang in sources.items():
        size = 0
        for row in _rows(DATA / f"{name}.jsonl.gz"):
            if lang is None or row["lang"] == lang:
                texts.append(row["text"])
                size += len(row["text"].encode())
            if size >= share:
                break
    return texts


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def text_file(texts: Iterable[str]) -> Path:
    """Write texts as JSON lines to a temporary file for a peer to read; the caller deletes it."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8", delete=False) as file:
        file.writelines(json.dumps(text) + "\n" for text in texts)
    return Path(file.name)
