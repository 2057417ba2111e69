"""A network trained to choose among labels: means over a text, and a linear map.

The means are of its embeddings and of its last vectors, side by side. They suit few examples better
than the likelihood of a label's words after the text: what has been learned of each token counts
wherever it stands, not only as far as the last token sees it.
Every learning rate is tried; the one of the lowest loss on development texts is kept.
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
from model.transferring.config import ClassifierConfig
from model.transferring.opinion_pool import calibrated_nll
from pipeline.tokenizer import Tokenizer

GRADIENT_CLIP = 1.0
WARMUP_SHARE = 0.06  # of the steps
SCORED_TOGETHER = 64
INITIAL_STD = 0.02  # of the linear map, as in the networks


@dataclass(frozen=True)
class LabelledTexts:
    """Texts as token ids, each with the index of its label."""

    ids: list[list[int]]
    labels: list[int]

    def subset(self, indices: Sequence[int]) -> "LabelledTexts":
        """Return the texts at these indices."""
        return LabelledTexts([self.ids[i] for i in indices], [self.labels[i] for i in indices])


class Classifier(nn.Module):
    """The network under a linear map from the mean of its vectors to labels."""

    def __init__(self, network: AnyNetwork, labels: int, dropout: float):
        super().__init__()
        self.network, self.dropout = network, dropout
        self.out = nn.Linear(2 * network.config.width, labels)
        nn.init.normal_(self.out.weight, std=INITIAL_STD)
        nn.init.zeros_(self.out.bias)

    def forward(self, ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
        """Return logits (B, C); the mask is False on padding, which comes after the text."""
        means = (
            _masked_mean(self.network.embed_tokens(ids_BT), attention_mask_BT),
            mean_last_vectors(self.network, ids_BT, attention_mask_BT),
        )
        # of one length, whatever the spread of embeddings
        normed_BF = torch.cat([F.layer_norm(mean_BD, mean_BD.shape[-1:]) for mean_BD in means], -1)
        return self.out(F.dropout(normed_BF, self.dropout, self.training))


def _masked_mean(vectors_BTD: Tensor, attention_mask_BT: Tensor) -> Tensor:
    mask_BT1 = attention_mask_BT[..., None].to(vectors_BTD.dtype)
    return (vectors_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)


def mean_last_vectors(network: AnyNetwork, ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
    """Return the mean (B, D) of the network's last vectors of each text."""
    vectors_BTD = family_of(network).last_vectors(network, ids_BT, attention_mask_BT)
    return _masked_mean(vectors_BTD, attention_mask_BT)


def encode_text(text: str, tokenizer: Tokenizer, context: int) -> list[int]:
    """Return the ids of a text after <|bos|>, cut at its end where the context is smaller."""
    return [tokenizer.bos_id, *tokenizer.encode(text)][:context]


@dataclass(frozen=True)
class FittedClassifier:
    """A classifier after all its epochs, its label nats (N, C) of the development texts.

    The epoch is not chosen by them: the best of many would look better than it is.
    """

    classifier: Classifier
    dev_nll_NC: np.ndarray
    learning_rate: float


def fit(
    network: Callable[[], AnyNetwork],
    train: LabelledTexts,
    dev: LabelledTexts,
    labels: int,
    config: ClassifierConfig,
    seed: int,
) -> FittedClassifier:
    """Train at every learning rate; return the classifier of the lowest calibrated loss on `dev`.

    `network` returns a fresh copy with the same weights at every call.
    """
    fitted = []
    for rate in config.learning_rates:
        torch.manual_seed(seed)
        fresh = network()
        classifier = Classifier(fresh, labels, config.dropout).to(fresh.device)
        _train(classifier, train, rate, config, seed)
        fitted.append(FittedClassifier(classifier, label_nll(classifier, dev.ids), rate))
    return min(fitted, key=lambda candidate: calibrated_nll(candidate.dev_nll_NC, dev.labels))


def _train(
    classifier: Classifier,
    examples: LabelledTexts,
    rate: float,
    config: ClassifierConfig,
    seed: int,
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
                group["lr"] = rate * _learning_rate_scale(step, steps)
            batch = examples.subset(order[start : start + config.batch_size].tolist())
            loss = F.cross_entropy(_logits(classifier, batch.ids), torch.tensor(batch.labels))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, GRADIENT_CLIP)
            optimizer.step()
            step += 1


def _learning_rate_scale(step: int, steps: int) -> float:
    warmup = WARMUP_SHARE * steps
    return min((step + 1) / (warmup + 1), (steps - step) / (steps - warmup))


def label_nll(classifier: Classifier, texts: Sequence[list[int]]) -> np.ndarray:
    """Return the negative log-likelihood of each label for each text, nats (N, C)."""
    classifier.eval()
    return compute_in_batches(
        texts, lambda batch: -F.log_softmax(_logits(classifier, batch).double(), dim=-1)
    )


def compute_in_batches(
    texts: Sequence[list[int]], compute: Callable[[list[list[int]]], Tensor]
) -> np.ndarray:
    """Return a row (N, ...) for each text, computed without gradients beside others of its length.

    `compute` returns the rows (B, ...) of a batch of texts.
    """
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    starts = range(0, len(order), SCORED_TOGETHER)
    batches = [order[start : start + SCORED_TOGETHER] for start in starts]
    with torch.no_grad():
        rows = [compute([texts[index] for index in batch]).cpu().numpy() for batch in batches]
    return np.concatenate(rows)[np.argsort(order)]


def _logits(classifier: Classifier, texts: Sequence[list[int]]) -> Tensor:
    """Return logits (B, C) on the CPU of texts of any lengths."""
    return classifier(*padded(texts, classifier.out.weight.device)).cpu()


def padded(texts: Sequence[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids (B, T) of texts and their attention mask, on `device`."""
    return pad(texts).to(device), attention_mask(texts).to(device)
