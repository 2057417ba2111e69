"""The baseline that a network has to beat: TF-IDF and logistic regression (scikit-learn).

Labels are predicted from n-grams. Free answers are matched: which of several answers belongs to an
input, by the n-grams that both have and, across languages, by which words of the input go with
which characters of the answer.
"""

import re
import warnings
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # imported where they are used: a recipe is read without them
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

SPACED = 15  # one space in so many characters, as prose of words has more, Chinese far fewer
SPACED_NGRAMS: tuple[dict[str, Any], ...] = (  # settings of a TfidfVectorizer each
    {"token_pattern": r"\w+|[^\w\s]", "ngram_range": (1, 2)},
    {"analyzer": "char_wb", "ngram_range": (2, 5)},
)
# Of 1-2, 1-3 and 1-3 with words, 1-2 was the best on headlines: 77 % against 77 and 72.
UNSPACED_NGRAMS: tuple[dict[str, Any], ...] = ({"analyzer": "char", "ngram_range": (1, 2)},)
# Inverse regularisation. Chosen by the log loss of labels left out, not by how many are right: of
# 400 examples too few change sides to tell, and C = 100 was taken where 1 is better
# (`model/LOG.md`).
STRENGTHS = {"C": [0.3, 1.0, 3.0, 10.0, 30.0, 100.0]}
DEFAULT_STRENGTH = 3.0  # where nothing can be left out
FOLDS = 3
ITERATIONS = 300
PAIR_BITS = 18  # hashed features of (word of the input, character pair of the answer)
MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)  # odd, for the upper bits
TERM = re.compile("[\u4e00-\u9fff]|[^\\W\u4e00-\u9fff]+")
TERMS_MAX = 48  # of each side of a pair
Choice = tuple[str, Sequence[str]]  # an input and the answers to choose from


def predict_labels(
    texts: Sequence[str], labels: Sequence[str], test_texts: Sequence[str], seed: int
) -> list[str]:
    """Fit logistic regression on the labelled texts; return a label for each test text."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    spaces = sum(text.count(" ") for text in texts)
    spaced = spaces * SPACED > sum(map(len, texts))
    ngrams = SPACED_NGRAMS if spaced else UNSPACED_NGRAMS
    features = make_union(*(TfidfVectorizer(**sizes, sublinear_tf=True) for sizes in ngrams))
    model = fit_logistic_regression(features.fit_transform(texts), np.array(labels), seed)
    return model.predict(features.transform(test_texts)).tolist()


def score_choices(
    pairs: Sequence[tuple[str, str]], choices: Sequence[Choice], negatives: int, seed: int
) -> np.ndarray:
    """Fit logistic regression on true pairs; return scores (N, C) of each choice's candidates.

    N choices of C candidates. Each true pair is set against `negatives` answers of other pairs.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    generator = np.random.Generator(np.random.PCG64(seed))
    ngrams = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    ngrams.fit([text for pair in pairs for text in pair])
    inputs, answers = zip(*pairs, strict=True)
    shifts = generator.integers(1, max(2, len(pairs)), size=(negatives, len(pairs)))
    left, right, belongs = list(inputs), list(answers), [1] * len(pairs)
    for shift in shifts:
        drawn = [answers[(index + step) % len(pairs)] for index, step in enumerate(shift)]
        wrong_pairs = [(i, a) for i, a, own in zip(inputs, drawn, answers, strict=True) if a != own]
        left += [text for text, _ in wrong_pairs]
        right += [answer for _, answer in wrong_pairs]
        belongs += [0] * len(wrong_pairs)
    model = fit_logistic_regression(_pair_features(ngrams, left, right), np.array(belongs), seed)
    flat = [(text, answer) for text, candidates in choices for answer in candidates]
    test_inputs, test_answers = zip(*flat, strict=True)
    scores = model.decision_function(_pair_features(ngrams, test_inputs, test_answers))
    return scores.reshape(len(choices), -1)


def fit_logistic_regression(
    features: "sparse.csr_matrix | np.ndarray", classes: np.ndarray, seed: int
) -> "LogisticRegression":
    """Fit logistic regression at the strength that does best in cross-validation."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    _, counts = np.unique(classes, return_counts=True)
    plain = LogisticRegression(max_iter=ITERATIONS, random_state=seed)
    with warnings.catch_warnings():
        # unconverged fits of weak regularisation are compared like the others
        warnings.simplefilter("ignore", ConvergenceWarning)
        if counts.min() < FOLDS:  # a rare class cannot be in every fold
            return plain.set_params(C=DEFAULT_STRENGTH).fit(features, classes)
        search = GridSearchCV(plain, STRENGTHS, scoring="neg_log_loss", cv=FOLDS)
        return search.fit(features, classes).best_estimator_


def _pair_features(
    ngrams: "TfidfVectorizer", left: Sequence[str], right: Sequence[str]
) -> "sparse.csr_matrix":
    from scipy import sparse

    shared = ngrams.transform(left).multiply(ngrams.transform(right)).tocsr()
    cosine = sparse.csr_matrix(shared.sum(axis=1))
    return sparse.hstack([shared, cosine, _term_pairs(left, right)], format="csr")


def _term_pairs(left: Sequence[str], right: Sequence[str]) -> "sparse.csr_matrix":
    """Return hashed counts of (term of the input, term of the answer), rows of unit length."""
    from scipy import sparse

    rows, columns, values = [], [], []
    for row, (text, answer) in enumerate(zip(left, right, strict=True)):
        mixed = (_term_hashes(text) * MIX[0])[:, None] ^ (_term_hashes(answer) * MIX[1])
        buckets = np.unique(mixed.ravel() >> np.uint64(64 - PAIR_BITS))
        rows.append(np.full(len(buckets), row))
        columns.append(buckets.astype(np.int64))
        values.append(np.full(len(buckets), len(buckets) ** -0.5))
    positions = (np.concatenate(rows), np.concatenate(columns))
    shape = (len(left), 1 << PAIR_BITS)
    return sparse.csr_matrix((np.concatenate(values), positions), shape=shape)


def _term_hashes(text: str) -> np.ndarray:
    """Hash the first different terms of a text: words, and ideographs one by one."""
    first = list(dict.fromkeys(TERM.findall(text.lower())))[:TERMS_MAX]
    return np.array([zlib.crc32(term.encode()) for term in first], np.uint64)
