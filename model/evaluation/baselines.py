"""What a trained model is held against: token frequencies, an n-gram model, compressors."""

from collections.abc import Iterator

import numpy as np

from model.counts import kneser_ney
from model.evaluation import compression
from model.evaluation.config import BaselineConfig
from model.evaluation.held_out import choose, documents
from model.evaluation.scoring import HeldOutDocument, Scores, TokenModel
from model.evaluation.slices import (
    ALL,
    NATS_PER_BYTE,
    NGRAM,
    PPMD,
    UNIGRAM,
    Key,
    members,
    with_baseline,
)
from pipeline.shard import TRAIN, iter_documents
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import Tokenizer


def unigram_nats(shards: Artifact, vocab_size: int) -> np.ndarray:
    """Return -log(share) of each token (V,) in the train split, with one added to every count."""
    counts = np.ones(vocab_size, np.float64)
    for batch in iter_documents(shards, "train", ["tokens"]):
        tokens = batch.column("tokens").flatten().to_numpy()
        counts += np.bincount(tokens, minlength=vocab_size)
    return np.log(counts.sum()) - np.log(counts)


def token_models(
    shards: Artifact, tokenizer: Tokenizer, config: BaselineConfig
) -> dict[str, TokenModel]:
    """Return the baselines that score tokens, made of training text."""
    unigram_V = unigram_nats(shards, tokenizer.vocab_size)
    models: dict[str, TokenModel] = {UNIGRAM: lambda ids: unigram_V[ids]}
    if config.ngram_order is not None:
        texts = _training_text(shards, config.ngram_tokens_max)
        model = kneser_ney.train(
            texts, tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_id, config.ngram_order
        )
        models[NGRAM] = model.nats
    return models


def _training_text(shards: Artifact, tokens_max: int) -> Iterator[np.ndarray]:
    chosen, _ = choose(shards, TRAIN, tokens_max)
    return (document.ids for document in documents(shards, TRAIN, chosen))


def compressed(
    scores: Scores,
    scored: list[HeldOutDocument],
    shards: Artifact,
    tokenizer: Tokenizer,
    config: BaselineConfig,
) -> tuple[Scores, dict[Key, int]]:
    """Add what PPMd needs for each document; return the bytes of xz by slice, sources aside."""
    if config.compressor_bytes_max is None:
        return scores, {}
    tokens, text_bytes = (max(shards.stats[count][TRAIN], 1) for count in ("tokens", "bytes"))
    first = _training_text(shards, config.compressor_bytes_max * tokens // text_bytes)
    primer = b"".join(tokenizer.decode(ids).encode() for ids in first)
    texts = [tokenizer.decode(document.ids).encode() for document in scored]
    sizes_N = np.array(compression.ppmd_bytes([primer], texts), np.float64)
    by_slice = {
        key: b"".join(texts[number] for number in numbers)
        for key, numbers in members(scores).items()
        if key[0] in (ALL[0], "lang")
    }
    xz_bytes = compression.xz_bytes(primer, by_slice)
    return with_baseline(scores, PPMD, sizes_N * NATS_PER_BYTE), xz_bytes
