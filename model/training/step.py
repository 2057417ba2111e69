"""One optimizer step: micro-batches, the gradient of the whole batch, its norm, the update."""

import math
import time
from dataclasses import dataclass

import torch

from model.distributed.world import full_tensor, gradient_sync, sum_device
from model.network import objectives
from model.network.batch import batch_of
from model.optim.schedule import RateCurve, learning_rate
from model.training import precision
from model.training.state import Training


@dataclass(frozen=True)
class StepMetrics:
    """What a step measured; the norm is that before clipping."""

    loss: float
    gradient_norm: float
    learning_rate: float
    stop: bool  # some process was asked to stop


def train_step(training: Training, stop_requested: bool) -> StepMetrics:
    """Take one step. Raises divergence.Diverged, with the weights as they were before it.

    The gradient is that of the mean over everything predicted in the global batch, whatever the
    micro-batches and processes it was computed in.
    """
    config, state = training.config, training.state
    curve = RateCurve(
        steps=config.steps,
        peak=training.optimizer.hyperparameters.learning_rate,
        warmup_steps=config.warmup_steps,
        schedule=config.schedule,
        final_share=config.final_learning_rate_share,
        decay_share=config.decay_share,
    )
    rate = state.learning_rate_scale * learning_rate(state.step, curve)
    training.optimizer.set_learning_rate(rate)
    nats, weight, stop = _backward(training, stop_requested)
    overflowed = _unscale(training)
    norm = _finish_gradient(training, training.tokens_per_step / weight)
    loss = nats / weight
    if overflowed and math.isfinite(loss) and training.scaler.get_scale() >= precision.SCALE_MIN:
        training.optimizer.zero_grad()
        return StepMetrics(loss, 0.0, rate, stop)
    state.watch.observe(loss, norm, config.spike_nats, math.log(training.network.vocab_size))
    training.optimizer.step()
    training.optimizer.zero_grad()
    training.average.update(state.step)
    return StepMetrics(loss, norm, rate, stop)


def _backward(training: Training, stop_requested: bool) -> tuple[float, float, bool]:
    """Add up the gradients of this process's micro-batches, averaged over the processes.

    Returns the nats and the weight of the global batch, and whether any process was asked to stop.
    Gradients stand for nats * scale * processes / expected weight.
    """
    config, world = training.config, training.world
    began = time.perf_counter()
    batch = training.loader.batch(training.state.batch)
    training.state.waited += time.perf_counter() - began
    rows = batch_of(batch, training.device)
    count = len(rows.ids_BT)
    size = min(count, config.micro_batch_size or count)
    sums = torch.zeros(3, dtype=torch.float64, device=sum_device(training.device))
    for start in range(0, count, size):
        part = rows.part(start, start + size)
        seed = objectives.step_seed(config.seed, training.state.step, world.rank * count + start)
        with gradient_sync(training.objective, start + size >= count):
            with precision.autocast(training.precision, training.device):
                loss, weight = training.objective(part, seed)
            weighted = loss * (weight * (world.size / training.tokens_per_step))
            training.scaler.scale(weighted).backward()
        sums[0] += (loss.detach() * weight).to(sums)
        sums[1] += weight.to(sums)
    sums[2] += float(stop_requested)
    nats, weight_sum, stops = world.all_reduce_sum(sums).tolist()
    return nats, weight_sum, stops > 0


def _unscale(training: Training) -> bool:
    """Take the loss scale out of the gradients and adapt it; tell whether one overflowed.

    The scale is halved when a gradient overflows and doubled after 2,000 steps without.
    """
    scaler = training.scaler
    if not scaler.is_enabled():
        return False
    before = scaler.get_scale()
    for part in training.optimizer.parts:
        scaler.unscale_(part)
    scaler.update()
    return scaler.get_scale() < before


def _finish_gradient(training: Training, factor: float) -> float:
    """Bring the gradients to their true size, clip them, return the norm before clipping."""
    weights = [w for w in training.network.parameters() if w.grad is not None]
    if factor != 1.0:
        torch._foreach_mul_([w.grad for w in weights if w.grad is not None], factor)
    clip = training.config.gradient_clip
    limit = math.inf if clip is None else clip
    return full_tensor(torch.nn.utils.clip_grad_norm_(weights, limit)).item()
