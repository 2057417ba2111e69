"""A chain of small artifacts, made by real stages whose work is a few rows, for every test here."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from model.contracts import CURVE, DOCUMENT_SCORE, EVALUATION
from pipeline.schema import CLEAN, DEDUPED, RAW, TOKENIZER_REPORT, shard_contract
from pipeline.stage import Job, Stage, run_stage
from pipeline.store import storage
from tests.model.scores import score_rows

torch.set_num_threads(1)  # the networks here are tiny; more threads would only wait for each other

TEXTS = {
    "zh": "机器学习让计算机从数据里找到规律，而不是照着写好的规则一步一步做。",
    "en": "A model learns regularities from data instead of following rules written by hand.",
}
SOURCES = {"zh": "维基百科", "en": "handbook"}


@dataclass(frozen=True)
class Recipe:
    """What the made-up chain is to look like; every field changes a fingerprint."""

    bits_per_byte: float = 2.0
    text: str = "first corpus"
    seed: int = 0
    points: int = 40
    batch: int = 8
    zh_more: float = 0.0  # bits per byte in Chinese beside the others'


@dataclass(frozen=True)
class Chain:
    """The artifacts of a chain by role, with verdict files."""

    data: list
    training: object
    evaluation: object
    verdict_files: list[Path]

    @property
    def all(self) -> list:
        return [*self.data, self.training, self.evaluation]


def documents(stage: str, count: int, text: str) -> pa.Table:
    langs = ["zh" if i % 3 == 0 else "en" for i in range(count)]
    rows = {
        "id": [f"{i:04d}" for i in range(count)],
        "text": [f"{TEXTS[lang]} {i} {text}".strip() for i, lang in enumerate(langs)],
        "source": [SOURCES[lang] for lang in langs],
        "path": ["a.jsonl"] * count,
        "position": list(range(count)),
        "lang": langs,
        "license": ["CC-BY-SA-4.0" if lang == "zh" else None for lang in langs],
        "meta": [None] * count,
    }
    return pa.table(rows)


def rejects(rule: str, count: int) -> pa.Table:
    return pa.table(
        {
            "id": [f"r{i}" for i in range(count)],
            "source": ["handbook"] * count,
            "rule": [rule] * count,
            "value": [0.1] * count,
            "threshold": [0.5] * count,
            "partner": pa.nulls(count, pa.string()),
            "similarity": pa.nulls(count, pa.float64()),
        }
    )


def document_work(task, sink) -> None:
    stage, seen, kept, rules, text = task
    sink.saw(seen)
    sink.write("main", documents(stage, kept, text))
    for rule, count in rules.items():
        sink.write("rejects", rejects(rule, count))


def table_work(task, sink) -> None:
    table = pa.Table.from_pylist(task)
    sink.saw(len(task))
    sink.write("main", table)


def document_run(stage: str, seen: int, kept: int, rules: dict[str, int]):
    def run(job: Job) -> None:
        text = "" if job.config.text == Recipe().text else job.config.text
        job.map(document_work, [(stage, seen, kept, rules, text)])

    return run


def shard_run(job: Job) -> None:
    ids = {"id": "0000", "source": "handbook", "lang": "en", "split": "train"}
    job.map(table_work, [[{**ids, "tokens": [5, 6, 7], "offset": 0, "bytes": 12}]])


def tokenizer_run(job: Job) -> None:
    job.stats["vocab_size"] = 512
    row = {"documents": 90, "bytes": 9000, "characters": 7000, "words": 1500, "tokens": 2500,
           "byte_tokens": 20, "round_trip_failures": 0}  # fmt: skip
    job.map(table_work, [[{"lang": lang, **row} for lang in ("all", "en", "zh")]])


def curve_rows(points: int) -> list[dict]:
    return [
        {
            "step": step,
            "tokens": step * 4096,
            "loss": 2.4 + 4 * math.exp(-step / 12) + 0.05 * math.sin(step),
            "learning_rate": 1e-3 * min(1, step / 5) * (1 - step / (points + 1)),
            "gradient_norm": 0.6 + 3 * math.exp(-step / 9),
            "validation_loss": 2.5 + 4 * math.exp(-step / 12) if step % 10 == 0 else None,
        }
        for step in range(1, points + 1)
    ]


def train_run(model_folder: Path | None):
    def run(job: Job) -> None:
        for source in sorted(model_folder.iterdir()) if model_folder else []:
            if source.is_file() and source.name not in ("manifest.json", "timing.json"):
                job.file(source.name).write_bytes(source.read_bytes())
        points = job.config.points
        job.stats |= {"parameters": 250_000, "tokens_seen": points * 4096, "precision": "float32"}
        job.map(table_work, [curve_rows(points)])

    return run


def evaluate_work(task, sink) -> None:
    ours, more = task
    sink.saw(0)
    sink.write("main", pa.Table.from_pylist(evaluation_rows(ours)))
    rows = score_rows(ours, **more)
    sink.write("documents", pa.Table.from_pylist(rows, schema=DOCUMENT_SCORE.schema))


def evaluate_run(ours: float, more: dict[str, float]):
    def run(job: Job) -> None:
        job.map(evaluate_work, [(ours, more)])

    return run


def evaluation_rows(ours: float) -> list[dict]:
    slices = [("all", "all", 0), ("lang", "en", -0.2), ("lang", "zh", 0.3),
              ("source", "handbook", -0.2), ("source", "维基百科", 0.3)]  # fmt: skip
    return [
        {
            "kind": kind, "name": name, "documents": 30, "tokens": 900, "bytes": 3600,
            "loss": (ours + more) * 2.7, "perplexity": math.exp((ours + more) * 2.7),
            "accuracy": 0.31, "bits_per_byte": ours + more, "unigram_bits_per_byte": 3.1 + more,
        }
        for kind, name, more in slices
    ]  # fmt: skip


def stage(name: str, contract, run) -> Stage:
    return Stage(name, contract, run, "pipeline.schema", ())


@pytest.fixture(scope="session")
def made_chain(tmp_path_factory):
    """Return a function (folder, **Recipe fields, model_folder=None) -> Chain, quick to call."""

    def make(folder: Path, model_folder: Path | None = None, **fields) -> Chain:
        recipe = Recipe(**fields)
        corpus = replace(recipe, bits_per_byte=0.0, zh_more=0.0, seed=0, points=0, batch=0)
        learned = replace(recipe, batch=0, bits_per_byte=0.0, zh_more=0.0)

        def run(stage_name, contract, work, config, parents, **more):
            there = folder / stage_name
            made = stage(stage_name, contract, work)
            return run_stage(replace(made, **more), config, parents, there).artifact

        ingest = run("ingest", RAW, document_run("ingest", 120, 118, {"too_large": 2}), corpus, [])
        kept = document_run("clean", 118, 100, {"min_words": 11, "symbol_ratio": 7})
        clean = run("clean", CLEAN, kept, corpus, [ingest])
        kept = document_run("dedup", 100, 90, {"near_duplicate": 10})
        dedup = run("dedup", DEDUPED, kept, corpus, [clean])
        tokenizer = run("tokenizer", TOKENIZER_REPORT, tokenizer_run, corpus, [dedup])
        shard = run("shard", shard_contract(512), shard_run, corpus, [dedup, tokenizer])
        work = train_run(model_folder)
        train = run("train", CURVE, work, learned, [shard, tokenizer])
        judged = replace(recipe, bits_per_byte=0.0, zh_more=0.0, seed=0, points=0)
        work = evaluate_run(recipe.bits_per_byte, {"zh": recipe.zh_more})
        tables = {"documents": DOCUMENT_SCORE}
        evaluation = run(
            "evaluate", EVALUATION, work, judged, [train, shard], tables=tables, counts_rows=False
        )
        verdicts = []
        for name in ("clean", "evaluate"):
            verdicts.append(folder / f"{name}.verdict.json")
            storage.write_json(verdicts[-1], {"stage": name, "passed": True, "outcomes": []})
        data = [ingest, clean, dedup, tokenizer, shard]
        return Chain(data, train, evaluation, verdicts)

    return make


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A model folder as `train` writes it: an untrained network of a few thousand weights."""
    return untrained(tmp_path_factory, "tiny-model", [])


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory) -> Path:
    """The same as `finetune` writes it after chats: with symbols for roles, and a template."""
    from pipeline.prompts.turns import ROLE_SYMBOLS

    return untrained(tmp_path_factory, "chat-model", list(ROLE_SYMBOLS.values()), chats=True)


def untrained(tmp_path_factory, name: str, controls: list[str], *, chats: bool = False) -> Path:
    import io

    import sentencepiece

    from model.formats import model_folder as export
    from model.network.architecture import ModelConfig
    from model.network.networks import GPT

    folder = tmp_path_factory.mktemp(name)
    learned = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([f"{text} {i}" for i in range(60) for text in TEXTS.values()]),
        model_writer=learned, model_type="bpe", vocab_size=380, byte_fallback=True,
        normalization_rule_name="identity", add_dummy_prefix=False,
        remove_extra_whitespaces=False, unk_id=0, bos_id=1, eos_id=2, pad_id=3,
        unk_piece="<|unk|>", bos_piece="<|bos|>", eos_piece="<|eos|>", pad_piece="<|pad|>",
        control_symbols=controls, minloglevel=2, num_threads=1,
    )  # fmt: skip
    given = tmp_path_factory.mktemp("tiny-tokenizer") / "tokenizer.model"
    given.write_bytes(learned.getvalue())
    torch.manual_seed(5)
    config = ModelConfig(layers=1, width=32, heads=2, kv_heads=2, hidden=48, context=64)
    export.write(GPT(config, vocab_size=380), given, lambda name: folder / name, chats=chats)
    return folder
