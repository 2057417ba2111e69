"""What one side says in a conversation, by which name, and why a record is no example."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.reading.blank import BLANK

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
# What announces a turn in a vocabulary that has these: no text can spell them.
ROLE_SYMBOLS = {SYSTEM: "<|system|>", USER: "<|user|>", ASSISTANT: "<|assistant|>"}
PROMPT, RESPONSE = "prompt", "response"  # the turns of a task that is no conversation
ROLES = {
    "system": SYSTEM,
    "developer": SYSTEM,
    "user": USER,
    "human": USER,
    "prompter": USER,
    "assistant": ASSISTANT,
    "gpt": ASSISTANT,
    "chatgpt": ASSISTANT,
    "bot": ASSISTANT,
    "model": ASSISTANT,
    "bing": ASSISTANT,
    "bard": ASSISTANT,
}
ANSWERED = (ASSISTANT, RESPONSE)  # turns that are learned
TEXT_PARTS = ("text", "input_text", "output_text")  # kinds of parts of a message that are read
Fields = Mapping[str, Any]


class Unusable(Exception):
    """A record that is no example: a short name of what is wrong; found and wanted."""

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Turn:
    """What one side says."""

    role: str
    text: str


def read_string(value: Any, name: str) -> str:
    """Return a text that can be seen; the texts of a list of parts are joined.

    Raises Unusable, also for parts that are no text: a model would be taught half a message.
    """
    if isinstance(value, list) and value:
        value = "".join(_part(part, name) for part in value)
    if not isinstance(value, str):
        raise Unusable("not_a_string", f"{name!r} is {type(value).__name__}, wanted a string")
    if not value.strip(BLANK):
        raise Unusable("empty", f"{name!r} has {len(value)} characters, none that can be seen")
    return value


def _part(part: Any, name: str) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, str) or part.get("type", TEXT_PARTS[0]) not in TEXT_PARTS:
        raise Unusable("part_not_text", f"{name!r} has the part {part!r:.80}, wanted text alone")
    return text


def field_names(fields: Fields) -> list[str]:
    """Return the first names of a record's fields, to be shown."""
    return sorted(map(str, fields))[:20]
