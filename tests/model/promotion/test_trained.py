"""The rule of promotion on models that were trained: better, lucky, worse in Chinese, garbage.

Scores come of real trainings on the built-in text; what seeds alone cause is measured on seeds that
no contender has.
"""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest

from flows.commands.seed_spread import seed_spread
from model.data.config import DataConfig
from model.evaluate import STAGE as EVALUATE
from model.evaluate import EvaluateConfig
from model.evaluation.config import BaselineConfig, MemorisationConfig, ToxicityConfig
from model.evaluation.evaluation import document_scores
from model.network.architecture import ModelConfig
from model.promotion.config import PromotionConfig
from model.promotion.ledger import HOLD, PASSED, PROMOTE, REJECT, PromotionLedger
from model.promotion.rule import Challenger, ReigningChampion, judge
from model.reports.training_comparison import Trained
from model.train import STAGE as TRAIN
from model.training.config import TrainConfig
from pipeline.batching.shares import Share
from pipeline.schema import CLEAN
from pipeline.shard import STAGE as SHARD
from pipeline.shard import ShardConfig
from pipeline.stage import Job, Stage, run_stage
from pipeline.store.artifact import Artifact
from pipeline.store.sink import Sink
from pipeline.tokenizer import load_tokenizer
from pipeline.tokenizer_training import STAGE as TOKENIZER
from pipeline.tokenizing.config import TokenizerConfig
from tests import small_world

ENGLISH = 110  # documents: four fifths of the bytes
CHAMPION = TrainConfig(
    steps=25, batch_size=16, optimizer="muon", learning_rate=0.02, matrix_rate_share=0.5,
    warmup_steps=5, validate_every=1000, precision="fp32", compile="off", seed=1,
    model=ModelConfig(layers=1, width=48, heads=2, kv_heads=2, hidden=128, context=64),
)  # fmt: skip
QUICK = EvaluateConfig(
    bias=False,
    baselines=BaselineConfig(ngram_order=None, compressor_bytes_max=None),
    memorisation=MemorisationConfig(examples=None),
    toxicity=ToxicityConfig(samples=None),
)
CONTENDERS = (1, 3, 5)  # seeds of equal trainings that meet each other
MEASURED = (11, 12, 13, 14)  # seeds that the spread is measured on
NO_SPREAD = PromotionConfig()


@dataclass(frozen=True)
class Paragraphs:
    """How many English documents there are, beside all Chinese ones."""

    english: int = ENGLISH


def write_paragraphs(config: Paragraphs, sink: Sink) -> None:
    texts = [("en", text) for text in small_world.english()[: config.english]]
    texts += [("zh", text) for text in small_world.chinese()]
    rows = [
        {"id": f"{lang}-{number}", "text": text, "source": "built-in", "path": "p",
         "position": number, "lang": lang, "license": None, "meta": None}
        for number, (lang, text) in enumerate(texts)
    ]  # fmt: skip
    sink.saw(len(rows))
    sink.write("main", pa.Table.from_pylist(rows, schema=CLEAN.schema))


def run_paragraphs(job: Job[Paragraphs]) -> None:
    job.map(write_paragraphs, [job.config])


PARAGRAPHS = Stage("clean", CLEAN, run_paragraphs, "pipeline.store.ledger", ("pyarrow",))


class Contest:
    """Trainings on one set of shards, each made and scored once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models: dict[TrainConfig, Artifact] = {}
        texts = run_stage(PARAGRAPHS, Paragraphs(), [], folder / "texts").artifact
        settings = TokenizerConfig(vocab_size=1600)
        tokenizer = run_stage(TOKENIZER, settings, [texts], folder / "tokenizer").artifact
        split = ShardConfig(validation_share=0.3)
        self.shards = run_stage(SHARD, split, [texts, tokenizer], folder / "shards").artifact
        measured = [self._slices(self.model(seed=seed)) for seed in MEASURED]
        self.spread = seed_spread(measured)

    def model(self, **changes) -> Artifact:
        """Train as the champion was, but for some settings."""
        config = replace(CHAMPION, **changes)
        if config not in self.models:
            place = self.folder / f"model-{len(self.models)}"
            self.models[config] = run_stage(TRAIN, config, [self.shards], place).artifact
        return self.models[config]

    def judge(
        self, challenger: Artifact, champion: Artifact, config: PromotionConfig
    ) -> PromotionLedger:
        """Judge as registration does: the champion is scored anew on the same documents."""
        tokenizer = load_tokenizer(self.shards.path)
        costs = document_scores(champion.path, self.shards, tokenizer, QUICK)
        documents = self._scores(challenger).rows_of("documents")
        return judge(Challenger("2", documents), ReigningChampion("1", costs), config)

    def _scores(self, model: Artifact) -> Artifact:
        place = model.path.with_name(f"{model.path.name}-scores")
        return run_stage(EVALUATE, QUICK, [model, self.shards], place).artifact

    def _slices(self, model: Artifact) -> Trained:
        slices = {
            row["kind"] if row["kind"] == "all" else f"{row['kind']}.{row['name']}": row[
                "bits_per_byte"
            ]
            for row in self._scores(model).rows_of()
        }
        return Trained("as it is", 0, slices=slices)


@pytest.fixture(scope="module")
def contest(tmp_path_factory) -> Contest:
    return Contest(tmp_path_factory.mktemp("contest"))


@pytest.fixture(scope="module")
def rule(contest) -> PromotionConfig:
    """The rule of a recipe that what seeds alone cause is kept with."""
    return PromotionConfig(seed_spread=contest.spread)


def verdicts(ledger: PromotionLedger) -> dict[str, str]:
    return {gate.name: gate.verdict for gate in ledger.gates}


def test_a_model_that_was_trained_for_longer_is_promoted(contest, rule):
    ledger = contest.judge(contest.model(steps=75, seed=5), contest.model(), rule)
    assert ledger.verdict == PROMOTE
    assert set(verdicts(ledger).values()) == {PASSED}
    assert ledger.challenger_bits_per_byte < ledger.champion_bits_per_byte - 0.3
    back = contest.judge(contest.model(), contest.model(steps=75, seed=5), rule)
    assert back.verdict == REJECT


def test_the_luck_of_another_seed_is_promoted_only_where_no_spread_is_kept(contest, rule):
    pairs = [
        [contest.model(seed=seed) for seed in pair]
        for pair in itertools.permutations(CONTENDERS, 2)
    ]
    assert PROMOTE in {contest.judge(*pair, NO_SPREAD).verdict for pair in pairs}
    for pair in pairs:
        ledger = contest.judge(*pair, rule)
        assert ledger.verdict == REJECT
        assert ledger.reason.startswith("version 1 stays champion: not better: ")


def test_better_on_the_whole_and_worse_in_chinese_waits_and_names_the_language(contest, rule):
    english = DataConfig(mixture=(Share(lang="en"),))
    ledger = contest.judge(contest.model(steps=75, seed=6, data=english), contest.model(), rule)
    found = verdicts(ledger)
    assert ledger.verdict == HOLD
    assert (found["all"], found["lang en"], found["lang zh"]) == (PASSED, PASSED, HOLD)
    assert "lang zh: worse by " in ledger.reason
    assert "lang en" not in ledger.reason


def test_a_model_that_learned_nothing_is_rejected(contest, rule):
    ledger = contest.judge(contest.model(learning_rate=1e-6, seed=7), contest.model(), rule)
    assert ledger.verdict == REJECT
    assert ledger.reason.startswith("version 1 stays champion: not better: worse (")
    assert {found for name, found in verdicts(ledger).items() if name != "critical gates"} <= {
        REJECT,
        HOLD,
    }
