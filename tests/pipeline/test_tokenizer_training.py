"""Training: same bytes wherever it runs, honest figures, every document accounted for."""

import pydoc_data.topics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import sentencepiece

from pipeline import tokenizer_training
from pipeline.engine.local import LocalEngine
from pipeline.errors import ConfigError, SourceError
from pipeline.hashing import id_hashes
from pipeline.schema import CLEAN, RAW
from pipeline.stage import Stage, run_stage
from pipeline.store import storage
from pipeline.tokenizer import load_tokenizer
from pipeline.tokenizer_training import SALT, STAGE, TokenizerConfig, train

CHINESE = Path(__file__).parents[1] / "data" / "tokenizer_zh.txt"
SMALL = TokenizerConfig(vocab_size=1024)


@dataclass(frozen=True)
class DocumentsConfig:
    documents: tuple[tuple[str, str, str | None], ...]  # id, text, lang
    rows_per_part: int = 1000


def write_documents(rows, sink):
    ids, texts, langs = zip(*rows, strict=True)
    sink.saw(len(rows))
    count = len(rows)
    columns = {"id": ids, "text": texts, "lang": langs, "source": ["test"] * count,
               "path": ["-"] * count, "position": range(count),
               "license": [None] * count, "meta": [None] * count}  # fmt: skip
    sink.write("main", pa.table({name: list(values) for name, values in columns.items()}))


def documents_run(job):
    rows, step = job.config.documents, job.config.rows_per_part
    job.map(write_documents, [rows[i : i + step] for i in range(0, len(rows), step)])


DOCUMENTS = Stage("clean", CLEAN, documents_run, "pipeline.store.ledger", ("pyarrow",))
RAW_DOCUMENTS = Stage("ingest", RAW, documents_run, "pipeline.store.ledger", ("pyarrow",))


def corpus(topics: int = 30) -> tuple[tuple[str, str, str | None], ...]:
    english = sorted(pydoc_data.topics.topics.items())[:topics]
    chinese = CHINESE.read_text(encoding="utf-8").splitlines()
    return (
        *((name, text, "en") for name, text in english),
        *((f"zh-{n}", "\n".join(chinese[n : n + 3]), "zh") for n in range(0, len(chinese), 3)),
    )


def made(folder: Path, rows, rows_per_part: int = 1000, stage: Stage = DOCUMENTS):
    return run_stage(stage, DocumentsConfig(tuple(rows), rows_per_part), [], folder).artifact


def digest(folder: Path) -> dict[str, str]:
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.name != "timing.json"]
    return {str(f.relative_to(folder)): storage.sha256_of(f) for f in files}


def pieces(model: bytes) -> list[str]:
    own = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [own.id_to_piece(i) for i in range(own.vocab_size())]


def test_any_number_of_workers_gives_the_same_bytes(tmp_path):
    parent = made(tmp_path / "in", corpus(), 10)
    config = TokenizerConfig(vocab_size=1024, sample_bytes=100_000)
    one = run_stage(STAGE, config, [parent], tmp_path / "one").artifact
    two = run_stage(STAGE, config, [parent], tmp_path / "two", engine=LocalEngine(2)).artifact
    assert digest(one.path) == digest(two.path)


def test_the_thread_count_does_not_change_the_pieces(monkeypatch):
    lines = [line for _, text, _ in corpus() for line in text.splitlines()]
    found = []
    for threads in (1, 3):
        monkeypatch.setitem(tokenizer_training.TRAINING_THREADS, "bpe", threads)
        found.append(pieces(train(iter(lines), SMALL)))
    assert found[0] == found[1]


def test_the_sample_is_the_documents_of_smallest_hash_in_any_layout(tmp_path):
    rows = corpus()
    config = TokenizerConfig(vocab_size=1024, sample_bytes=60_000)
    models = []
    for name, order, rows_per_part in (("a", rows, 1000), ("b", rows[::-1], 7)):
        parent = made(tmp_path / f"in-{name}", order, rows_per_part)
        run = run_stage(STAGE, config, [parent], tmp_path / name).artifact
        models.append(run.file("tokenizer.model").read_bytes())
        assert run.stats["sample_bytes"] == 60_000
    assert models[0] == models[1]
    groups = {lang: [row for row in rows if row[2] == lang] for lang in ("en", "zh")}
    sizes = {lang: sum(len(text.encode()) for _, text, _ in of) for lang, of in groups.items()}
    assert sizes["zh"] < 60_000 / 4 < sizes["en"]
    hashes = id_hashes(pa.array([row[0] for row in groups["en"]]), SALT)
    lengths = np.array([len(row[1].encode()) for row in groups["en"]])[np.argsort(hashes)]
    english = int(np.searchsorted(np.cumsum(lengths), 60_000 - sizes["zh"])) + 1
    wanted = english + len(groups["zh"])  # a small language is taken whole
    assert run.stats["sample_documents"] == wanted
    assert run.ledger.to_json() == {
        "in": len(rows), "kept": wanted, "quarantined": {}, "changed": {},
        "dropped": {"outside_sample": len(rows) - wanted},
    }  # fmt: skip


def test_the_report_counts_what_a_reader_would_count(tmp_path):
    rows = corpus()
    run = run_stage(STAGE, SMALL, [made(tmp_path / "in", rows)], tmp_path / "t").artifact
    report = {row["lang"]: row for row in run.scan().collect().to_dicts()}
    assert list(report) == ["all", "en", "zh"]
    own = load_tokenizer(run.path)
    for lang in ("en", "zh"):
        texts = [text for _, text, of in rows if of == lang]
        ids = [one for text in texts for one in own.encode(text)]
        assert report[lang]["documents"] == len(texts)
        assert report[lang]["bytes"] == sum(len(text.encode()) for text in texts)
        assert report[lang]["characters"] == sum(map(len, texts))
        assert report[lang]["tokens"] == len(ids)
        assert report[lang]["byte_tokens"] == sum(map(own.is_byte, ids))
    for name in set(report["all"]) - {"lang"}:
        assert report["all"][name] == report["en"][name] + report["zh"][name]
    # Chinese: every character but punctuation and line breaks is a word.
    hanzi = sum("\u4e00" <= c <= "\u9fff" for _, t, of in rows if of == "zh" for c in t)
    assert report["zh"]["words"] == hanzi
    assert run.stats["round_trip_failures"] == 0
    by_source = run.scan("by_source").collect().to_dicts()
    assert [(row["lang"], row.pop("source")) for row in by_source] == [
        ("en", "test"),
        ("zh", "test"),
    ]
    assert by_source == [report["en"], report["zh"]]
    used = {one for _, text, _ in rows for one in own.encode(text)}
    unused = [own.piece(i) for i in range(264, own.vocab_size) if i not in used]
    assert run.stats["unused_pieces"] == len(unused)
    assert run.stats["unused_examples"] == unused[:40]
    assert run.stats["tokenizer_sha256"] == storage.sha256_of(run.file("tokenizer.model"))


def test_a_tokenizer_that_loses_text_says_so(tmp_path):
    rows = [*corpus(5), ("wide", "ＡＢＣ　１２３ 和 ½", "zh")]
    config = TokenizerConfig(vocab_size=1024, byte_fallback=False, normalization="nfkc")
    run = run_stage(STAGE, config, [made(tmp_path / "in", rows)], tmp_path / "t").artifact
    failures = dict(run.scan().select("lang", "round_trip_failures").collect().iter_rows())
    assert failures["zh"] >= 1
    assert run.stats["round_trip_failures"] == failures["all"] == sum(failures.values()) / 2


def test_a_small_corpus_gives_a_smaller_vocabulary(tmp_path):
    parent = made(tmp_path / "in", [("a", "hello world, hello", "en")])
    config = TokenizerConfig(vocab_size=8192)
    run = run_stage(STAGE, config, [parent], tmp_path / "t").artifact
    assert run.stats["vocab_size_asked"] == 8192
    assert 261 < run.stats["vocab_size"] < 400
    assert load_tokenizer(run.path).vocab_size == run.stats["vocab_size"]


def test_text_without_a_language_is_und(tmp_path):
    rows = [(name, text, None) for name, text, _ in corpus(2)]
    parent = made(tmp_path / "in", rows, stage=RAW_DOCUMENTS)
    run = run_stage(STAGE, SMALL, [parent], tmp_path / "t").artifact
    assert run.scan().collect()["lang"].to_list() == ["all", "und"]


@pytest.mark.parametrize("rows", [[], [("a", "\n\n\n", "en")]])
def test_a_corpus_without_text_is_refused(tmp_path, rows):
    parent = made(tmp_path / "in", rows)
    with pytest.raises(SourceError, match="more"):
        run_stage(STAGE, SMALL, [parent], tmp_path / "t")


def test_too_few_pieces_for_the_characters_names_the_number_needed():
    config = TokenizerConfig(vocab_size=300)
    with pytest.raises(ConfigError, match=r"characters of this text alone are [3-9][0-9][0-9]"):
        train(iter(CHINESE.read_text(encoding="utf-8").splitlines()), config)


@pytest.mark.parametrize("text", ["x" * 50_000, "信" * 50_000, "word\u2585" * 9, "word\0" * 9])
def test_no_line_is_left_out_of_training(tmp_path, text):
    file = tmp_path / "sample.parquet"
    pl.DataFrame({"lang": ["und"], "text": [text]}).write_parquet(file)
    found = list(tokenizer_training.segments(file))
    assert "".join(found) == text.replace("\u2585", "").replace("\0", "")
    assert max(len(one.encode()) for one in found) <= tokenizer_training.SEGMENT_BYTES


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_symbols_are_pieces_in_text_and_control_symbols_are_not(model_type):
    lines = [line for _, text, _ in corpus(8) for line in text.splitlines()]
    long = "<|the_end_of_what_a_reader_of_this_says_and_is_not_a_module|>"
    config = TokenizerConfig(
        vocab_size=1024, model_type=model_type, symbols=("<|user|>", long),
        control_symbols=("<|fim|>",),
    )  # fmt: skip
    own = tokenizer_training.Tokenizer(train(iter(lines), config))
    text = f"say<|user|>hi <|fim|> <|user|>the{long}a module{long}"
    ids = own.encode(text)
    assert ids.count(own.symbol_id("<|user|>")) == 2
    assert ids.count(own.symbol_id(long)) == 2
    assert own.symbol_id("<|fim|>") not in ids
    assert own.decode(ids) == text
    assert own.encode_batch([text])[0].tolist() == ids


def test_line_feeds_are_a_piece_or_bytes():
    lines = CHINESE.read_text(encoding="utf-8").splitlines()
    for keep, is_byte in ((True, False), (False, True)):
        own = tokenizer_training.Tokenizer(
            train(iter(lines), TokenizerConfig(vocab_size=1024, keep_newlines=keep))
        )
        [one] = own.encode("\n")
        assert own.is_byte(one) is is_byte


@pytest.mark.parametrize(
    "wrong",
    [
        {"vocab_size": 100}, {"model_type": "word"}, {"normalization": "nfd"},
        {"character_coverage": 0.5}, {"sample_bytes": 0}, {"max_piece_characters": 0},
        {"symbols": ("<|bos|>",)}, {"symbols": ("a", "a")}, {"control_symbols": ("a b",)},
        {"balance": 2.0},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TokenizerConfig(**wrong)
