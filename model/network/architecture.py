"""What a network is made of: one set of options, three families, and the published designs.

A design is a row of `PRESETS`: the options in which it differs from the defaults. Sizes (layers,
width, heads, hidden, context) are chosen by themselves.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config_checks import Between, OneOf, OrOff, refused, require, require_name

DECODER, ENCODER, ENCODER_DECODER = "decoder", "encoder", "encoder_decoder"
ROTARY, LEARNED, SINUSOIDAL = "rotary", "learned", "sinusoidal"
RMSNORM, LAYERNORM = "rmsnorm", "layernorm"
PRE, POST = "pre", "post"
NO_BIASES, MLP_BIASES, ALL_BIASES = "none", "mlp", "all"

# Options that are a word, with the words they can be.
CHOICES: dict[str, tuple[str, ...]] = {
    "family": (DECODER, ENCODER_DECODER, ENCODER),
    "norm": (RMSNORM, LAYERNORM),
    "norm_place": (PRE, POST),
    "activation": ("swiglu", "relu", "gelu", "gelu_tanh"),
    "positions": (ROTARY, SINUSOIDAL, LEARNED),
    "biases": (NO_BIASES, MLP_BIASES, ALL_BIASES),
}
SIZES = ("layers", "width", "heads", "kv_heads", "hidden", "context")
# Far above any published network; a size beyond is a slip or a damaged file, and no memory is asked
# for because of it.
SIZE_MAX, POSITION_NUMBERS_MAX = 1 << 24, 1 << 31
NGRAM_ORDER_MAX = 16
ROWS, HEADS = Between(1, SIZE_MAX), Between(1, 16)
POSITIVE = Between(0, math.inf, above_low=True, below_high=True)


@dataclass(frozen=True)
class ModelConfig:
    """Shape and make of the network; the vocabulary comes with the tokenizer.

    `layers` counts those of each stack: an encoder-decoder has as many in either.
    """

    layers: int = 4
    width: int = 256
    heads: int = 4
    kv_heads: int = 4
    hidden: int = 688  # about 8/3 of the width: SwiGLU has three matrices where ReLU has two
    context: int = 256
    family: str = DECODER
    norm: str = RMSNORM
    norm_place: str = PRE
    norm_epsilon: float = 1e-5
    activation: str = "swiglu"
    positions: str = ROTARY
    rope_theta: float = 10_000.0
    biases: str = NO_BIASES  # "mlp": in the feed-forward layers and layer norms alone
    qk_norm: bool = False
    tied_embeddings: bool = True
    scaled_embeddings: bool = False  # times sqrt(width), as in Vaswani et al. 2017, section 3.4
    embedding_norm: bool = False
    head_transform: bool = False  # a layer before the head, which then has a bias (BERT)
    dropout: float = 0.0  # of sublayers' outputs and of embeddings, in training alone
    ngram_orders: tuple[int, ...] = ()  # of n-grams that have embeddings of their own (ngrams.py)
    ngram_rows: int = 32_768  # of each table
    ngram_heads: int = 1  # tables of each order, with different hashes
    ngram_width: int | None = None  # of the tables; none: the network's
    count_order: int | None = None  # of n-grams that are counted and mixed in (counts.py)

    def __post_init__(self) -> None:
        require(self, "model", "", **dict.fromkeys(SIZES, Between(1, SIZE_MAX)))
        require(self, "model", "", **{name: OneOf(words) for name, words in CHOICES.items()})
        require(
            self,
            "model",
            dropout=Between(0, 1, below_high=True),
            norm_epsilon=POSITIVE,
            rope_theta=POSITIVE,
        )
        require(self, "model", ngram_rows=ROWS, ngram_heads=HEADS, ngram_width=OrOff(ROWS))
        require(self, "model", count_order=OrOff(Between(2, NGRAM_ORDER_MAX)))
        self._check_ngrams()
        if self.head_transform and self.family != ENCODER:
            wanted = f"false for the family {self.family!r}"
            raise refused("model.head_transform", True, wanted)
        self._check_heads()
        if self.context * self.width > POSITION_NUMBERS_MAX:
            raise refused(
                f"model.context {self.context} times model.width {self.width}",
                self.context * self.width,
                f"at most {POSITION_NUMBERS_MAX}, which is what positions take",
            )

    def _check_ngrams(self) -> None:
        """Refuse n-grams that are none, and those of a network that sees what comes after."""
        if any(not 2 <= order <= NGRAM_ORDER_MAX for order in self.ngram_orders):
            wanted = f"orders from 2 to {NGRAM_ORDER_MAX}"
            raise refused("model.ngram_orders", list(self.ngram_orders), wanted)
        for name, value in (("ngram_orders", self.ngram_orders), ("count_order", self.count_order)):
            if value and self.family != DECODER:
                wanted = f"none for the family {self.family!r}"
                raise refused(f"model.{name}", value, wanted)

    def _check_heads(self) -> None:
        """Refuse heads whose width is not an even whole number, or that no key heads divide."""
        if self.width % self.heads or (self.width // self.heads) % 2:
            wanted = f"an even whole number of times model.heads {self.heads}, the width of a head"
            raise refused("model.width", self.width, wanted)
        if self.heads % self.kv_heads:
            raise refused(
                "model.heads", self.heads, f"a multiple of model.kv_heads {self.kv_heads}"
            )

    @property
    def reads_source(self) -> bool:
        """Tell whether a prompt is read by an encoder (see `families.Family`)."""
        return self.family == ENCODER_DECODER

    @property
    def ngram_longest(self) -> int:
        """Tokens to be known up to a position, itself included, beside what attention keeps."""
        return max(1, (self.count_order or 0) - 1, *self.ngram_orders)

    @property
    def head_width(self) -> int:
        """Numbers per head (E)."""
        return self.width // self.heads


_CLASSIC = {"norm": LAYERNORM, "biases": ALL_BIASES}
PRESETS: dict[str, dict[str, Any]] = {
    # Touvron et al. 2023, arXiv:2302.13971
    "llama": {},
    # Qwen team 2025, arXiv:2505.09388: queries and keys are normalised per head
    "qwen": {"qk_norm": True, "rope_theta": 1_000_000.0, "norm_epsilon": 1e-6},
    # Qwen's with embeddings of the last two, three and four tokens: what counting models know
    "ngram": {"qk_norm": True, "ngram_orders": (2, 3, 4), "ngram_width": 64},
    # Radford et al. 2019; its dropout is left out, as is usual where text is seen about once
    "gpt2": {**_CLASSIC, "activation": "gelu_tanh", "positions": LEARNED},
    # Vaswani et al. 2017, arXiv:1706.03762, base model; attention projections have no biases there
    "vaswani2017": {
        "family": ENCODER_DECODER,
        "norm": LAYERNORM,
        "norm_place": POST,
        "activation": "relu",
        "positions": SINUSOIDAL,
        "biases": MLP_BIASES,
        "scaled_embeddings": True,
        "dropout": 0.1,
    },
    # Lewis et al. 2020, arXiv:1910.13461
    "bart": {
        **_CLASSIC,
        "family": ENCODER_DECODER,
        "norm_place": POST,
        "activation": "gelu",
        "positions": LEARNED,
        "embedding_norm": True,
        "dropout": 0.1,
    },
    # Devlin et al. 2019, arXiv:1810.04805
    "bert": {
        **_CLASSIC,
        "family": ENCODER,
        "norm_place": POST,
        "norm_epsilon": 1e-12,
        "activation": "gelu",
        "positions": LEARNED,
        "embedding_norm": True,
        "head_transform": True,
        "dropout": 0.1,
    },
    # The default blocks in the other two families.
    "modern_encoder": {"family": ENCODER},
    "modern_encoder_decoder": {"family": ENCODER_DECODER},
}


def preset(name: str) -> dict[str, Any]:
    """Return every option of a design except sizes; raise ConfigError for an unknown name."""
    require_name("model.preset", name, PRESETS)
    options = vars(ModelConfig(**PRESETS[name]))
    return {key: value for key, value in options.items() if key not in SIZES}


def expanded(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table of ModelConfig keys with `preset`, if there, replaced by what it stands for.

    Keys beside `preset` win over it.
    """
    rest = {key: value for key, value in table.items() if key != "preset"}
    return {**preset(table["preset"]), **rest} if "preset" in table else rest
