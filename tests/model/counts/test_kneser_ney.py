"""The n-gram model against Chen and Goodman's formulas written out word by word."""

import pydoc_data.topics
from collections import Counter, defaultdict

import numpy as np
import pytest

from model.counts.kneser_ney import FALLBACK, train

BOS, EOS = 1, 2


def words_of(topics, size):
    """Documents of word ids, the rarer words one id."""
    texts = [pydoc_data.topics.topics[name].split()[:size] for name in topics]
    common = [word for word, _ in Counter(w for t in texts for w in t).most_common(120)]
    numbers = {word: 4 + place for place, word in enumerate(common)}
    return [np.array([numbers.get(word, 3) for word in text]) for text in texts], 4 + len(common)


class ByTheBook:
    """Dictionaries and recursion: slow and plain."""

    def __init__(self, documents, vocab_size, order):
        self.vocab_size, self.order = vocab_size, order
        raw = Counter()
        for ids in documents:
            framed = (BOS, *map(int, ids), EOS)
            for n in range(1, order + 1):
                raw.update(framed[i : i + n] for i in range(len(framed) - n + 1))
        before = defaultdict(set)
        for gram in raw:
            before[gram[1:]].add(gram[0])
        self.counts = [
            {
                gram: count if n == order or gram[0] == BOS else len(before[gram])
                for gram, count in raw.items()
                if len(gram) == n and gram != (BOS,)
            }
            for n in range(1, order + 1)
        ]
        self.discounts = [self.discount(counts) for counts in self.counts]

    @staticmethod
    def discount(counts):
        seen = Counter(counts.values())
        if not all(seen[k] for k in (1, 2, 3, 4)):
            return (0, *FALLBACK)
        share = seen[1] / (seen[1] + 2 * seen[2])
        found = [k - (k + 1) * share * seen[k + 1] / seen[k] for k in (1, 2, 3)]
        return (0, *(found if all(0 <= d <= k for k, d in enumerate(found, 1)) else FALLBACK))

    def probability(self, context, word):
        counts, discounts = self.counts[len(context)], self.discounts[len(context)]
        shorter = self.probability(context[1:], word) if context else 1 / (self.vocab_size - 1)
        following = {g: c for g, c in counts.items() if g[:-1] == context}
        total = sum(following.values())
        if not total:
            return shorter
        off = sum(discounts[min(count, 3)] for count in following.values())
        own = following.get((*context, word), 0)
        return (own - discounts[min(own, 3)] + off * shorter) / total


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_are_those_of_the_formulas(order):
    documents, vocab_size = words_of(["assert", "break", "continue", "del", "pass"], 90)
    model, book = train(documents, vocab_size, BOS, EOS, order), None
    book = ByTheBook(documents, vocab_size, order)
    [unseen], _ = words_of(["global"], 40)
    unseen = unseen % vocab_size
    for ids in (unseen, documents[1]):
        framed = (BOS, *map(int, ids))
        wanted = [
            book.probability(framed[max(0, t - order + 1) : t], framed[t])
            for t in range(1, len(framed))
        ]
        np.testing.assert_allclose(np.exp(-model.nats(ids)), wanted, rtol=1e-9)


def test_estimated_discounts_are_used_where_the_text_is_long_enough():
    documents, _ = words_of(["assert", "break", "continue", "del", "pass"], 90)
    book = ByTheBook(documents, 200, 2)
    assert book.discounts[1][1:] != FALLBACK


@pytest.mark.parametrize("start", [[], [5], [5, 6, 9], [200, 3]])
def test_the_probabilities_of_all_next_tokens_sum_to_one(start):
    documents, vocab_size = words_of(["lambda", "yield", "with", "while"], 200)
    vocab_size += 100  # some that no text holds
    model = train(documents, vocab_size, BOS, EOS)
    every = [token for token in range(vocab_size) if token != BOS]
    total = sum(np.exp(-model.nats(np.array([*start, token]))[-1]) for token in every)
    assert total == pytest.approx(1, abs=1e-9)


def test_text_seen_in_training_is_expected_and_documents_do_not_run_together():
    documents, vocab_size = words_of(["lambda", "yield", "with", "while"], 300)
    model = train(documents, vocab_size, BOS, EOS)
    random = np.random.default_rng(3).permutation(documents[0])
    assert model.nats(documents[0]).mean() < 0.3 * model.nats(random).mean()
    apart = train([np.array([5, 6]), np.array([7, 8])], 10, BOS, EOS, 2)
    assert np.exp(-apart.nats(np.array([6, 7])))[1] < np.exp(-apart.nats(np.array([5, 6])))[1]


@pytest.mark.parametrize("documents", [[], [np.array([], np.int64)], [np.array([4])]])
def test_little_or_no_text_gives_a_model(documents):
    model = train(documents, 10, BOS, EOS)
    assert model.order == 5
    assert np.isfinite(model.nats(np.array([4, 5]))).all()
    if not len(documents):
        np.testing.assert_allclose(model.nats(np.array([4, 5])), np.log(9))
