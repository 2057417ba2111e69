"""Going on from the champion: when, with what, on which text, and that it helps."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from model.evaluate import STAGE as EVALUATE
from model.evaluate import EvaluateConfig
from model.formats import model_folder
from model.formats.base_model import BaseModel
from model.train import STAGE
from model.training import loop
from model.training.checkpoint import OPTIMIZER
from model.training.continuation import plan_training
from model.training.retrain import AUTO, CONTINUE, SCRATCH, RetrainConfig, RetrainedConfig
from pipeline.batching.seen_documents import growth_of
from pipeline.errors import ConfigError, TrainingError
from pipeline.stage import run_stage
from tests.model.shards import grown_shards, make_shards
from tests.model.test_train import CONFIG, TINY, Killed, digest

BEFORE = {"english": 20, "chinese": 20}
GO_ON = RetrainConfig(CONTINUE, steps=24, warmup_steps=2, replay_share=0.25, peak_rate_share=0.5)


def retrained(train=CONFIG, **settings) -> RetrainedConfig:
    return RetrainedConfig.of(train, replace(GO_ON, **settings))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Shards before and after: 20 more English documents, 20 Chinese ones as before."""
    return grown_shards(tmp_path_factory.mktemp("shards"), before=BEFORE)


@pytest.fixture(scope="module")
def champion(pair, tmp_path_factory):
    train = replace(CONFIG, steps=96)
    return run_stage(STAGE, train, [pair[0]], tmp_path_factory.mktemp("champion") / "m").artifact


@pytest.fixture(scope="module")
def model(pair, champion, tmp_path_factory):
    """What became of the champion on the grown text."""
    folder = tmp_path_factory.mktemp("model") / "m"
    return run_stage(STAGE, retrained(), [pair[1], champion, pair[0]], folder).artifact


def test_it_is_better_on_new_text_at_once_than_a_model_begun_anew(pair, champion, model, tmp_path):
    anew = run_stage(STAGE, replace(CONFIG, steps=24), [pair[1]], tmp_path / "m").artifact
    quick = EvaluateConfig(documents_max=1000, bias=False)
    figures = {}
    for name, artifact in (("on", model), ("anew", anew)):
        parents = [artifact, pair[1], champion, pair[0]]
        rows = run_stage(EVALUATE, quick, parents, tmp_path / name).artifact.rows_of("figures")
        figures[name] = {row["name"]: row["value"] for row in rows}
    assert figures["on"]["retrain.new.bits_per_byte"] < (
        figures["anew"]["retrain.new.bits_per_byte"] - 0.1
    )
    assert figures["on"]["retrain.new.change"] < 0 < figures["anew"]["retrain.new.change"]
    assert abs(figures["on"]["retrain.old.change"]) < 0.2 < figures["anew"]["retrain.old.change"]


def test_the_stats_say_what_was_decided_and_what_came_of_it(pair, champion, model):
    stats, growth = model.stats["retrain"], growth_of(*reversed(pair))
    assert stats["policy"] == CONTINUE
    assert stats["champion"] == champion.fingerprint
    assert stats["new_share"] == pytest.approx(growth.new_share, abs=1e-6)
    assert stats["optimizer_state"] == "the champion's"
    assert stats["learning_rate"] == CONFIG.learning_rate * 0.5
    assert model.rows_of()[-1]["step"] == stats["steps"] == 24
    assert f"{growth.new_share:.1%}" in stats["reason"]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6])
def test_the_share_of_old_text_is_as_stated_to_a_window(pair, champion, tmp_path, share):
    config = retrained(replay_share=share)
    parents = [pair[1], champion, pair[0]]
    artifact = run_stage(STAGE, config, parents, tmp_path / "m").artifact
    tokens = artifact.stats["tokens_seen"]
    found = artifact.stats["retrain"]["replayed_share"]
    assert abs(found * tokens - share * tokens) <= TINY.context + 1


def test_it_begins_with_the_champions_weights_and_moments(pair, champion, tmp_path):
    still = replace(CONFIG, learning_rate=1e-12, weight_decay=0.0)
    config = retrained(still, steps=1)
    parents = [pair[1], champion, pair[0]]
    artifact = run_stage(STAGE, config, parents, tmp_path / "m").artifact
    for name, weight in model_folder.read(artifact.path).named_parameters():
        torch.testing.assert_close(
            weight, dict(model_folder.read(champion.path).named_parameters())[name]
        )
    before, after = (load_file(m.path / OPTIMIZER) for m in (champion, artifact))
    steps = [key for key in before if key.startswith("step/")]
    assert steps
    assert all(after[key] == before[key] + 1 for key in steps)
    assert before.keys() == after.keys()


def test_the_optimizers_state_can_be_left_behind(pair, champion, tmp_path):
    config = retrained(optimizer_state=False, steps=3)
    parents = [pair[1], champion, pair[0]]
    artifact = run_stage(STAGE, config, parents, tmp_path / "m").artifact
    state = load_file(artifact.path / OPTIMIZER)
    assert {float(value) for key, value in state.items() if key.startswith("step/")} == {3.0}


@pytest.mark.parametrize("step", [1, 11, 24])
def test_going_on_after_an_end_gives_the_same_bytes(
    pair, champion, model, tmp_path, monkeypatch, step
):
    real = loop.step.train_step

    def dying(training, stop_requested):
        if training.state.step == step - 1:
            raise Killed
        return real(training, stop_requested)

    parents = [pair[1], champion, pair[0]]
    monkeypatch.setattr(loop.step, "train_step", dying)
    with pytest.raises(Killed):
        run_stage(STAGE, retrained(), parents, tmp_path / "m")
    monkeypatch.setattr(loop.step, "train_step", real)
    again = run_stage(STAGE, retrained(), parents, tmp_path / "m").artifact
    assert digest(again.path) == digest(model.path)


def test_auto_decides_by_the_share_of_new_text(pair, champion):
    share = growth_of(*reversed(pair)).new_share
    assert 0.2 < share < 0.8
    parents = [pair[1], champion, pair[0]]
    for bound, policy in ((share + 1e-6, CONTINUE), (share - 1e-6, SCRATCH)):
        plan = plan_training(retrained(policy=AUTO, new_share_max=bound), parents)
        assert plan.stats["policy"] == policy
        assert f"{share:.1%} of the" in plan.stats["reason"]
        assert (plan.inputs.replay is not None) == (policy == CONTINUE)


def test_a_scratch_plan_is_the_recipes_training(pair, champion):
    plan = plan_training(retrained(policy=SCRATCH), [pair[1], champion, pair[0]])
    assert plan.config == CONFIG
    assert plan.stats["reason"] == 'retrain.policy is "scratch"'
    nobody = plan_training(retrained(), [pair[1]])
    assert (nobody.config, nobody.stats) == (retrained(), {})


def test_another_tokenizer_is_refused_with_a_reason(champion, pair, tmp_path):
    others = make_shards(tmp_path, vocab_size=680)
    plan = plan_training(retrained(), [others, champion, pair[0]])
    assert plan.stats["policy"] == SCRATCH
    assert "keep_tokenizer = true" in plan.stats["reason"]
    assert plan.stats["reason"].count(others.stats["tokenizer_sha256"][:16]) == 1


def test_another_network_is_refused_by_the_option(champion, pair):
    wider = replace(CONFIG, model=replace(TINY, hidden=96))
    plan = plan_training(retrained(wider), [pair[1], champion, pair[0]])
    assert plan.stats["reason"] == "the champion has train.model.hidden 64, the recipe 96"
    dropping = replace(CONFIG, model=replace(TINY, dropout=0.1))
    assert plan_training(retrained(dropping), [pair[1], champion, pair[0]]).inputs.replay


def test_nothing_new_is_no_reason_to_go_on(champion, pair):
    plan = plan_training(retrained(), [pair[0], champion, pair[0]])
    assert plan.stats["reason"] == f"0 new tokens fill no window of {TINY.context + 1}"


def test_without_the_champions_shards_a_model_is_begun_where_the_recipe_may(champion, pair):
    plan = plan_training(retrained(policy=AUTO), [pair[1], champion])
    assert "no longer in the store" in plan.stats["reason"]
    with pytest.raises(TrainingError, match=r"no longer in the store.*retrain\.policy=auto"):
        plan_training(retrained(), [pair[1], champion])


def test_of_a_registered_folder_the_weights_are_taken(champion, pair):
    plan = plan_training(retrained(), [pair[1], BaseModel(champion.path), pair[0]])
    assert plan.stats["policy"] == CONTINUE
    assert plan.stats["optimizer_state"] == "begun anew: the champion's is not kept"
    assert plan.inputs.optimizer is None


def test_the_state_of_another_optimizer_is_of_no_use(champion, pair):
    lion = replace(CONFIG, optimizer="lion")
    plan = plan_training(retrained(lion), [pair[1], champion, pair[0]])
    assert plan.stats["optimizer_state"] == "begun anew: the champion's is of adamw"


def test_steps_are_passes_over_the_new_text(champion, pair):
    growth = growth_of(*reversed(pair))
    new = growth.total(age="new", split="train")
    per_step = CONFIG.batch_size * TINY.context
    plan = plan_training(retrained(steps=None, epochs=0.1), [pair[1], champion, pair[0]])
    seen = plan.config.steps * per_step * 0.75  # the rest is old text
    assert 0 <= seen - 0.1 * new < per_step + 10
    most = plan_training(retrained(steps=None, epochs=100.0), [pair[1], champion, pair[0]])
    assert most.config.steps == CONFIG.steps


def test_of_few_steps_a_quarter_warms_up(champion, pair):
    for steps, warm in ((100, 20), (8, 2), (1, 0)):
        config = retrained(steps=steps, warmup_steps=20)
        plan = plan_training(config, [pair[1], champion, pair[0]])
        assert plan.config.warmup_steps == warm


def test_the_champion_teaches_a_model_begun_anew_too(champion, pair, tmp_path):
    config = retrained(replace(CONFIG, steps=24), policy=SCRATCH, distillation_weight=0.5)
    parents = [pair[1], champion, pair[0]]
    taught = run_stage(STAGE, config, parents, tmp_path / "taught").artifact
    assert taught.stats["retrain"]["distillation"] == "weight 0.5, temperature 1"
    alone = run_stage(STAGE, replace(CONFIG, steps=24), [pair[1]], tmp_path / "alone").artifact
    assert digest(taught.path) != digest(alone.path)
    names = [name for name, _ in model_folder.read(taught.path).named_parameters()]
    assert names == [name for name, _ in model_folder.read(alone.path).named_parameters()]


@pytest.mark.parametrize(
    "wrong", [{"policy": "go on"}, {"replay_share": 1.0}, {"epochs": 0}, {"temperature": 0}]
)
def test_settings_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=rf"retrain\.{next(iter(wrong))}"):
        RetrainConfig(**wrong)
