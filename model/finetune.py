"""The stage `finetune`: a model and examples to a model that answers; loss on the answers alone.

Of pairs of answers, the task `preference`, it learns which is the better one
(`model.network.preferences`).

The result is a model folder as `train` writes it, so that it is evaluated, registered, served and
exported like any other. With `lora` only adapters are learned; they are merged into the weights and
also kept by themselves, in `adapter/`.
"""

import functools
from dataclasses import asdict
from typing import Any

from model.contracts import CURVE
from model.data.examples import ExampleSet, encode_split, refuse_mostly_unusable
from model.data.pair_batches import PairBatches, interleaved
from model.evaluation import preference_figures
from model.formats import model_folder
from model.formats.base_model import BaseModel
from model.network.families import AnyNetwork
from model.training import lora
from model.training.curve import SPEED_FILE, write_curve
from model.training.preference_tuning import pairs_to_learn, reference_of
from model.training.tuning import (
    FinetuneConfig,
    FinetuneResult,
    answers_to_learn,
    best_of_rates,
)
from pipeline.errors import TrainingError
from pipeline.prompts.task_templates import CHAT, PREFERENCE
from pipeline.shard import TRAIN, VALIDATION
from pipeline.stage import Job, Stage
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import load_tokenizer

CHATS = (CHAT, PREFERENCE)  # tasks whose prompts are turns of a conversation


def run(job: Job[FinetuneConfig]) -> None:
    """Fine-tune the first parent, a BaseModel, on the second, an artifact of `examples`.

    The account is kept in examples of the training split.
    """
    config = job.config
    base, examples = job.parents
    tokenizer_file = base.path / model_folder.TOKENIZER
    tokenizer = load_tokenizer(tokenizer_file)
    model = model_folder.read(base.path).config
    train = encode_split(examples, TRAIN, tokenizer, model, config.examples_max)
    if not train.encoded:
        raise TrainingError(_nothing_to_learn(examples, train))
    refuse_mostly_unusable(examples, train, config.unusable_share_max)
    held_out = encode_split(examples, VALIDATION, tokenizer, model, config.validation_examples)
    pairs = examples.stats["task"] == PREFERENCE
    if pairs:
        data = pairs_to_learn(job, config, base, train, held_out)
    else:
        data = answers_to_learn(config, model, train.encoded, held_out.encoded)
    result = best_of_rates(job, config, base, data)
    network = result.training.network
    if pairs and held_out.encoded:
        job.stats["figures"] = _preference_figures(config, base, network, held_out)
    trained = sum(w.numel() for w in network.parameters() if w.requires_grad)
    if config.lora is not None:
        lora.write(network, config.lora, job.file)
        lora.merge(network)
    model_folder.write(network, tokenizer_file, job.file, chats=examples.stats["task"] in CHATS)
    storage.write_json(job.folder / SPEED_FILE, result.training.state.speed)
    dropped = dict(sorted(train.dropped.items()))
    job.map(
        functools.partial(write_curve, len(train.encoded), dropped), [result.training.state.curve]
    )
    job.stats.update(
        task=examples.stats["task"],
        parent=base.fingerprint,
        parameters=network.parameter_count(),
        parameters_trained=trained,
        examples=len(train.encoded),
        held_out=len(held_out.encoded),
        dropped_begin=train.shown,
        prompts_cut=train.truncated,
        epochs=config.epochs,
        **_figures(result),
        validation_loss=result.loss if held_out.encoded else None,
        tokenizer_sha256=tokenizer.fingerprint,
    )


def _preference_figures(
    config: FinetuneConfig, base: BaseModel, network: AnyNetwork, held_out: ExampleSet
) -> list[dict[str, Any]]:
    """Return what held-out pairs say of the network, as rows of the contract FIGURE."""
    answers = interleaved(held_out.encoded, held_out.rejected)
    batches = PairBatches(answers, network.config, config.batch_size, config.seed)
    scores = preference_figures.measure(network, reference_of(network, base, config), batches)
    loss, _, _ = config.preference.effective
    langs = [row["lang"] for row in held_out.rows]
    return [asdict(row) for row in preference_figures.figures(scores, loss, langs, config.seed)]


def _figures(result: FinetuneResult) -> dict[str, Any]:
    training = result.training
    last = training.state.curve[-1]
    return {
        "rows_per_epoch": len(result.batches.rows),
        "tokens_seen": last["tokens"],
        "loss": last["loss"],
        "validation_loss_before": result.loss_before,
        "learning_rate": training.optimizer.hyperparameters.learning_rate,
        "kept_step": training.kept_step,
        "precision": training.precision,
    }


def _nothing_to_learn(examples: Artifact, train: ExampleSet) -> str:
    lost = [f"{n:,} quarantined as {why}" for why, n in examples.ledger.quarantined.most_common()]
    lost += [f"{count:,} left out as {why}" for why, count in train.dropped.most_common()]
    task, seen = examples.stats["task"], examples.ledger.seen
    return (
        f"{examples.path}: none of {seen:,} records became an example of {task} to learn from: "
        f"{', '.join(lost) or 'all are held out'}; wanted records of that task which fit the "
        f"model's context; name another with --task, or lower examples.validation_share"
    )


STAGE = Stage(
    name="finetune",
    contract=CURVE,
    run=run,
    module="model.finetune",
    libraries=("torch", "numpy", "safetensors", "sentencepiece"),
    counts_rows=False,
)
