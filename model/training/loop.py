"""The training loop: steps, a row of the curve now and then, checkpoints to go on from."""

import logging
import time
from dataclasses import asdict

import torch

from model.distributed.world import sum_device
from model.network.batch import batch_of, predicted_tokens
from model.training import checkpoint, divergence, precision, step
from model.training.allocation import keep_freed_memory
from model.training.config import STOP
from model.training.divergence import Diverged, Rollback
from model.training.state import State, Training
from model.training.step import StepMetrics
from pipeline.errors import Interrupted, TrainingError
from pipeline.signals import stop_requests
from pipeline.store.loading import reading

logger = logging.getLogger(__name__)


def fit(training: Training) -> None:
    """Train to `config.steps`, from the newest checkpoint if there is one.

    The network ends with the weights to keep: the last, averaged where `ema_decay` is set, or those
    of the lowest validation loss where `patience` or `keep = "best"` asks for them. Raises
    TrainingError when the run diverges and the policy is to stop, or rolling back did not help;
    Interrupted after SIGTERM or Ctrl-C, when a checkpoint has been written.
    """
    config = training.config
    keep_freed_memory()
    _restore(training)
    training.progress("train", training.state.step, config.steps)
    with stop_requests() as stop_requested:
        while training.state.step < config.steps and not _stopped_early(training):
            try:
                metrics = _timed_step(training, stop_requested())
            except Diverged as reason:
                _roll_back(training, reason)
                continue
            if metrics.stop or _is_due(training, config.checkpoint_every, config.validate_every):
                _save(training)
            if metrics.stop and training.state.step < config.steps:
                raise Interrupted(
                    f"training stopped at step {training.state.step} of {config.steps} as asked; "
                    f"a checkpoint is written, the same command goes on from it"
                )
            _log_and_validate(training)
    if training.world.size > 1:
        _save(training)  # complete, for the process that makes the model of it
    _keep_weights(training)


def _restore(training: Training) -> None:
    steps = checkpoint.steps(training.checkpoints)
    if steps:
        training.state = _load(training, steps[-1])
        logger.info("going on from step %d", training.state.step)
        _log_and_validate(training)  # a checkpoint is written before what else its step asks for
    elif training.config.on_divergence != STOP:
        _save(training)  # something to go back to


def _load(training: Training, checkpoint_step: int) -> State:
    stored = checkpoint.restore(training.checkpoints, checkpoint_step, training.tensors)
    with reading(training.checkpoints, "a state of training"):
        state = State.from_json(stored)
        training.scaler.load_state_dict(state.scale)
        return state


def _timed_step(training: Training, stop_requested: bool) -> StepMetrics:
    state, began = training.state, time.perf_counter()
    try:
        metrics = step.train_step(training, stop_requested)
    except Diverged:
        training.optimizer.zero_grad()
        raise
    state.seconds += time.perf_counter() - began
    state.step += 1
    state.loss_sum += metrics.loss
    state.loss_count += 1
    state.last = {"learning_rate": metrics.learning_rate, "gradient_norm": metrics.gradient_norm}
    return metrics


def _is_due(training: Training, *intervals: int) -> bool:
    step_done = training.state.step
    is_last = step_done == training.config.steps
    return is_last or any(step_done % interval == 0 for interval in intervals)


def _log_and_validate(training: Training) -> None:
    """Do what is due after a step: validate, note the best, add a row; once per step."""
    state, config = training.state, training.config
    logged = bool(state.curve) and state.curve[-1]["step"] == state.step
    if state.step == 0 or logged or not _is_due(training, config.log_every, config.validate_every):
        return
    tokens = state.step * training.tokens_per_step
    if state.seconds > 0:
        rate = state.loss_count * training.tokens_per_step / state.seconds
        state.speed.append((tokens, rate, state.waited / state.seconds))
    due = _is_due(training, config.validate_every)
    validation, by_source = _validation_losses(training) if due else (None, {})
    state.source_losses += [
        {"step": state.step, "source": name, "loss": loss} for name, loss in by_source.items()
    ]
    state.curve.append(
        {
            "step": state.step,
            "tokens": tokens,
            "loss": state.loss_sum / state.loss_count,
            **state.last,
            "validation_loss": validation,
        }
    )
    state.loss_sum, state.loss_count, state.seconds, state.waited = 0.0, 0, 0.0, 0.0
    if validation is not None:
        _update_best(training, validation)
    training.progress("train", state.step, config.steps)
    logger.info("step %d of %d: loss %.4f", state.step, config.steps, state.curve[-1]["loss"])


def _update_best(training: Training, loss: float) -> None:
    state = training.state
    better = state.best_loss is None or loss < state.best_loss
    state.stale = 0 if better else state.stale + 1
    if better:
        state.best_loss, state.best_step = loss, state.step
        if training.world.is_rank_zero:
            checkpoint.mark_best(training.checkpoints, state.step)


def _stopped_early(training: Training) -> bool:
    patience = training.config.patience
    return patience is not None and training.state.stale >= patience


def validation_loss(training: Training) -> float | None:
    """Return the mean loss per predicted token over the validation batches, None without any."""
    return _validation_losses(training)[0]


def _validation_losses(training: Training) -> tuple[float | None, dict[str, float]]:
    """Return the mean loss per predicted token over all validation batches and by source."""
    batches, world = training.validation, training.world
    sources = list(dict.fromkeys(training.validation_sources))
    sums_S2 = torch.zeros(max(1, len(sources)), 2, dtype=torch.float64)
    training.objective.eval()
    with training.average.swapped_in(), torch.no_grad():
        for start in range(0, len(batches), world.size):
            # every process runs as often as the others, or one would wait for ever
            own = start + world.rank < len(batches)
            number = start + world.rank if own else 0
            batch = batch_of(batches[number], training.device)
            with precision.autocast(training.precision, training.device):
                loss, _ = training.objective(batch, number)
            tokens = predicted_tokens(batch) if own else 0.0
            row = sources.index(training.validation_sources[number]) if sources else 0
            sums_S2[row] += torch.tensor([loss.item() * tokens, tokens])
    training.objective.train()
    sums_S2 = world.all_reduce_sum(sums_S2.to(sum_device(training.device))).cpu()
    total, predicted = sums_S2.sum(0).tolist()
    means = {name: (row[0] / row[1]).item() for name, row in zip(sources, sums_S2, strict=False)}
    return (total / predicted if predicted else None), means


def _save(training: Training) -> None:
    training.state.scale = training.scaler.state_dict()
    checkpoint.save(
        training.checkpoints,
        training.state.step,
        training.tensors,
        asdict(training.state),
        keep=training.config.keep_checkpoints,
        world=training.world,
    )


def _roll_back(training: Training, reason: Diverged) -> None:
    """Return to a checkpoint from before the divergence, or raise TrainingError."""
    state, config = training.state, training.config
    rate = training.optimizer.hyperparameters.learning_rate * state.learning_rate_scale
    steps = checkpoint.steps(training.checkpoints)
    before = [s for s in steps if s <= state.step - divergence.WINDOW] or steps[:1]
    advice = "lower train.learning_rate or raise train.warmup_steps"
    if config.on_divergence == STOP:
        advice += ', or set train.on_divergence = "rollback"'
    elif state.rollbacks:
        advice = f"{len(state.rollbacks)} rollbacks did not help; {advice}"
    if config.on_divergence == STOP or len(state.rollbacks) == divergence.ROLLBACKS_MAX:
        raise TrainingError(
            f"training diverged at step {state.step}: {reason}, learning rate {rate:.2e}; {advice}"
        ) from reason
    rollback = Rollback(str(reason), state.step, before[-1])
    training.state = _load(training, before[-1])
    training.world.barrier()  # for all to have read what is removed next
    training.state.rollbacks = [*state.rollbacks, rollback]
    training.state.best_loss, training.state.best_step = state.best_loss, state.best_step
    checkpoint.rewrite_state(
        training.checkpoints, training.state.step, asdict(training.state), training.world
    )
    _log_and_validate(training)
    logger.warning(
        "diverged at step %d (%s): back to step %d, learning rate times %g, %d batches passed by",
        rollback.diverged_step,
        reason,
        rollback.resumed_step,
        training.state.learning_rate_scale,
        rollback.skipped,
    )


def _keep_weights(training: Training) -> None:
    if training.keeps_best:
        checkpoint.load_best(training.checkpoints, training.network, training.average)
    elif training.average.weights:
        training.average.copy_to_network()
