"""A network trained to choose among labels: means over a text, and a linear map.

The means are of its embeddings and of its last vectors, side by side. They suit few examples better
than the likelihood of a label's words after the text: what has been learned of each token counts
wherever it stands, not only as far as the last token sees it.
Every learning rate is tried; the one is kept to which labels of examples held aside cost least.
Shapes: B texts, T time, D width, C labels, N texts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.batch import attention_mask, pad
from model.network.families import AnyNetwork, family_of
from model.transferring.opinion_pool import calibrated_cost
from pipeline.errors import ConfigError
from pipeline.tokenizer import Tokenizer

CLIP = 1.0
WARMUP_SHARE = 0.06  # of the steps
SCORED_TOGETHER = 64
FIRST_SPREAD = 0.02  # of the linear map, as in the networks


@dataclass(frozen=True)
class ClassifierConfig:
    """How labels are taught."""

    # Word vectors go on with so many passes over the texts of all training examples, without their
    # labels (`model.transferring.frozen_features`); 0: they stay what the model's training made of
    # them.
    reading_epochs: int = 10
    reading_texts_max: int = 10_000

    # Embeddings that were trained are long: below 1e-2 they hardly move, and less is learned than
    # from random ones (800 Chinese headlines: 53 % right at 3e-3, 61 % at 1e-2; random 58 %).
    # The best on the examples held aside is kept.
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    epochs: int = 10
    batch_size: int = 16
    dropout: float = 0.1  # of the mean
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        if not self.learning_rates or min(self.learning_rates) <= 0:
            rates = self.learning_rates
            raise ConfigError(f"classifier.learning_rates: {rates}, wanted one or more above 0")
        if self.reading_epochs < 0:
            found = self.reading_epochs
            raise ConfigError(f"classifier.reading_epochs: {found}, wanted 0 or more")
        for name in ("epochs", "batch_size", "reading_texts_max"):
            if getattr(self, name) < 1:
                raise ConfigError(f"classifier.{name}: {getattr(self, name)}, wanted at least 1")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"classifier.dropout: {self.dropout}, wanted from 0 to below 1")


@dataclass(frozen=True)
class Labelled:
    """Texts as ids, each with the number of its label."""

    ids: list[list[int]]
    labels: list[int]

    def part(self, chosen: Sequence[int]) -> "Labelled":
        """Return those at the places given."""
        return Labelled([self.ids[i] for i in chosen], [self.labels[i] for i in chosen])


class Classifier(nn.Module):
    """The network under a linear map from the mean of its vectors to labels."""

    def __init__(self, network: AnyNetwork, labels: int, dropout: float):
        super().__init__()
        self.network, self.dropout = network, dropout
        self.out = nn.Linear(2 * network.config.width, labels)
        nn.init.normal_(self.out.weight, std=FIRST_SPREAD)
        nn.init.zeros_(self.out.bias)

    def forward(self, ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
        """Return logits (B, C); the mask is False on padding, which comes after the text."""
        means = (
            _mean(self.network.embed_tokens(ids_BT), attention_mask_BT),
            mean_vectors(self.network, ids_BT, attention_mask_BT),
        )
        # of one length, whatever the spread of embeddings
        seen_BF = torch.cat([F.layer_norm(mean_BD, mean_BD.shape[-1:]) for mean_BD in means], -1)
        return self.out(F.dropout(seen_BF, self.dropout, self.training))


def _mean(vectors_BTD: Tensor, attention_mask_BT: Tensor) -> Tensor:
    attention_mask_BT1 = attention_mask_BT[..., None].to(vectors_BTD.dtype)
    return (vectors_BTD * attention_mask_BT1).sum(1) / attention_mask_BT1.sum(1)


def mean_vectors(network: AnyNetwork, ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
    """Return the mean (B, D) of the last vectors of each text."""
    vectors_BTD = family_of(network).last_vectors(network, ids_BT, attention_mask_BT)
    return _mean(vectors_BTD, attention_mask_BT)


def coded_text(text: str, tokenizer: Tokenizer, context: int) -> list[int]:
    """Return the ids of a text after <|bos|>, cut at its end where the context is smaller."""
    return [tokenizer.bos_id, *tokenizer.encode(text)][:context]


@dataclass(frozen=True)
class Learned:
    """A classifier after all its epochs, what labels of the held-aside texts cost it, its rate.

    The epoch is not chosen by them: the best of many would look better than it is.
    """

    classifier: Classifier
    held_NC: np.ndarray  # nats
    learning_rate: float


def taught(
    network: Callable[[], AnyNetwork],
    examples: Labelled,
    held: Labelled,
    labels: int,
    config: ClassifierConfig,
    seed: int,
) -> Learned:
    """Return the learning rate's to which examples held aside cost least, calibrated.

    `network` gives one to begin with, with the same weights every time.
    """
    tried = []
    for rate in config.learning_rates:
        torch.manual_seed(seed)
        made = network()
        classifier = Classifier(made, labels, config.dropout).to(made.device)
        _train(classifier, examples, rate, config, seed)
        tried.append(Learned(classifier, nats(classifier, held.ids), rate))
    return min(tried, key=lambda one: calibrated_cost(one.held_NC, held.labels))


def _train(
    classifier: Classifier, examples: Labelled, rate: float, config: ClassifierConfig, seed: int
) -> None:
    weights = [weight for name, weight in classifier.named_parameters() if "lm_head" not in name]
    optimizer = torch.optim.AdamW(
        weights, lr=rate, betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=True
    )
    generator = np.random.Generator(np.random.PCG64(seed))
    steps, step = math.ceil(len(examples.labels) / config.batch_size) * config.epochs, 0
    classifier.train()
    for _ in range(config.epochs):
        order = generator.permutation(len(examples.labels))
        for start in range(0, len(order), config.batch_size):
            for group in optimizer.param_groups:
                group["lr"] = rate * _rate_share(step, steps)
            part = examples.part(order[start : start + config.batch_size].tolist())
            loss = F.cross_entropy(_logits(classifier, part.ids), torch.tensor(part.labels))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, CLIP)
            optimizer.step()
            step += 1


def _rate_share(step: int, steps: int) -> float:
    warmup = WARMUP_SHARE * steps
    return min((step + 1) / (warmup + 1), (steps - step) / (steps - warmup))


def nats(classifier: Classifier, texts: Sequence[list[int]]) -> np.ndarray:
    """Return what each label costs after each text, in nats (N, C)."""
    classifier.eval()
    return in_batches(
        texts, lambda some: -F.log_softmax(_logits(classifier, some).double(), dim=-1)
    )


def in_batches(
    texts: Sequence[list[int]], compute: Callable[[list[list[int]]], Tensor]
) -> np.ndarray:
    """Return a row (N, ...) for each text, computed without gradients beside others of its length.

    `compute` gives the rows (B, ...) of some of them.
    """
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    starts = range(0, len(order), SCORED_TOGETHER)
    cut = [order[start : start + SCORED_TOGETHER] for start in starts]
    with torch.no_grad():
        found = [compute([texts[index] for index in few]).cpu().numpy() for few in cut]
    return np.concatenate(found)[np.argsort(order)]


def _logits(classifier: Classifier, texts: Sequence[list[int]]) -> Tensor:
    """Return logits (B, C) on the CPU of texts of any lengths."""
    return classifier(*padded(texts, classifier.out.weight.device)).cpu()


def padded(texts: Sequence[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids (B, T) of texts, filled up at their ends, and where they are real, on `device`."""
    return pad(texts).to(device), attention_mask(texts).to(device)
