"""The contracts of the tables that training, evaluation and transfer write."""

import pyarrow as pa

from pipeline.schema import Contract, column

CURVE = Contract(
    "curve",
    1,
    pa.schema(
        [
            column("step", pa.int64(), "optimizer steps done"),
            column("tokens", pa.int64(), "training tokens seen"),
            column("loss", pa.float64(), "mean training cross-entropy since the last row, nats"),
            column("learning_rate", pa.float64(), "at this step"),
            column("gradient_norm", pa.float64(), "before clipping"),
            column("validation_loss", pa.float64(), "nats per token", nullable=True),
        ]
    ),
)
EVALUATION = Contract(
    "evaluation",
    2,
    pa.schema(
        [
            column("kind", pa.string(), "'all', 'lang' or 'source'"),
            column("name", pa.string(), "'all', or the language or source"),
            column("documents", pa.int64(), "documents scored"),
            column("tokens", pa.int64(), "tokens scored"),
            column("bytes", pa.int64(), "UTF-8 bytes those tokens stand for"),
            column("loss", pa.float64(), "cross-entropy, nats per token"),
            column("perplexity", pa.float64(), "exp(loss); comparable for one tokenizer only"),
            column("accuracy", pa.float64(), "share of tokens that were the most likely one"),
            column("bits_per_byte", pa.float64(), "comparable across tokenizers"),
            column("unigram_bits_per_byte", pa.float64(), "same text under token frequencies"),
            column(
                "bits_per_byte_low", pa.float64(), "95 % interval over documents", nullable=True
            ),
            column("bits_per_byte_high", pa.float64(), "its upper end", nullable=True),
            column("calibration_error", pa.float64(), "ECE over 15 equal bins", nullable=True),
            column("ngram_bits_per_byte", pa.float64(), "under a Kneser-Ney model", nullable=True),
            column("ppmd_bits_per_byte", pa.float64(), "PPMd after training text", nullable=True),
            column("xz_bits_per_byte", pa.float64(), "xz after training text", nullable=True),
        ]
    ),
)
CALIBRATION = Contract(
    "calibration",
    1,
    pa.schema(
        [
            column("lang", pa.string(), "language, or 'all'"),
            column("lower", pa.float64(), "confidence from, the likeliest token's probability"),
            column("upper", pa.float64(), "confidence to"),
            column("tokens", pa.int64(), "tokens predicted with that confidence"),
            column("confidence", pa.float64(), "their mean confidence"),
            column("accuracy", pa.float64(), "share of them that were the likeliest token"),
        ]
    ),
)
POSITION = Contract(
    "position",
    1,
    pa.schema(
        [
            column("first", pa.int64(), "position in the window from, starting at 1"),
            column("last", pa.int64(), "position to, inclusive"),
            column("tokens", pa.int64(), "tokens scored there"),
            column("bytes", pa.int64(), "UTF-8 bytes they stand for"),
            column("loss", pa.float64(), "nats per token"),
            column("accuracy", pa.float64(), "share that were the likeliest token"),
            column("bits_per_byte", pa.float64(), "comparable across tokenizers"),
            column("low", pa.float64(), "95 % interval of bits per byte", nullable=True),
            column("high", pa.float64(), "its upper end", nullable=True),
        ]
    ),
)
FIGURE = Contract(
    "figure",
    1,
    pa.schema(
        [
            column("name", pa.string(), "stable, such as 'bias.preference.en'"),
            column("value", pa.float64(), "the figure"),
            column("low", pa.float64(), "95 % interval over examples", nullable=True),
            column("high", pa.float64(), "its upper end", nullable=True),
            column("examples", pa.int64(), "examples behind it"),
            column("seed", pa.int64(), "seed that chose the examples and drew the samples"),
            column("meaning", pa.string(), "what it says, in a sentence"),
        ]
    ),
)
EXAMPLE = Contract(
    "example",
    1,
    pa.schema(
        [
            column("name", pa.string(), "the probe or task"),
            column("lang", pa.string(), "language of the example"),
            column("prompt", pa.large_string(), "what the model was given"),
            column("wanted", pa.large_string(), "what was hoped for", nullable=True),
            column("got", pa.large_string(), "what it said or chose"),
            column("score", pa.float64(), "1 right, 0 wrong, or between"),
        ]
    ),
)
DOCUMENT_SCORE = Contract(
    "document_score",
    1,
    pa.schema(
        [
            column("id", pa.string(), "the held-out document, as the shards name it"),
            column("lang", pa.string(), "its language"),
            column("source", pa.string(), "its source"),
            column(
                "age", pa.string(), "'old' if the champion's shards had it, 'new'", nullable=True
            ),
            column("tokens", pa.int64(), "tokens scored"),
            column("bytes", pa.int64(), "UTF-8 bytes they stand for"),
            column("bits", pa.float64(), "what the model needs for them, -log2 p"),
            column("champion_bits", pa.float64(), "what the champion needs", nullable=True),
        ]
    ),
)
TRANSFER = Contract(
    "transfer",
    1,
    pa.schema(
        [
            column("id", pa.string(), "the held-out example"),
            column("lang", pa.string(), "its language"),
            column("answer", pa.large_string(), "the right answer"),
            column("chosen", pa.large_string(), "the answer chosen"),
            column("right", pa.float64(), "1 if it is the right one, else 0"),
            column("bits", pa.float64(), "-log2 p of the right answer", nullable=True),
            column("bytes", pa.int64(), "UTF-8 bytes of the right answer"),
        ]
    ),
)
