"""How likely a network finds answers: nats of each, for all families alike."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from model import objectives
from model.chat import Coded
from model.networks import AnyNetwork
from model.packing import collate


def answer_nats(network: AnyNetwork, examples: Sequence[Coded], batch_size: int = 32) -> np.ndarray:
    """Return the negative log-likelihood of what each example predicts (N,), its end included.

    An encoder has all of the answer masked at once, so its figures are a pseudo-likelihood.
    """
    nats_N = np.zeros(len(examples))
    order = sorted(range(len(examples)), key=lambda index: len(examples[index].ids))
    network.eval()
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        rows = collate([[examples[index]] for index in chosen], network.config)
        batch = objectives.batch_of(rows, network.device)
        with torch.no_grad():
            found = objectives.predictions(network, batch)
            logits_MV = network.logits(found.hidden).float()
        nats_M = F.cross_entropy(logits_MV, found.targets, reduction="none").double().cpu().numpy()
        tokens = [_predicted(examples[index], network) for index in chosen]
        nats_N[chosen] = np.add.reduceat(nats_M, np.cumsum([0, *tokens[:-1]]))
    return nats_N


def _predicted(example: Coded, network: AnyNetwork) -> int:
    """Count the tokens that a network predicts: of an encoder-decoder those of the last answer."""
    if network.config.family == "encoder_decoder":
        return len(example.ids) - example.answer
    return int(example.counted.sum())
