"""What loss a size and so many tokens are expected to come to: a law measured here.

L(N, D) = E + A / N^p + B / D^p in bits per byte, N weights in products, D tokens (Hoffmann et al.
2022, arXiv:2203.15556, section 3.3, whose power of tokens is p); E, A, B are fitted by
`tests/bench/bench_scaling.py`, and model/LOG.md says to what. They compare shapes at equal time;
the text at hand has another level.
"""

import math
from dataclasses import dataclass

POWER = 0.28


@dataclass(frozen=True)
class ScalingLaw:
    """The law's numbers E, A and B."""

    least: float
    of_size: float
    of_tokens: float

    def loss(self, weights: int, tokens: float, corpus_tokens: int | None = None) -> float:
        """Return the loss expected of so many weights after so many tokens, of a corpus."""
        worth = max(1.0, tokens_worth(tokens, corpus_tokens))
        return self.least + self.of_size / weights**POWER + self.of_tokens / worth**POWER


HALF_LIFE = 15.39  # repetitions after which text seen again is worth 1/e of new text


def tokens_worth(tokens: float, corpus_tokens: int | None) -> float:
    """Return how many new tokens teach as much as these, some of them seen again.

    Muennighoff et al. 2023 (arXiv:2305.16264), equation 5.
    """
    if not corpus_tokens or tokens <= corpus_tokens:
        return tokens
    repeated = tokens / corpus_tokens - 1
    return corpus_tokens * (1 + HALF_LIFE * (1 - math.exp(-repeated / HALF_LIFE)))


# Of decoders; 25 s each of the other families tell no A from zero, so they go by it until runs do.
LAW = ScalingLaw(1.381, 13.93, 33.48)
