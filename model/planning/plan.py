"""A plan of training: what a recipe will take, and what size suits a budget.

Sources: Hoffmann et al. 2022 (arXiv:2203.15556: about 20 tokens per parameter give the least loss
for the FLOPs; in 45 s of one CPU thread the smallest of three networks was best here, by the log in
model/LOG.md); Muennighoff et al. 2023 (arXiv:2305.16264: up to four epochs are nearly as good as
new text).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from model.network.architecture import ModelConfig
from model.planning import cost
from model.planning.measure import StepBenchmark
from model.planning.training_plan import TrainingPlan, gigabytes
from model.training.config import TrainConfig

TOKENS_PER_PARAMETER = 20.0
EPOCHS_MAX = 4.0
MEMORY_SHARE = 0.9  # of what is free: a plan above it is warned about
VALIDATION_SHARE = 1 / 3  # of a training step's time: forward without backward
HEAD_WIDTH = 64
SMALL_HEAD_WIDTH, SMALL_WIDTH = 32, 256
WIDTHS = (
    64,
    96,
    128,
    160,
    192,
    256,
    320,
    384,
    448,
    512,
    640,
    768,
    896,
    1024,
    1280,
    1536,
    1792,
    2048,
    2560,
    3072,
    4096,
    5120,
    6144,
    8192,
)


@dataclass(frozen=True)
class TrainingBudget:
    """What there is to train with; None is not known."""

    corpus_tokens: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    price_per_hour: float | None = None


def make_plan(
    config: TrainConfig, vocab_size: int, benchmark: StepBenchmark, budget: TrainingBudget
) -> TrainingPlan:
    """Return the plan of a recipe from a benchmark of its steps."""
    size = benchmark.size
    tokens = config.steps * config.tokens_per_step
    seconds = _seconds(config, benchmark)
    corpus = budget.corpus_tokens
    plan = TrainingPlan(
        device=benchmark.device,
        precision=benchmark.precision,
        parameters=size.parameters,
        steps=config.steps,
        tokens=tokens,
        epochs=tokens / corpus if corpus else None,
        flops=float(size.flops_per_token) * tokens,
        seconds=seconds,
        tokens_per_second=config.tokens_per_step / benchmark.seconds_per_step,
        utilisation=benchmark.utilisation(config),
        ceiling_flops=benchmark.ceiling_flops,
        memory_bytes=benchmark.memory_bytes,
        disk_bytes=cost.disk_bytes(config, size.parameters, corpus or tokens, vocab_size),
        money=None if budget.price_per_hour is None else seconds / 3600 * budget.price_per_hour,
        warnings=(),
    )
    return replace(plan, warnings=tuple(_warnings(plan, budget)))


def _seconds(config: TrainConfig, benchmark: StepBenchmark) -> float:
    validations = -(-config.steps // config.validate_every)
    rows = validations * config.validation_windows / config.batch_size
    checkpoints = -(-config.steps // config.checkpoint_every) * benchmark.seconds_per_checkpoint
    return (config.steps + VALIDATION_SHARE * rows) * benchmark.seconds_per_step + checkpoints


def _warnings(plan: TrainingPlan, budget: TrainingBudget) -> Iterator[str]:
    free = budget.memory_bytes
    if free is not None and plan.memory_bytes > MEMORY_SHARE * free:
        yield (
            f"will not fit: {gigabytes(plan.memory_bytes)} of memory, {gigabytes(free)} are free; "
            f"lower train.micro_batch_size or train.model.width"
        )
    if budget.disk_bytes is not None and plan.disk_bytes > budget.disk_bytes:
        yield (
            f"will not fit: {gigabytes(plan.disk_bytes)} of disk, {gigabytes(budget.disk_bytes)} "
            f"are free; lower train.keep_checkpoints or give another --store"
        )
    if plan.epochs is not None and plan.epochs > EPOCHS_MAX:
        yield (
            f"{plan.epochs:.1f} epochs: text seen more than {EPOCHS_MAX:.0f} times teaches little; "
            f"give more text or lower train.steps"
        )


def size_warning(plan: TrainingPlan) -> str | None:
    """Return what to say of a model that is large for its tokens; None of one that is not."""
    per_parameter = plan.tokens / plan.parameters
    if per_parameter >= TOKENS_PER_PARAMETER / 4:
        return None
    return (
        f"{per_parameter:.1f} tokens per parameter: at these FLOPs a smaller model and more tokens "
        f"may be better (about {TOKENS_PER_PARAMETER:.0f}); see --budget"
    )


def memory_warning(config: TrainConfig, vocab_size: int, free: int | None) -> str | None:
    """Return why a recipe is too large even to be benchmarked, by formula; None if it is not."""
    size = cost.size_of(config.model, vocab_size)
    needed = cost.state_bytes(size.parameters)
    if free is None or needed <= MEMORY_SHARE * free:
        return None
    return (
        f"will not fit: {size.parameters:,} parameters need {gigabytes(needed)} of memory for "
        f"weights, gradients and moments alone, {gigabytes(free)} are free"
    )


def propose(
    config: TrainConfig,
    vocab_size: int,
    flops_per_second: float,
    seconds: float,
    tokens_per_parameter: float = TOKENS_PER_PARAMETER,
) -> TrainConfig:
    """Return the recipe with the size and steps that use a budget best.

    Among shapes of the usual proportions the largest whose tokens in the time, at the rate given,
    are at least `tokens_per_parameter` of its parameters, or the smallest.
    """
    chosen = None
    for shape in shapes(config.model):
        size = cost.size_of(shape, vocab_size)
        tokens = seconds * flops_per_second / size.flops_per_token
        if chosen is not None and tokens < tokens_per_parameter * size.parameters:
            break
        chosen = (shape, tokens)
    assert chosen is not None  # WIDTHS is not empty
    shape, tokens = chosen
    sized = replace(config, model=shape)
    steps = max(1, int(tokens / sized.tokens_per_step))
    warmup = min(config.warmup_steps, max(1, steps // 10))
    return replace(sized, steps=steps, warmup_steps=warmup)


def fit_steps_to_budget(
    config: TrainConfig, benchmark: StepBenchmark, seconds: float
) -> TrainConfig:
    """Return the recipe with as many steps as the seconds hold, validation included."""
    once = replace(config, steps=1000)
    steps = max(1, int(seconds / _seconds(once, benchmark) * once.steps))
    return replace(config, steps=steps, warmup_steps=min(config.warmup_steps, max(1, steps // 10)))


def shapes(like: ModelConfig) -> Iterator[ModelConfig]:
    """Yield networks like one given, from small to large, a layer per 64 of width (at least 2)."""
    ratio = like.hidden / like.width
    groups = like.heads // like.kv_heads
    for width in WIDTHS:
        heads = width // (HEAD_WIDTH if width >= SMALL_WIDTH else SMALL_HEAD_WIDTH)
        shared = groups if heads % groups == 0 else 1
        yield replace(
            like,
            width=width,
            layers=max(2, width // 64),
            heads=heads,
            kv_heads=heads // shared,
            hidden=max(16, round(width * ratio / 16) * 16),
        )
