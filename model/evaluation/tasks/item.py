"""One thing to ask a model: a prompt, and what would be right."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """A prompt that the answer follows at once; answers are spelled as they are taught.

    With `choices` the likeliest of them is the model's answer, else what it writes. `check` is code
    that calls the answer's `function` and has to come to its end.
    """

    lang: str
    prompt: str
    answers: tuple[str, ...]
    choices: tuple[str, ...] = ()
    check: str = ""
    function: str = ""

    @property
    def gold(self) -> int:
        """Number of the right choice."""
        return self.choices.index(self.answers[0])

    @property
    def solved(self) -> str:
        """The item with its answer, as an example in a prompt."""
        return f"{self.prompt}{self.answers[0]}\n\n"
