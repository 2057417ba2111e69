"""A plan of training: what a recipe will take, and what size suits a budget.

Sources: Hoffmann et al. 2022 (arXiv:2203.15556) for laws of loss by size and tokens, here with our
own measurements (`model.planning.scaling`); DeepSeek-AI 2024 (arXiv:2401.02954, section 3.1: the
best batch grows with the FLOPs to the power 0.327); Muennighoff et al. 2023 (arXiv:2305.16264: up
to four epochs are nearly as good as new text).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from model.network.architecture import ModelConfig
from model.planning import cost
from model.planning.measure import StepBenchmark
from model.planning.scaling import LAW
from model.planning.training_plan import TrainingPlan, gigabytes
from model.training.config import AUTO, TrainConfig
from model.training.precision import PROBE_SECONDS

PAST_BEST = 1.02  # times the least loss, after which no larger size is asked
GAP_SHOWN = 0.05  # bits per byte that a better size is expected to save, to be told of
# Tokens of a step by FLOPs of the training: the batch of the quickstart, measured at about these
# (model/LOG.md, the halved batch), and the power of DeepSeek's law.
BATCH_TOKENS, BATCH_FLOPS, BATCH_POWER = 2048, 1e13, 0.327
# The context by FLOPs of the training; never beyond twice the mean document.
CONTEXTS = ((0.0, 256), (1e15, 512), (1e17, 1024), (1e19, 2048))
CONTEXT_LEAST = 64
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
    document_tokens: float | None = None  # of the mean document
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
        memory_bytes=_memory(benchmark),
        disk_bytes=cost.disk_bytes(config, size.parameters, corpus or tokens, vocab_size),
        money=None if budget.price_per_hour is None else seconds / 3600 * budget.price_per_hour,
        warnings=(),
    )
    warnings = [*_warnings(plan, budget), *_counting_warnings(config, benchmark, budget)]
    return replace(plan, warnings=tuple(warnings))


def _memory(benchmark: StepBenchmark) -> int:
    """Return the most memory: while n-grams are counted, or with their tables in steps."""
    counting = benchmark.counting
    if counting is None:
        return benchmark.memory_bytes
    weights = cost.BYTES_PER_NUMBER * benchmark.size.parameters
    return max(benchmark.memory_bytes + counting.table_bytes, weights + counting.peak_bytes)


def _seconds(config: TrainConfig, benchmark: StepBenchmark) -> float:
    validations = -(-config.steps // config.validate_every)
    rows = validations * config.validation_windows / config.batch_size
    checkpoints = -(-config.steps // config.checkpoint_every) * benchmark.seconds_per_checkpoint
    once = benchmark.counting.seconds if benchmark.counting else 0.0
    if config.precision == AUTO:
        once += 2 * PROBE_SECONDS
    steps = (config.steps + VALIDATION_SHARE * rows) * benchmark.seconds_per_step
    return steps + checkpoints + once


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


def _counting_warnings(
    config: TrainConfig, benchmark: StepBenchmark, budget: TrainingBudget
) -> Iterator[str]:
    if config.model.count_order is None or benchmark.counting is not None:
        return
    if budget.corpus_tokens is None:
        yield (
            "train.model.count_order: what counting takes is not in this plan, since the text is "
            "not tokenised yet; plan again when shards have been made"
        )
    else:
        yield (
            f"train.model.count_order: {budget.corpus_tokens:,} tokens are more than are counted; "
            f"the network is trained without counts"
        )


def size_warning(
    config: TrainConfig, vocab_size: int, plan: TrainingPlan, budget: TrainingBudget
) -> str | None:
    """Return what to say of a size that is not the one for its FLOPs; None of one that is near."""
    corpus = budget.corpus_tokens
    own = LAW.loss(cost.size_of(config.model, vocab_size).multiplied, plan.tokens, corpus)
    better = _best_shape(config.model, vocab_size, plan.flops, budget)
    size = cost.size_of(better, vocab_size)
    gap = own - LAW.loss(size.multiplied, plan.flops / size.flops_per_token, corpus)
    if gap < GAP_SHOWN:
        return None
    return (
        f"{size.parameters:,} parameters are expected to need {gap:.2f} bits per byte less than "
        f"{plan.parameters:,} at these FLOPs; see --budget"
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
    budget: TrainingBudget,
) -> TrainConfig:
    """Return the recipe with the size, context, batch and steps that use a time best.

    The size is that of the usual proportions whose loss is the least by the law, at the
    rate given; it fits the memory, as do the rows that pass at once.
    """
    flops = seconds * flops_per_second
    context = _context(flops, budget.document_tokens)
    shape = _best_shape(replace(config.model, context=context), vocab_size, flops, budget)
    tokens_per_step = BATCH_TOKENS * (flops / BATCH_FLOPS) ** BATCH_POWER
    rows = 1 << max(0, round(math.log2(tokens_per_step / context)))
    at_once = None if config.micro_batch_size is None else rows
    sized = replace(config, model=shape, batch_size=rows, micro_batch_size=at_once)
    sized = _fit_memory(sized, vocab_size, budget.memory_bytes)
    tokens = flops / cost.size_of(shape, vocab_size).flops_per_token
    return _with_steps(sized, max(1, int(tokens / sized.tokens_per_step)))


def _context(flops: float, document_tokens: float | None) -> int:
    context = max(length for least, length in CONTEXTS if flops >= least)
    while document_tokens and context > max(CONTEXT_LEAST, 2 * document_tokens):
        context //= 2
    return context


def _best_shape(
    like: ModelConfig, vocab_size: int, flops: float, budget: TrainingBudget
) -> ModelConfig:
    best = None
    for shape in shapes(like):
        size = cost.size_of(shape, vocab_size)
        free = budget.memory_bytes
        if best and free is not None and cost.state_bytes(size.parameters) > MEMORY_SHARE * free:
            break
        tokens = flops / size.flops_per_token
        loss = LAW.loss(size.multiplied, tokens, budget.corpus_tokens)
        if best is None or loss < best[0]:
            best = (loss, shape)
        elif loss > PAST_BEST * best[0]:
            break  # larger ones see fewer tokens still
    assert best is not None  # WIDTHS is not empty
    return best[1]


def _fit_memory(config: TrainConfig, vocab_size: int, free: int | None) -> TrainConfig:
    """Return the recipe with as few rows at once as fit, by formula."""
    state = cost.state_bytes(cost.size_of(config.model, vocab_size).parameters)
    rows, fitted = config.batch_size, config
    while free is not None and rows > 1:
        if state + cost.activation_bytes(fitted, vocab_size) <= MEMORY_SHARE * free:
            break
        rows //= 2
        fitted = replace(config, micro_batch_size=rows)
    return fitted


def _with_steps(config: TrainConfig, steps: int) -> TrainConfig:
    return replace(config, steps=steps, warmup_steps=min(config.warmup_steps, max(1, steps // 10)))


def fit_steps_to_budget(
    config: TrainConfig, benchmark: StepBenchmark, seconds: float
) -> TrainConfig:
    """Return the recipe with as many steps as the seconds hold, validation included."""
    few, many = (_seconds(replace(config, steps=steps), benchmark) for steps in (1000, 2000))
    steps = 1000 + int((seconds - few) / (many - few) * 1000)
    return _with_steps(config, max(1, steps))


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
