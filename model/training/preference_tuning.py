"""Pairs of answers for `tuning`: what the base says of them, and what is to be learned."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from typing_extensions import TypedDict

from model.data.examples import ExampleSet
from model.data.pair_batches import PairBatches, interleaved
from model.formats.base_model import BaseModel
from model.network.batch import batch_of
from model.network.families import AnyNetwork
from model.network.preferences import PreferenceObjective, answer_nats
from model.training import lora, precision
from model.training.build import choose_precision
from model.training.finetune_config import FinetuneConfig
from model.training.tuning import TuningData, starting_network, train_config
from pipeline.stage import Job
from pipeline.store import storage

Reference = Callable[[], AbstractContextManager[AnyNetwork]]
REFERENCE_NOTE = "reference.json"


def pairs_to_learn(
    job: Job[Any], config: FinetuneConfig, base: BaseModel, train: ExampleSet, held_out: ExampleSet
) -> TuningData:
    """Return pairs with what their answers cost the base, asked once, before anything is learned.

    Adapters are off meanwhile, so no second network is in memory while one is trained. What was
    found is kept for a run that goes on after a stop.
    """
    network = starting_network(base, config)
    splits = [
        PairBatches(
            interleaved(pairs.encoded, pairs.rejected),
            network.config,
            config.batch_size,
            config.seed,
        )
        for pairs in (train, held_out)
        if pairs.encoded
    ]
    loss, beta, margin = config.preference.effective
    if loss.needs_reference:
        settings = train_config(config, splits[0], network.config)
        chosen = choose_precision(settings, network, splits[0], job.scratch("precision"))
        note = job.scratch("precision") / REFERENCE_NOTE
        known = storage.recall_json(note, _Reference)
        if known is None:
            with lora.adapters_off(network):
                costs = [_costs(network, part, chosen) for part in splits]
            known = {"nats": costs}
            storage.write_json(note, known)
        splits = [
            replace(part, reference_nats=np.array(nats))
            for part, nats in zip(splits, known["nats"], strict=True)
        ]
    return TuningData(
        splits[0],
        [batch for part in splits[1:] for batch in part.in_order()],
        lambda network: PreferenceObjective(network, loss, beta, margin),
    )


class _Reference(TypedDict):
    nats: list[list[float]]  # of the answers of either split, chosen and rejected in turn


def _costs(network: AnyNetwork, batches: PairBatches, arithmetic: str) -> list[float]:
    """Return what the answers of all pairs cost a network in nats, in their order."""
    was_training, parts = network.training, []
    network.eval()
    with torch.no_grad(), precision.autocast(arithmetic, network.device):
        for batch in batches.in_order():
            parts.append(answer_nats(network, batch_of(batch, network.device))[0])
    network.train(was_training)
    return [float(nats) for nats in torch.cat(parts)]


def reference_of(network: AnyNetwork, base: BaseModel, config: FinetuneConfig) -> Reference:
    """Return how to get at the network that learning began with: adapters off, or read again."""
    if config.lora is not None:
        return lambda: lora.adapters_off(network)
    loaded = starting_network(base, config).eval()
    return lambda: nullcontext(loaded)
