"""Scores documents under a model: every token once, with as much context as the window allows.

Sums are kept per document, so that any slice can be formed, with its interval, without a second
pass. Shapes: N documents, B bins of confidence, P buckets of position, T tokens, V vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from model.network import objectives
from model.network.batch import pad
from model.network.families import AnyNetwork
from pipeline.tokenizer import CONTROLS, SPACE_MARK, Tokenizer

WINDOWS_SORTED = 1024  # windows gathered and sorted by length, so that little padding is computed
BINS = 15  # of equal width, as in Guo et al. 2017, arXiv:1706.04599
OVERLAP = 4  # a window's first quarter was scored with more before it, and is only read again
POSITIONS = 24  # buckets that double: 1, 2-3, 4-7, ... tokens into the window


@dataclass(frozen=True)
class HeldOutDocument:
    """A held-out document: token ids without controls, and the UTF-8 bytes they stand for."""

    lang: str
    source: str
    ids: np.ndarray
    text_bytes: int
    id: str = ""


Group = tuple[str, str]  # language, source
TokenModel = Callable[[np.ndarray], np.ndarray]  # a document's ids (T,) -> nats of each (T,)
Window = tuple[int, np.ndarray, int]  # document, ids, how many of the predicted are only read


@dataclass
class DocumentScore:
    """What one document adds: counts, nats, calibration and figures by position."""

    group: Group
    tokens: int
    text_bytes: int
    baseline_nats: dict[str, float]
    bins_B3: np.ndarray  # tokens, summed confidence, tokens that were the likeliest
    positions_P4: np.ndarray  # tokens, bytes, nats, tokens that were the likeliest


@dataclass(frozen=True)
class Scores:
    """Scores of N documents side by side; `baseline_nats` by the baseline's name."""

    groups: list[Group]
    tokens_N: np.ndarray
    bytes_N: np.ndarray
    nats_N: np.ndarray
    correct_N: np.ndarray
    baseline_nats: dict[str, np.ndarray]
    bins_NB3: np.ndarray
    positions_NP4: np.ndarray


def score(
    network: AnyNetwork,
    tokenizer: Tokenizer,
    documents: Iterable[HeldOutDocument],
    *,
    baselines: Mapping[str, TokenModel] | None = None,
    batch_size: int = 16,
    report: Callable[[int], None] = lambda documents: None,
) -> Scores:
    """Return the sums of each document, in the order given.

    A document is `<|bos|>` and its ids; the first token that a further window scores is predicted
    from the quarter of a context before it. `baselines` score the same tokens.
    """
    document_scores: list[DocumentScore] = []
    waiting: list[Window] = []
    token_bytes_V = bytes_of_tokens(tokenizer)
    for number, document in enumerate(documents):
        document_scores.append(_empty_score(document, baselines or {}))
        waiting.extend(
            (number, *w) for w in windows(document.ids, tokenizer, network.config.context)
        )
        if len(waiting) >= WINDOWS_SORTED:
            _score_windows(network, waiting, batch_size, document_scores, token_bytes_V)
            waiting = []
        report(number + 1)
    _score_windows(network, waiting, batch_size, document_scores, token_bytes_V)
    return _side_by_side(document_scores)


def _empty_score(document: HeldOutDocument, baselines: Mapping[str, TokenModel]) -> DocumentScore:
    return DocumentScore(
        (document.lang, document.source),
        len(document.ids),
        document.text_bytes,
        {name: float(nats(document.ids).sum()) for name, nats in baselines.items()},
        np.zeros((BINS, 3)),
        np.zeros((POSITIONS, 4)),
    )


def _side_by_side(documents: list[DocumentScore]) -> Scores:
    names = documents[0].baseline_nats if documents else ()
    positions_NP4 = np.array([d.positions_P4 for d in documents]).reshape(-1, POSITIONS, 4)
    return Scores(
        groups=[document.group for document in documents],
        tokens_N=np.array([document.tokens for document in documents], np.int64),
        bytes_N=np.array([document.text_bytes for document in documents], np.int64),
        nats_N=positions_NP4[:, :, 2].sum(1),
        correct_N=positions_NP4[:, :, 3].sum(1),
        baseline_nats={n: np.array([d.baseline_nats[n] for d in documents]) for n in names},
        bins_NB3=np.array([document.bins_B3 for document in documents]).reshape(-1, BINS, 3),
        positions_NP4=positions_NP4,
    )


def windows(
    ids: np.ndarray, tokenizer: Tokenizer, context: int
) -> Iterator[tuple[np.ndarray, int]]:
    """Cut `<|bos|>` + ids into runs of up to context + 1, a quarter of which is read again.

    Yields each with the number of its predictions that an earlier one has made.
    """
    sequence = np.concatenate(([tokenizer.bos_id], ids)).astype(np.int64)
    again = context // OVERLAP
    for start in range(0, max(1, len(sequence) - 1 - again), context - again):
        yield sequence[start : start + context + 1], again if start else 0


def bytes_of_tokens(tokenizer: Tokenizer) -> np.ndarray:
    """Return the UTF-8 bytes that each token stands for (V,); controls stand for none."""
    pieces = [tokenizer.piece(token) for token in range(tokenizer.vocab_size)]
    sizes_V = np.array([len(piece.replace(SPACE_MARK, " ").encode()) for piece in pieces])
    sizes_V[[tokenizer.is_byte(token) for token in range(len(pieces))]] = 1
    sizes_V[: len(CONTROLS)] = 0
    return sizes_V


def position_bucket(positions: np.ndarray) -> np.ndarray:
    """Return the bucket of 1-based positions in the window: floor(log2)."""
    exponent = np.frexp(positions)[1] - 1  # exact for whole numbers, unlike a logarithm
    return np.minimum(exponent, POSITIONS - 1)


def _score_windows(
    network: AnyNetwork,
    waiting: list[Window],
    batch_size: int,
    document_scores: list[DocumentScore],
    token_bytes_V: np.ndarray,
) -> None:
    waiting = sorted(waiting, key=lambda window: len(window[1]))
    for start in range(0, len(waiting), batch_size):
        batch = waiting[start : start + batch_size]
        scores_BT3 = token_scores(network, pad([window for _, window, _ in batch]))
        for row, (number, window, again) in enumerate(batch):
            scored = slice(again, len(window) - 1)  # padding comes after; attention looks only back
            nats_T, confidence_T, correct_T = (part[row, scored] for part in scores_BT3)
            window_scores = (token_bytes_V[window[1:]][scored], nats_T, confidence_T, correct_T)
            _add_window(document_scores[number], 1 + again, window_scores)


def _add_window(
    document_score: DocumentScore,
    position: int,
    scores_4T: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Add bytes, nats, confidence and hits of tokens from a 1-based position in the window on."""
    bytes_T, nats_T, confidence_T, correct_T = scores_4T
    bin_T = np.minimum((confidence_T * BINS).astype(np.int64), BINS - 1)
    for column, weights_T in enumerate((None, confidence_T, correct_T)):
        document_score.bins_B3[:, column] += np.bincount(bin_T, weights_T, BINS)
    place_T = position_bucket(np.arange(position, position + len(nats_T)))
    for column, weights_T in enumerate((None, bytes_T, nats_T, correct_T)):
        document_score.positions_P4[:, column] += np.bincount(place_T, weights_T, POSITIONS)


def token_scores(
    network: AnyNetwork, ids_BT: torch.Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each id but the first: its nats, the highest probability, whether it had that."""
    ids_BT = ids_BT.to(network.device)
    with torch.no_grad():
        logits_BTV = objectives.text_logits(network, ids_BT).float()
        targets_BT = ids_BT[:, 1:]
        total_BT = logits_BTV.logsumexp(-1)
        best_BT, likeliest_BT = logits_BTV.max(-1)
        nats_BT = total_BT - logits_BTV.gather(-1, targets_BT[..., None])[..., 0]
        confidence_BT = (best_BT - total_BT).exp().clamp(max=1.0)
        scores_BT3 = (nats_BT, confidence_BT, likeliest_BT == targets_BT)
    nats, confidence, correct = (part.double().cpu().numpy() for part in scores_BT3)
    return nats, confidence, correct
