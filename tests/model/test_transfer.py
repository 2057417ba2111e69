"""Transfer: the same questions for all arms, a fair baseline, intervals that hold what they say."""

import json
from dataclasses import replace

import numpy as np
import pytest

from model.formats.base_model import BaseModel
from model.training.finetune_config import FinetuneConfig
from model.transfer import STAGE
from model.transferring.arms import ARMS, LINEAR, SCRATCH, TRANSFERRED, WORDS, arms_of
from model.transferring.comparison import (
    BEATS,
    LOSES,
    UNDECIDED,
    ArmComparison,
    Bootstrap,
    MeanInterval,
    compare,
    mean_interval,
)
from model.transferring.config import ARM_NAMES, ClassifierConfig, TransferConfig
from model.transferring.plots import draw
from model.transferring.tfidf import predict_labels, score_choices
from pipeline.errors import ConfigError, TrainingError
from pipeline.examples import STAGE as EXAMPLES
from pipeline.examples import ExamplesConfig
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage

THINGS = {"sky": "blue", "sea": "blue", "grass": "green", "leaf": "green"}
CONFIG = TransferConfig(
    questions_max=10,
    free_questions_max=12,
    classifier=ClassifierConfig(learning_rates=(1e-2, 1e-5), epochs=20, batch_size=4),
    finetune=FinetuneConfig(epochs=5, batch_size=2, learning_rates=(1e-2, 1e-5), precision="fp32"),
)


def examples(folder, rows, task):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sources = SourceSet.open([Source(path=str(folder / "rows.jsonl"))], folder)
    config = ExamplesConfig(task=task, validation_share=0.3)
    return run_stage(EXAMPLES, config, [sources], folder / "made").artifact


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    rows = [{"text": f"{n} {thing}", "label": c} for n in range(15) for thing, c in THINGS.items()]
    return examples(tmp_path_factory.mktemp("labelled"), rows, "classification")


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    rows = [{"en": f"{n} plus {m}", "zh": f"{n} 加 {m}"} for n in range(8) for m in range(8)]
    return examples(tmp_path_factory.mktemp("paired"), rows, "translation")


@pytest.fixture(scope="module")
def base(tiny_model):
    return BaseModel(tiny_model)


def run(base, examples, folder, arm, seed=1):
    config = replace(CONFIG, arm=arm, finetune=replace(CONFIG.finetune, seed=seed))
    return run_stage(STAGE, config, [base, examples], folder / f"{arm}-{seed}").artifact


@pytest.mark.parametrize("kind", ["labelled", "paired"])
def test_all_arms_answer_the_same_questions(kind, base, tmp_path, request):
    given = request.getfixturevalue(kind)
    made = {arm: run(base, given, tmp_path, arm) for arm in arms_of(given.stats["task"])}
    assert (WORDS in made) == (kind == "labelled")
    rows = {arm: one.scan().collect() for arm, one in made.items()}
    asked = rows[LINEAR].select("id", "answer")
    assert all(found.select("id", "answer").equals(asked) for found in rows.values())
    assert len(asked) == {"labelled": 10, "paired": 12}[kind]
    for arm, one in made.items():
        assert one.stats["accuracy"] == rows[arm]["right"].mean()
        assert one.ledger.seen == given.stats["examples"]["validation"]
        if arm in (SCRATCH, TRANSFERRED):
            assert one.stats["learning_rate"] == 1e-2
            assert ("weights" in one.stats) == (kind == "labelled")
    right = rows[LINEAR]
    assert (right["right"] == (right["chosen"] == right["answer"]).cast(float)).all()


def test_what_was_taught_is_known(base, labelled, tmp_path):
    for arm in ARMS:
        assert run(base, labelled, tmp_path, arm).stats["accuracy"] > 0.9
    again = run(base, labelled, tmp_path / "again", TRANSFERRED)
    first = run(base, labelled, tmp_path, TRANSFERRED)
    assert again.manifest == first.manifest


def test_the_linear_baseline_learns_labels_and_pairs():
    texts = [f"{word} {n}" for n in range(12) for word in ("wonderful book", "awful plot")]
    labels = ["pos", "neg"] * 12
    assert predict_labels(texts, labels, ["a wonderful day", "awful day"], 0) == ["pos", "neg"]
    words = {"red": "红", "green": "绿", "blue": "蓝", "black": "黑"}
    pairs = [(f"a {en} thing {n}", f"{zh}色的东西") for n in range(12) for en, zh in words.items()]
    asked = [(f"one {en} car", [f"{zh}色" for zh in words.values()]) for en in words]
    assert score_choices(pairs, asked, negatives=3, seed=0).argmax(1).tolist() == [0, 1, 2, 3]


def test_comparing_gives_means_differences_and_words(base, labelled, tmp_path):
    runs = {
        arm: [
            run(base, labelled, tmp_path, arm, seed)
            for seed in ((1, 2) if arm in (SCRATCH, TRANSFERRED) else (1,))
        ]
        for arm in ARMS
    }
    found = compare("colours", runs)
    for arm, made in runs.items():
        assert found.accuracy[arm].mean == np.mean([one.stats["accuracy"] for one in made])
        assert found.accuracy[arm].low <= found.accuracy[arm].mean <= found.accuracy[arm].high
    assert found.seeds == (1, 2)
    assert found.chance == 0.5
    assert compare("colours", runs) == found
    assert json.loads(json.dumps(found.to_json()))["transferred"].keys() == {SCRATCH, LINEAR, WORDS}


def told(task, arm, low, high):
    gap, unsure = MeanInterval((low + high) / 2, low, high), MeanInterval(0, -1, 1)
    fields = dict.fromkeys(ArmComparison.__dataclass_fields__, None)
    free = task == "translation" and arm == SCRATCH
    gaps = {"over": {arm: unsure if free else gap}, "bits_saved": gap if free else unsure}
    return ArmComparison(**{**fields, **gaps, "task": task}).verdict(arm)


@pytest.mark.parametrize("task", ["sentiment", "translation"])
@pytest.mark.parametrize("arm", [SCRATCH, LINEAR])
def test_words_follow_the_interval_of_what_decides(task, arm):
    assert told(task, arm, 0.01, 0.2) == BEATS
    assert told(task, arm, -0.2, -0.01) == LOSES
    assert told(task, arm, -0.1, 0.1) == UNDECIDED


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(5)
    held = 0
    for trial in range(200):
        values = (generator.random((3, 60)) < 0.6).astype(float)
        values[1:] = values[0]  # seeds that agree: questions alone vary
        low, high = np.quantile(Bootstrap(60, {"a": 3}, trial).means("a", values), [0.025, 0.975])
        held += low <= 0.6 <= high
    assert 0.88 < held / 200 < 0.99


def test_equal_outcomes_give_an_interval_around_their_mean_that_can_be_drawn(tmp_path):
    sure = mean_interval(1.0, np.full(1000, 1.0 + 2e-16 * 4))
    assert sure.low <= sure.mean <= sure.high
    arms = dict.fromkeys(ARMS, sure)
    one = ArmComparison(
        name="一 $set$", task="qa", langs=("zh",), questions=9, examples=9, chance=0.25, seeds=(1,),
        accuracy=arms, bits_per_byte=arms, over={SCRATCH: sure, LINEAR: sure}, bits_saved=sure,
    )  # fmt: skip
    assert all(plot.stat().st_size > 10_000 for plot in draw(tmp_path, [one]))


def test_seeds_that_differ_widen_the_interval():
    agree, differ = np.full((3, 50), 0.5), np.repeat([[0.2], [0.5], [0.8]], 50, axis=1)
    draws = Bootstrap(50, {"a": 3}, 0)
    assert np.ptp(draws.means("a", agree)) < 1e-9
    assert np.quantile(draws.means("a", differ), 0.975) > 0.65


def test_too_many_labels_and_settings_that_cannot_be_are_refused(base, tmp_path):
    rows = [{"text": f"text {n}", "label": f"label {n}"} for n in range(90)]
    many = examples(tmp_path / "many", rows, "classification")
    with pytest.raises(TrainingError, match="different labels"):
        run(base, many, tmp_path, LINEAR)
    for name, value in (
        ("arm", "both"),
        ("questions_max", 0),
        ("free_questions_max", 0),
        ("candidates", 1),
    ):
        with pytest.raises(ConfigError, match=rf"transfer\.{name}"):
            TransferConfig(**{name: value})


def test_every_arm_that_a_setting_names_is_there_and_no_other():
    assert tuple(ARMS) == ARM_NAMES
