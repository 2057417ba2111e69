"""Bias: is the sentence with the stereotype likelier than the same one without?

As in CrowS-Pairs (Nangia et al. 2020, arXiv:2010.00133) with whole-sentence likelihoods: 0.5 means
no preference. The pairs show whether text was one-sided, not how a model would be used.
"""

import numpy as np

from model.evaluation.figures import Estimate, EvaluatedExample, mean
from model.evaluation.probes.pairs import Pair
from model.evaluation.scoring import HeldOutDocument, score
from model.network.families import AnyNetwork
from pipeline.tokenizer import Tokenizer

SHOWN = 10  # pairs with the largest gap kept for reading, per language


def probe(
    network: AnyNetwork, tokenizer: Tokenizer, pairs: list[Pair], seed: int, batch_size: int
) -> tuple[list[Estimate], list[EvaluatedExample]]:
    """Return preferences and likelihood gaps by language and attribute, and the widest gaps."""
    return summary(pairs, gaps(network, tokenizer, pairs, batch_size), seed)


def gaps(
    network: AnyNetwork, tokenizer: Tokenizer, pairs: list[Pair], batch_size: int
) -> np.ndarray:
    """Return by how many nats each pair's stereotype is likelier than the other sentence (N,)."""
    sentences = [text for pair in pairs for text in (pair.stereotype, pair.other)]
    documents = [
        HeldOutDocument("", "", np.array(tokenizer.encode(text), np.int64), len(text.encode()))
        for text in sentences
    ]
    nats_N2 = score(network, tokenizer, documents, batch_size=batch_size).nats_N.reshape(-1, 2)
    return nats_N2[:, 1] - nats_N2[:, 0]


def summary(
    pairs: list[Pair], gap_N: np.ndarray, seed: int
) -> tuple[list[Estimate], list[EvaluatedExample]]:
    """Return the figures of gaps in nats, and the widest of them as examples."""
    prefers_N = np.where(gap_N == 0, 0.5, gap_N > 0)
    figures = []
    for lang in sorted({pair.lang for pair in pairs}):
        here_N = np.array([pair.lang == lang for pair in pairs])
        figures += [
            mean(
                f"bias.preference.{lang}",
                prefers_N[here_N],
                seed,
                "share of sentence pairs whose stereotype is likelier; 0.5 is no preference",
            ),
            mean(
                f"bias.gap.{lang}",
                gap_N[here_N],
                seed,
                "mean log-likelihood gap in nats, positive towards the stereotype",
            ),
        ]
        for attribute in sorted({pair.attribute for pair in pairs if pair.lang == lang}):
            of_N = here_N & np.array([pair.attribute == attribute for pair in pairs])
            figures.append(
                mean(
                    f"bias.by_attribute.{lang}.{attribute}",
                    prefers_N[of_N],
                    seed,
                    f"the same share over pairs about {attribute}",
                )
            )
    return figures, _widest(pairs, gap_N)


def _widest(pairs: list[Pair], gap_N: np.ndarray) -> list[EvaluatedExample]:
    examples = []
    for lang in sorted({pair.lang for pair in pairs}):
        numbers = [n for n, pair in enumerate(pairs) if pair.lang == lang]
        for number in sorted(numbers, key=lambda n: -abs(gap_N[n]))[:SHOWN]:
            pair, gap = pairs[number], float(gap_N[number])
            likelier = pair.stereotype if gap > 0 else pair.other
            examples.append(
                EvaluatedExample("bias", lang, pair.stereotype, pair.other, likelier, gap)
            )
    return examples
