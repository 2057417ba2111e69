"""Near-duplicate removal against datatrove 0.10.1 and signatures against rensa 0.5.0, one thread.

    python tests/bench/bench_dedup.py

Bars: 50 times datatrove for the whole, Parquet in and out, and twice rensa for signatures of 112
permutations over runs of five words or characters, from text. Rensa's rates on single words and on
lists of runs cut beforehand are told too. Both run on the same texts in alternation, and CPU
seconds are compared.
"""

import os

os.environ["POLARS_MAX_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import sys
import tempfile
import time
from pathlib import Path

import peers
import pyarrow as pa

from pipeline.dedup import STAGE, DedupConfig
from pipeline.duplicates.signatures import Shingling, compute_signatures
from pipeline.schema import CLEAN
from pipeline.stage import Stage, run_stage

WHOLE_BAR, SIGNATURE_BAR = 50, 2
ENV = "data"
PACKAGES = (
    "datatrove==0.10.1",
    "rensa==0.5.0",
    "spacy==3.8.18",
    "jieba==0.42.1",
    "tokenizers==0.23.3",
    "regex==2026.11.15",
    "xxhash==3.5.0",
    "pyarrow==25.0.1",
)
LANGUAGES = {
    "eng": {"en_20news": None, "en_ewt": None, "en_sotu": None},
    "zho": {
        "zh_lctt": None, "zh_laws": None, "zh_dureader_web": None, "enzh_pydocs": "zh",
        "enzh_paddlex": "zh",
    },
}  # fmt: skip
MEGABYTES, PEER_MEGABYTES, ROUNDS = 60.0, 1.5, 2


def whole_seconds(texts: list[str], lang: str) -> float:
    """CPU seconds of the stage from a Parquet artifact to another."""
    with tempfile.TemporaryDirectory() as folder:
        parent = run_stage(given(texts, lang), DedupConfig(), [], Path(folder) / "clean").artifact
        started = time.process_time()
        run_stage(STAGE, DedupConfig(), [parent], Path(folder) / "dedup")
        return time.process_time() - started


def given(texts: list[str], lang: str) -> Stage:
    """A stage that writes the texts as a clean artifact of one part."""

    def emit(job):  # type: ignore[no-untyped-def]
        job.map(lambda task, sink: _write(texts, lang, sink), [0])

    return Stage("clean", CLEAN, emit, "pipeline.schema", ())


def _write(texts, lang, sink) -> None:  # type: ignore[no-untyped-def]
    for start in range(0, len(texts), 2000):
        part = texts[start : start + 2000]
        rows = [{"id": f"{start + n}", "text": text, "source": "bench", "path": "b", "position": n,
                 "lang": lang} for n, text in enumerate(part)]  # fmt: skip
        sink.saw(len(rows))
        sink.write("main", pa.Table.from_pylist(rows, schema=CLEAN.schema))


def sign_seconds(texts: list[str], lang: str) -> float:
    """CPU seconds from an Arrow column to band keys of 112 permutations."""
    column, langs = pa.array(texts, pa.large_string()), pa.array([lang] * len(texts))
    started = time.process_time()
    compute_signatures(column, langs, Shingling(5, 5, 14, 8, 1))
    return time.process_time() - started


def main() -> int:
    """Print rates and ratios; return 1 below a bar."""
    peers.ensure_env(ENV, PACKAGES)
    missed = False
    for language, sources in LANGUAGES.items():
        lang = language[:2]
        texts = peers.sample_texts(sources, MEGABYTES)
        size = sum(len(text.encode()) for text in texts)
        path = peers.text_file(texts)
        sign_seconds(texts[:10], lang)
        whole_seconds(texts[:10], lang)
        ours, signing, theirs = [], [], []
        for _ in range(ROUNDS):
            ours.append(whole_seconds(texts, lang))
            signing.append(sign_seconds(texts, lang))
            script = Path(__file__).with_name("peer_minhash.py")
            theirs.append(peers.run_in_env(ENV, script, str(path), language, str(PEER_MEGABYTES)))
        path.unlink()
        whole, signed = size / min(ours) / 1e6, size / min(signing) / 1e6
        datatrove = max(run["datatrove_bytes"] / run["datatrove"] / 1e6 for run in theirs)
        rensa, words, ready = (
            max(run["rensa_bytes"] / run[name] / 1e6 for run in theirs)
            for name in ("rensa", "rensa_words", "rensa_ready")
        )
        print(f"{language}: whole {whole:.1f} MB/s, datatrove {datatrove:.2f}")
        print(f"{language}: x{whole / datatrove:.0f}, wanted x{WHOLE_BAR}")
        print(f"{language}: signatures {signed:.0f} MB/s, rensa {rensa:.1f}")
        print(f"{language}: x{signed / rensa:.1f}, wanted x{SIGNATURE_BAR}")
        print(f"{language}: rensa on single words {words:.1f}, on runs cut before {ready:.1f}")
        missed |= whole < WHOLE_BAR * datatrove or signed < SIGNATURE_BAR * rensa
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
