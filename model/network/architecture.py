"""What a network is made of: one set of options, three families, and the published designs.

A design is a row of `PRESETS`: the options in which it differs from the defaults. Sizes (layers,
width, heads, hidden, context) are chosen by themselves.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ConfigError

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

    def __post_init__(self) -> None:
        for name in SIZES:
            if not 1 <= getattr(self, name) <= SIZE_MAX:
                raise ConfigError(
                    f"model.{name}: {getattr(self, name)}, wanted from 1 to {SIZE_MAX}"
                )
        for name, words in CHOICES.items():
            if getattr(self, name) not in words:
                found = getattr(self, name)
                raise ConfigError(f"model.{name}: {found!r}, wanted one of {', '.join(words)}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"model.dropout: {self.dropout}, wanted from 0 to below 1")
        if self.head_transform and self.family != ENCODER:
            raise ConfigError(
                f"model.head_transform belongs to the family 'encoder', not {self.family!r}"
            )
        for name in ("norm_epsilon", "rope_theta"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"model.{name}: {getattr(self, name)}, wanted above 0")
        self._check_heads()
        if self.context * self.width > POSITION_NUMBERS_MAX:
            raise ConfigError(
                f"model.context {self.context} times model.width {self.width}: wanted at most "
                f"{POSITION_NUMBERS_MAX}, which is what positions take"
            )

    def _check_heads(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ConfigError(
                f"model.width {self.width} over model.heads {self.heads} must be an even whole "
                f"number, the width of a head"
            )
        if self.heads % self.kv_heads:
            raise ConfigError(
                f"model.heads {self.heads} must be a multiple of model.kv_heads {self.kv_heads}"
            )

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
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"model.preset: {name!r}; {hint}known: {', '.join(PRESETS)}")
    made = vars(ModelConfig(**PRESETS[name]))
    return {key: value for key, value in made.items() if key not in SIZES}


def expanded(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table of ModelConfig keys with `preset`, if there, replaced by what it stands for.

    Keys beside `preset` win over it.
    """
    rest = {key: value for key, value in table.items() if key != "preset"}
    return {**preset(table["preset"]), **rest} if "preset" in table else rest
