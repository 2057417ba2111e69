"""How a text's tokens are to be drawn, as data: nothing that computes is imported."""

from dataclasses import dataclass

from pipeline.config_checks import AtLeast, Between, OrOff, require
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class SamplingConfig:
    """How the next token is drawn; temperature 0 takes the likeliest and ignores the cut-offs.

    `top_k` keeps the K likeliest, `top_p` the smallest set of that probability (Holtzman et al.
    2020), `min_p` those at least that many times as likely as the likeliest (Nguyen et al. 2024);
    together they keep what all keep. `repetition_penalty` makes tokens of prompt and text less
    likely (Keskar et al. 2019), `presence_penalty` and `frequency_penalty` those of the text, once
    or by their count (OpenAI's API). `logit_bias` is added to the logits of its token ids before
    all that. `beams` searches for the likeliest text instead.
    """

    max_new_tokens: int = 64
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    stop: tuple[str, ...] = ()
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token id, what is added), ids once each
    beams: int | None = None
    length_penalty: float = 0.6  # of beams: 0 compares sums, more prefers longer texts

    def __post_init__(self) -> None:
        require(
            self,
            "",
            max_new_tokens=AtLeast(0),
            temperature=Between(0, 100, below_high=True),
            top_k=OrOff(AtLeast(1)),
            top_p=OrOff(Between(0, 1, above_low=True)),
            min_p=OrOff(Between(0, 1)),
            repetition_penalty=OrOff(Between(0.001, 1000)),
            presence_penalty=OrOff(Between(-2, 2)),
            frequency_penalty=OrOff(Between(-2, 2)),
            beams=OrOff(Between(1, 256)),
            length_penalty=Between(0, 10),
        )
        if any(not text for text in self.stop):
            raise ConfigError("stop: an empty string would stop at once; leave it out")
