"""What a plan says follows from the network's shape and from a few measured steps."""

from dataclasses import replace

import pytest
import torch

from model.network import families
from model.network.architecture import ModelConfig, preset
from model.planning import cost, device, measure, plan, usage
from model.planning.corpus_sample import CorpusSample, sample_of
from model.planning.count_cost import count_sample
from model.planning.plan import TrainingBudget
from model.planning.scaling import LAW, tokens_worth
from model.training import counting
from model.training.config import FP32, TrainConfig
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards

SHAPE = ModelConfig(layers=2, width=32, heads=2, kv_heads=1, hidden=48, context=16)
CONFIG = TrainConfig(
    steps=100, batch_size=4, validate_every=50, validation_windows=8, precision="fp32", model=SHAPE
)
CPU = torch.device("cpu")


def benchmark(config=CONFIG, vocab_size=64, seconds_per_step=0.5) -> measure.StepBenchmark:
    size = cost.size_of(config.model, vocab_size)
    return measure.StepBenchmark("a device", "fp32", size, seconds_per_step, 0.1, 10**8, 1e10, 4)


@pytest.mark.parametrize("name", ["llama", "qwen", "gpt2", "vaswani2017", "bert"])
def test_sizes_are_those_of_the_network_that_is_built(name):
    config = ModelConfig(**{**vars(SHAPE), **preset(name), "kv_heads": 2})
    network = families.build(config, 64)
    size = cost.size_of(config, 64)
    assert size.parameters == network.parameter_count()
    products = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
    assert size.multiplied == sum(m.weight.numel() for m in products)


def test_flops_per_token_are_six_per_weight_and_twelve_per_position():
    attention = 32 * 32 + 2 * 32 * 16 + 32 * 32
    weights = 2 * (attention + 3 * 32 * 48) + 64 * 32
    assert cost.size_of(SHAPE, 64).flops_per_token == 6 * weights + 12 * 2 * 32 * 16


def test_flops_agree_with_what_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    config = replace(SHAPE, kv_heads=2)
    network = families.build(config, 64)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(3, 16, dtype=torch.long)).sum().backward()
    per_token = counter.get_total_flops() / (3 * 16)
    attended = 12 * config.layers * config.width * config.context
    assert per_token == pytest.approx(cost.size_of(config, 64).flops_per_token, abs=1.2 * attended)


def test_a_plan_multiplies_out_what_a_step_took():
    planned = plan.make_plan(
        CONFIG, 64, benchmark(), TrainingBudget(corpus_tokens=3200, price_per_hour=36.0)
    )
    assert planned.tokens == 100 * 4 * 16
    assert planned.epochs == 2.0
    assert planned.tokens_per_second == 4 * 16 / 0.5
    steps, validation, checkpoints = 100 * 0.5, 2 * (8 / 4) * 0.5 / 3, 0.1
    assert planned.seconds == pytest.approx(steps + validation + checkpoints)
    assert planned.money == pytest.approx(planned.seconds / 100)
    rate = cost.size_of(SHAPE, 64).flops_per_token * planned.tokens_per_second
    assert planned.utilisation == pytest.approx(rate / 1e10)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (TrainingBudget(memory_bytes=10**8), "memory"),
        (TrainingBudget(disk_bytes=1000), "disk"),
        (TrainingBudget(corpus_tokens=100), "epochs"),
    ],
)
def test_what_will_not_fit_is_warned_about(budget, words):
    planned = plan.make_plan(CONFIG, 64, benchmark(), budget)
    assert [w for w in planned.warnings if words in w]
    assert not plan.make_plan(
        CONFIG, 64, benchmark(), TrainingBudget(10**6, 10**12, 10**12)
    ).warnings


def test_a_network_too_large_to_try_is_told_before_it_is_built():
    huge = replace(CONFIG, model=replace(SHAPE, width=16384, heads=128, kv_heads=128, layers=100))
    reason = plan.memory_warning(huge, 64, 10**9)
    assert reason is not None
    assert "will not fit" in reason
    assert plan.memory_warning(CONFIG, 64, 10**9) is None


def test_a_larger_budget_proposes_a_larger_model_batch_and_context():
    proposals = []
    for hours in (0.1, 1, 10, 1000, 100_000):
        chosen = plan.propose(CONFIG, 4096, 1e11, hours * 3600, TrainingBudget())
        size = cost.size_of(chosen.model, 4096)
        used = chosen.steps * chosen.tokens_per_step * size.flops_per_token
        assert used == pytest.approx(hours * 3600 * 1e11, rel=0.05)
        proposals.append((size.parameters, chosen.tokens_per_step, chosen.model.context))
    for grown in zip(*proposals, strict=True):
        assert list(grown) == sorted(grown)
        assert grown[-1] > grown[0]


def test_a_proposal_has_the_least_loss_that_the_law_expects_of_any_shape():
    flops = 1e14
    chosen = plan.propose(CONFIG, 4096, 1e11, flops / 1e11, TrainingBudget()).model

    def expected(shape):
        size = cost.size_of(shape, 4096)
        return LAW.loss(size.multiplied, flops / size.flops_per_token)

    others = [expected(shape) for shape in plan.shapes(chosen) if shape.width <= 1024]
    assert expected(chosen) == min(others)
    large = replace(CONFIG, model=list(plan.shapes(CONFIG.model))[12])
    size = cost.size_of(large.model, 4096)
    planned = plan.make_plan(large, 4096, replace(benchmark(), size=size), TrainingBudget())
    warning = plan.size_warning(large, 4096, planned, TrainingBudget())
    assert warning is not None
    assert "bits per byte less" in warning


def test_what_is_proposed_fits_memory_and_short_documents():
    free = 200_000_000
    chosen = plan.propose(CONFIG, 4096, 1e14, 3600, TrainingBudget(memory_bytes=free))
    state = cost.state_bytes(cost.size_of(chosen.model, 4096).parameters)
    assert state + cost.activation_bytes(chosen, 4096) <= free or chosen.micro_batch_size == 1
    assert chosen.micro_batch_size is not None
    short = plan.propose(CONFIG, 4096, 1e14, 3600, TrainingBudget(document_tokens=70.0))
    assert short.model.context == 128


def test_text_seen_again_is_worth_less_than_new_text():
    assert tokens_worth(500.0, 1000) == 500
    assert tokens_worth(4000.0, 1000) == pytest.approx(3726, abs=1)  # R = 3, R* = 15.39
    assert tokens_worth(1e9, 1000) < 17_000  # text seen 15 times over is used up


def test_every_shape_is_one_that_can_be_built():
    widths = [shape.width for shape in plan.shapes(replace(SHAPE, heads=4, kv_heads=2))]
    assert widths == sorted(widths)  # and ModelConfig has refused none


def test_steps_are_cut_to_the_budget():
    cut = plan.fit_steps_to_budget(CONFIG, benchmark(), 30.0)
    planned = plan.make_plan(cut, 64, benchmark(), TrainingBudget())
    assert 28.0 < planned.seconds <= 31.0


def test_the_probe_takes_real_steps_and_disturbs_nothing():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    found = measure.benchmark_steps(CONFIG, 64, CPU, seconds=0.2)
    assert torch.equal(torch.rand(3), expected)
    assert found.seconds_per_step > 0
    assert 1 <= found.rows <= 4
    assert found.memory_bytes >= cost.state_bytes(found.size.parameters)
    assert 0 < found.utilisation(CONFIG) < 1


def test_a_batch_that_would_take_long_is_measured_in_part():
    large = replace(CONFIG, batch_size=10_000_000)
    found = measure.benchmark_steps(large, 64, CPU, seconds=0.1)
    assert found.rows < large.batch_size
    assert found.memory_bytes > cost.state_bytes(found.size.parameters)


COUNTED = replace(CONFIG, model=replace(SHAPE, count_order=3))


def test_counts_are_in_the_plan_and_their_tables_in_the_steps_measured(tmp_path):
    shards = make_shards(tmp_path)
    tokenizer = load_tokenizer(shards.file("tokenizer.model"))
    sample = sample_of(shards)
    assert sample.sampled == sample.tokens == shards.stats["tokens"]["train"]
    found = measure.benchmark_steps(COUNTED, tokenizer.vocab_size, CPU, 0.1, sample)
    network = families.build(COUNTED.model, tokenizer.vocab_size)
    counting.count_ngrams(network, shards, tokenizer, tmp_path / "counts.npz")
    assert found.counting is not None
    assert found.counting.table_bytes == pytest.approx(measure.table_bytes(network), rel=1e-6)
    assert found.counting.peak_bytes > found.counting.table_bytes
    budget = TrainingBudget(corpus_tokens=sample.tokens)
    planned = plan.make_plan(COUNTED, tokenizer.vocab_size, found, budget)
    alone = plan.make_plan(COUNTED, tokenizer.vocab_size, replace(found, counting=None), budget)
    assert planned.seconds == pytest.approx(alone.seconds + found.counting.seconds)
    assert planned.memory_bytes >= alone.memory_bytes + found.counting.table_bytes


def test_what_counting_a_corpus_takes_is_told_from_a_sample_of_it(tmp_path):
    """Twice the text needs more, and no more than twice as much, and a half says how much."""
    shards = make_shards(tmp_path)
    documents = [*sample_of(shards).documents]
    tokens = sum(map(len, documents))
    _, whole = count_sample(CorpusSample(documents, tokens), COUNTED.model, 720)
    _, half = count_sample(CorpusSample(documents[1::2], tokens), COUNTED.model, 720)
    assert half.table_bytes == pytest.approx(whole.table_bytes, rel=0.25)
    assert half.peak_bytes == pytest.approx(whole.peak_bytes, rel=0.25)


def test_counts_that_are_not_in_a_plan_are_told_of():
    planned = plan.make_plan(COUNTED, 64, benchmark(COUNTED), TrainingBudget())
    assert any("not tokenised yet" in warning for warning in planned.warnings)
    budget = TrainingBudget(corpus_tokens=counting.COUNTED_TOKENS_MAX + 1)
    planned = plan.make_plan(COUNTED, 64, benchmark(COUNTED), budget)
    assert any("without counts" in warning for warning in planned.warnings)
    huge = CorpusSample([], counting.COUNTED_TOKENS_MAX + 1)
    assert count_sample(huge, COUNTED.model, 64) is None


def test_the_device_is_named_and_measured():
    assert device.device_name(CPU)
    assert device.matmul_ceiling(CPU, FP32) > 1e8
    assert device.memory_used(CPU) > 10**7


def test_time_in_steps_follows_from_the_rates():
    assert usage.step_seconds([(100, 50.0, 0.0), (300, 100.0, 0.01)]) == 4.0
