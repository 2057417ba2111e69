"""Stage `tokenizer`: documents -> a SentencePiece model and how well it does per language.

Same bytes on any machine: the sample is drawn by document hash (SentencePiece's own sampling is not
reproducible), goes in hash order, and the trainer's thread count, which its file states, is fixed.
"""

import functools
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import sentencepiece

from pipeline.errors import SourceError
from pipeline.schema import TOKENIZER_REPORT, TOKENIZER_SOURCES
from pipeline.stage import Job, Stage
from pipeline.store import storage
from pipeline.store.artifact import MAIN, Artifact
from pipeline.store.sink import Sink
from pipeline.tokenizer import CONTROLS, MODEL_FILE, SPACE_MARK, Tokenizer, load_tokenizer
from pipeline.tokenizing.config import TRAINING_THREADS, TokenizerConfig, TooFewPieces
from pipeline.tokenizing.drift import drift, reasons
from pipeline.tokenizing.fitting import FIT, fit_of
from pipeline.tokenizing.report import Fit, unused_pieces
from pipeline.tokenizing.sample import TextSample, draw_sample
from pipeline.tokenizing.vocabulary_size import AUTO, character_counts, choose
from pipeline.vocabulary import read_vocabulary, with_exact_scores

SALT = "tokenizer sample"
OUTSIDE_SAMPLE = "outside_sample"
# The trainer skips longer segments, and any that holds NUL or U+2585, without saying so: lines are
# cut before that happens. No piece spans a line break, so nothing is lost.
SEGMENT_BYTES = 16384
SEGMENT = re.compile(f"[^\n\0\u2585]{{1,{SEGMENT_BYTES // 4}}}")
BATCH_ROWS = 256
BY_SOURCE = "by_source"
GIVEN = "given_tokenizer"
UNUSED_SHOWN = 40
TOO_FEW = re.compile(r"required_chars\. \d+ vs (\d+)")


@dataclass(frozen=True)
class GivenTokenizer:
    """A .model file from elsewhere, as a parent of the stage: measured and used as it is."""

    model: Path
    stage: str = GIVEN

    @property
    def fingerprint(self) -> str:
        """Hash of the file."""
        return storage.sha256_of(self.model)

    def file(self, name: str) -> Path:
        """Return the path of the model."""
        return self.model


def run(job: Job[TokenizerConfig]) -> None:
    """Train on a sample of the first parent artifact (deduped, clean or raw) and measure.

    A second parent is an earlier tokenizer: it is kept while it fits (`DriftRule`), or whatever
    its figures if it is a `GivenTokenizer`; then no text is read but what is new.
    """
    config, (documents, *earlier) = job.config, job.parents
    path = job.file(MODEL_FILE)
    if not documents.text_bytes:
        raise SourceError(
            f"{documents.path}: holds no text to train a tokenizer on; "
            f"look at what the stages before dropped, or give more sources"
        )
    kept = keep_or_not(job, documents, earlier[0]) if earlier else None
    if kept is not None:
        storage.write_bytes(path, kept)
    else:
        _train_on_sample(job, documents, path)
    fit = fit_of(job, documents, path)
    measured = int(fit.by_source["documents"].sum())
    seen = job.stats.get("sample_documents", measured), documents.rows
    job.map(functools.partial(report, fit, seen), [None])
    unused = unused_pieces(path.read_bytes(), fit.uses)
    vocab_size = load_tokenizer(path).vocab_size
    is_asked = kept is None and config.vocab_size != AUTO
    job.stats.update(
        vocab_size=vocab_size,
        vocab_size_asked=config.vocab_size if is_asked else vocab_size,
        model_type=read_vocabulary(path.read_bytes()).model_type,
        tokenizer_sha256=storage.sha256_of(path),
        round_trip_failures=int(fit.by_source["round_trip_failures"].sum()),
        measured_documents=measured,
        measured_bytes=int(fit.by_source["bytes"].sum()),
        unused_pieces=len(unused),
        unused_examples=unused[:UNUSED_SHOWN],
    )


def _train_on_sample(job: Job[TokenizerConfig], documents: Artifact, path: Path) -> None:
    config = job.config
    sample = draw_sample(job, documents, config.sample_bytes, SALT, config.balance)
    if not path.exists():  # a run that was killed while measuring left it whole
        storage.write_bytes(path, fit(sample, config, documents.text_bytes))
    job.stats.update(sample_documents=sample.documents, sample_bytes=sample.text_bytes)


def keep_or_not(job: Job[TokenizerConfig], documents: Artifact, earlier: Any) -> bytes | None:
    """Return an earlier tokenizer's model if it is to be kept; `job.stats` says so or why not."""
    model: Path = earlier.file(MODEL_FILE)
    if earlier.stage != GIVEN:
        now = fit_of(job, documents, model).by_language()
        table = drift(earlier.scan().collect(), now, job.config.drift)
        why = reasons(table)
        job.stats["drift"] = table.to_dicts()
        job.stats["retrained_because"] = why
        if why:
            return None
    job.stats["origin"] = earlier.fingerprint
    return model.read_bytes()


def report(fit: Fit, documents: tuple[int, int], _: None, sink: Sink) -> None:
    """Write the report and the ledger of `documents`, (trained on or else measured, all)."""
    used, seen = documents
    sink.saw(seen)
    sink.kept(used)
    sink.dropped(OUTSIDE_SAMPLE, seen - used)
    sink.write(MAIN, fit.by_language().to_arrow())
    sink.write(BY_SOURCE, fit.by_source.to_arrow())


def segments(sample: Path) -> Iterator[str]:
    """Yield the lines of a sample file, those too long for the trainer in pieces."""
    with pq.ParquetFile(sample) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=["text"]):
            for text in batch.column("text").to_pylist():
                yield from (match.group() for match in SEGMENT.finditer(text))


def fit(sample: TextSample, config: TokenizerConfig, text_bytes: int) -> bytes:
    """Train on a sample of a corpus of `text_bytes`, at the size asked for or that suits it."""
    if config.vocab_size != AUTO:
        return train(segments(sample.file), config)
    needed = config.needed(character_counts(segments(sample.file)))
    size = choose(needed, text_bytes)
    try:
        return train(segments(sample.file), replace(config, vocab_size=size))
    except TooFewPieces as error:  # normalisation makes more characters of some
        size = choose(error.needed, text_bytes)
        return train(segments(sample.file), replace(config, vocab_size=size))


def train(lines: Iterator[str], config: TokenizerConfig) -> bytes:
    """Return the .model file of a vocabulary of up to `config.vocab_size` pieces.

    Raises ConfigError if that is too few for the characters to cover, SourceError without text.
    BPE: Sennrich et al. 2016 (arXiv:1508.07909); unigram: Kudo 2018 (arXiv:1804.10959).
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines, model_writer=model, **_trainer_options(config)
        )
    except RuntimeError as error:
        too_few = TOO_FEW.search(str(error))
        if too_few:
            raise TooFewPieces(config, int(too_few[1])) from error
        raise SourceError(
            f"no tokenizer can be trained on this text ({error}); give more text"
        ) from error
    if config.model_type == "unigram":
        return with_exact_scores(model.getvalue())
    return model.getvalue()


def _trainer_options(config: TokenizerConfig) -> dict[str, Any]:
    unk, bos, eos, pad = CONTROLS
    return {
        "model_type": config.model_type,
        "vocab_size": config.vocab_size,
        "hard_vocab_limit": False,  # fewer pieces instead of an error where text gives no more
        "num_threads": TRAINING_THREADS[config.model_type],
        "byte_fallback": config.byte_fallback,
        "character_coverage": config.character_coverage,
        # Text of unspaced scripts may have none, or fewer than coverage asks for: without a piece
        # of its own a space would be the bytes of U+2581, and come back as that.
        "required_chars": SPACE_MARK,
        "split_digits": config.split_digits,
        "max_sentencepiece_length": config.max_piece_characters,
        "user_defined_symbols": [*config.line_pieces, *config.symbols],
        "control_symbols": [*config.control_symbols],
        "normalization_rule_name": config.normalization,
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
        "max_sentence_length": SEGMENT_BYTES,
        "input_sentence_size": 0,
        "unk_id": Tokenizer.unk_id,
        "bos_id": Tokenizer.bos_id,
        "eos_id": Tokenizer.eos_id,
        "pad_id": Tokenizer.pad_id,
        "unk_piece": unk,
        "bos_piece": bos,
        "eos_piece": eos,
        "pad_piece": pad,
        "unk_surface": "\ufffd",
        "minloglevel": 2,
    }


STAGE = Stage(
    name="tokenizer",
    contract=TOKENIZER_REPORT,
    run=run,
    module="pipeline.tokenizer_training",
    libraries=("numba", "numpy", "polars", "pyarrow", "sentencepiece"),
    tables={BY_SOURCE: TOKENIZER_SOURCES},
    index_phases=(FIT,),
    counts_rows=False,
)
