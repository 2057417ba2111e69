"""Text to ids: CPU seconds against SentencePiece's own `encode`, one thread, the same ids asserted.

`python tests/bench/bench_encode.py` trains a BPE and a unigram model of 16,384 pieces on texts that
are not encoded, prints MB/s of both and their ratio for English, Chinese, code and mixed text, and
exits 1 below the bar. What counts is the speed in the middle of a corpus, where 4 MB of other text
of the same kind were encoded before; the speed of an encoder that has met nothing is printed too.
The two take turns; the best of each counts.
"""

import os
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]
os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import numpy as np
import peers
import pyarrow as pa
import sentencepiece

from pipeline.encoding.encoder import CompiledEncoder
from pipeline.tokenizer_training import SEGMENT, TokenizerConfig, train
from pipeline.vocabulary import read_vocabulary

BAR = 3
ROUNDS = 3
MEGABYTES = 8.0
VOCAB_SIZE = 16384
SOURCES = {
    "en": {"en_20news": None, "en_ewt": None, "en_sotu": None},
    "zh": {"zh_lctt": None, "zh_laws": None, "zh_dureader_web": None},
    "code": {"code_cpython": None},
    "mixed": {"enzh_paddlex": None, "enzh_pydocs": None},
}


def seconds(work) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(model: bytes, texts: list[str], before: list[str]) -> tuple[float, float, float]:
    """CPU seconds for `texts`: SentencePiece's, ours with nothing met, ours after `before`."""
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocabulary, column = read_vocabulary(model), pa.array(texts, pa.large_string())
    lists, cold, warm = [], [], []
    for _ in range(ROUNDS):
        lists.append(seconds(lambda: theirs.encode(texts, num_threads=1)))
        own = CompiledEncoder(vocabulary)
        cold.append(seconds(lambda own=own: own.encode(column)))
        own = CompiledEncoder(vocabulary)
        own.encode(pa.array(before, pa.large_string()))
        warm.append(seconds(lambda own=own: own.encode(column)))
    ids, _ = own.encode(column)
    assert np.array_equal(ids, np.concatenate(theirs.encode_as_numpy(texts, num_threads=1)))
    return min(lists), min(cold), min(warm)


def main() -> int:
    """Compare the eight cases; return 1 if one is below the bar."""
    halves = {}
    for case, sources in SOURCES.items():
        texts = [t for t in peers.sample_texts(sources, MEGABYTES) if "\u2581" not in t]
        halves[case] = texts[::2], texts[1::2]
    ratios = []
    for model_type in ("bpe", "unigram"):
        lines = (
            line.group()
            for _, before in halves.values()
            for text in before[::3]
            for line in SEGMENT.finditer(text)
        )
        model = train(lines, TokenizerConfig(vocab_size=VOCAB_SIZE, model_type=model_type))
        CompiledEncoder(read_vocabulary(model)).encode(pa.array(["compile"], pa.large_string()))
        for case, (texts, before) in halves.items():
            theirs, cold, warm = compare(model, texts, before)
            megabytes = sum(len(text.encode()) for text in texts) / 1e6
            ratios.append(theirs / warm)
            print(
                f"{model_type} {case}: {megabytes:.1f} MB; SentencePiece {megabytes / theirs:.1f} "
                f"MB/s, textmill {megabytes / warm:.1f}, ratio {theirs / warm:.1f} (bar {BAR}); "
                f"nothing met before: {megabytes / cold:.1f}, ratio {theirs / cold:.1f}",
                flush=True,
            )
    return int(min(ratios) < BAR)


if __name__ == "__main__":
    raise SystemExit(main())
