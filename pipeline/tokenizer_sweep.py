"""What vocabulary sizes and algorithms give on text held out from all of them.

One row per algorithm, size and language. Beside SentencePiece's BPE and unigram stands, where the
library `tokenizers` is installed, a byte-level BPE of the same size trained on the same text: the
design of GPT-2 (Radford et al. 2019), which most public models use.
"""

import functools
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.config_checks import unknown_name
from pipeline.errors import ConfigError, SourceError
from pipeline.schema import TOKENIZER_REPORT, Contract, column
from pipeline.stage import Job, Stage
from pipeline.store import storage
from pipeline.store.artifact import MAIN
from pipeline.store.sink import Sink
from pipeline.tokenizer import Tokenizer
from pipeline.tokenizer_training import SALT, segments, train
from pipeline.tokenizing.config import TokenizerConfig
from pipeline.tokenizing.report import AnyTokenizer, measure
from pipeline.tokenizing.sample import draw_sample

HELD_OUT_EVERY = 10  # of the sample's documents, in hash order, one in ten is measured
BYTE_LEVEL = "byte_level_bpe"
SWEEP = Contract(
    "tokenizer_sweep",
    1,
    pa.schema(
        [
            column("algorithm", pa.string(), "one of ALGORITHMS"),
            column("vocab_size", pa.int64(), "pieces asked for"),
            column("pieces", pa.int64(), "pieces it has"),
            *TOKENIZER_REPORT.schema,
        ]
    ),
)


@dataclass(frozen=True)
class SweepConfig:
    """What is trained: every algorithm at every size, each on the same sample."""

    vocab_sizes: tuple[int, ...] = (2048, 4096, 8192, 16384)
    algorithms: tuple[str, ...] = ("bpe", "unigram", BYTE_LEVEL)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)  # all but size and type

    def __post_init__(self) -> None:
        for name in self.algorithms:
            if name not in ALGORITHMS:
                raise unknown_name("algorithms", name, ALGORITHMS)
        if BYTE_LEVEL in self.algorithms and importlib.util.find_spec("tokenizers") is None:
            raise ConfigError(f"{BYTE_LEVEL} needs the library tokenizers: pip install tokenizers")
        for size in self.vocab_sizes:
            replace(self.tokenizer, vocab_size=size)  # refuses what cannot be


def run(job: Job[SweepConfig]) -> None:
    """Train on nine tenths of a sample of the parent, measure on the rest."""
    config, [documents] = job.config, job.parents
    sample = draw_sample(
        job, documents, config.tokenizer.sample_bytes, SALT, config.tokenizer.balance
    )
    if sample.documents < HELD_OUT_EVERY:
        raise SourceError(
            f"{documents.path}: {sample.documents} documents with text, a sweep needs "
            f"{HELD_OUT_EVERY} to train on some and measure others"
        )
    held_out = pl.int_range(pl.len()) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    files = []
    for name, chosen in (("train", ~held_out), ("held_out", held_out)):
        files.append(job.scratch("split") / f"{name}.parquet")
        if not files[-1].exists():
            with storage.whole_file(files[-1]) as temporary:
                pl.read_parquet(sample.file, glob=False).filter(chosen).write_parquet(temporary)
    tasks = [(name, size) for name in config.algorithms for size in config.vocab_sizes]
    learn, measured = files
    job.map(functools.partial(try_out, config.tokenizer, learn, measured), tasks)
    job.stats.update(sample_bytes=sample.text_bytes, sample_documents=sample.documents)


def try_out(
    config: TokenizerConfig, learn: Path, held_out: Path, task: tuple[str, int], sink: Sink
) -> None:
    """Train one tokenizer and write what it does with held-out text; one row of account each."""
    algorithm, size = task
    own = ALGORITHMS[algorithm](segments(learn), replace(config, vocab_size=size))
    by_language = measure(own, held_out).by_language()
    rows = [
        pl.lit(algorithm).alias("algorithm"),
        pl.lit(size, pl.Int64).alias("vocab_size"),
        pl.lit(own.vocab_size, pl.Int64).alias("pieces"),
    ]
    sink.write(MAIN, by_language.select(*rows, pl.all()).to_arrow())
    sink.saw(1)
    sink.kept(1)


class ByteLevel:
    """A byte-level BPE of the library `tokenizers` with what `measure` asks of a tokenizer."""

    def __init__(self, lines: Iterable[str], config: TokenizerConfig):
        from tokenizers import Tokenizer as Library
        from tokenizers import decoders, models, pre_tokenizers, trainers

        alphabet = pre_tokenizers.ByteLevel.alphabet()
        self._library = Library(models.BPE())
        self._library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._library.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=int(config.vocab_size), initial_alphabet=alphabet, show_progress=False
        )
        # Its regular expression keeps line feeds with what is around them.
        self._library.train_from_iterator((f"{line}\n" for line in lines), trainer)
        self.vocab_size: int = self._library.get_vocab_size()
        # Letters stand for bytes: those below 0x80 for themselves or from U+0100 to U+0121.
        halves = [c for c in alphabet if not c.isascii() and not 0x100 <= ord(c) <= 0x121]
        self._halves = {self._library.token_to_id(c) for c in halves}

    def encode_batch(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return all ids end to end (int32, N) and where each text starts (int64, texts + 1)."""
        ids = [encoding.ids for encoding in self._library.encode_batch_fast(texts)]
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        return np.concatenate([np.array(row_ids, np.int32) for row_ids in ids]), offsets

    def decode(self, ids: Any) -> str:
        """Return the text of ids."""
        return self._library.decode([int(token_id) for token_id in ids], skip_special_tokens=False)

    def is_byte(self, token_id: int) -> bool:
        """Tell whether an id stands for one byte of a longer character."""
        return token_id in self._halves


def _sentencepiece(model_type: str) -> Callable[[Any, TokenizerConfig], AnyTokenizer]:
    return lambda lines, config: Tokenizer(train(lines, replace(config, model_type=model_type)))


ALGORITHMS: dict[str, Callable[[Any, TokenizerConfig], AnyTokenizer]] = {
    "bpe": _sentencepiece("bpe"),
    "unigram": _sentencepiece("unigram"),
    BYTE_LEVEL: ByteLevel,
}
STAGE = Stage(
    name="tokenizer_sweep",
    contract=SWEEP,
    run=run,
    module="pipeline.tokenizer_sweep",
    libraries=("numba", "numpy", "polars", "pyarrow", "sentencepiece"),
    counts_rows=False,
)
