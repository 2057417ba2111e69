"""Turns that a record states itself, in the forms of other tools.

Lists of messages (OpenAI's `role` and `content`, ShareGPT's `from` and `value`), or a question and
an answer as two fields (Alpaca's and others' names). `system` and `history` beside either become
turns; a record with what no turn can hold, such as tools or pictures, is refused by the field's
name, so that nothing is taught with a part of it missing. Cells of tables hold lists as text.
"""

from itertools import pairwise
from typing import Any

from pipeline.prompts.turns import (
    ANSWERED,
    ASSISTANT,
    PROMPT,
    RESPONSE,
    ROLES,
    SYSTEM,
    USER,
    Fields,
    Turn,
    Unusable,
    read_string,
)
from pipeline.reading.record_file import listed

CONVERSATIONS = ("messages", "conversations", "conversation", "dialogue", "dialog")
SPEAKERS, SAID = ("role", "from", "speaker"), ("content", "value", "text")
# A question and its answer, the first of each that a record has; outside conversations such names
# belong to the tasks.
ASKED = ("instruction", "prompt", "query", "question", "human", "user", "input")
ANSWERS = ("output", "response", "completion", "answer", "assistant")
MORE_TO_READ = ("input", "context")  # stand after the question
SYSTEM_FIELDS = ("system", "system_prompt")
HISTORY = "history"
NO_TURNS = ("tools", "functions", "images", "image", "audios", "audio", "videos", "video")
CALLS = ("tool_calls", "function_call")  # in a message
Stated = list[tuple[str, Any]]


def stated_turns(fields: Fields, *, chat: bool) -> Stated | None:
    """Return who says what in a record, unchecked; None if it states no turns.

    Outside `chat` only what cannot be meant otherwise is taken for turns. Raises Unusable.
    """
    found = _listed_turns(fields)
    if found is None:
        found = _question_and_answer(fields, chat=chat)
    if found is None:
        return None
    for name in NO_TURNS:
        if chat and not _is_nothing(fields.get(name)):
            raise Unusable("unread_field", f"{name!r} holds what no turn can; take it out first")
    said = [turn for turn in found[:1] if turn[0] == SYSTEM]
    system = [*_system(fields, said), *said]
    return [*system, *_history(fields.get(HISTORY)), *found[len(said) :]]


def states_question(fields: Fields) -> bool:
    """Tell whether a record has a question and an answer under any of their usual names."""
    return bool({*ASKED} & fields.keys() and {*ANSWERS} & fields.keys())


def checked_turns(stated: Stated, *, chat: bool) -> tuple[Turn, ...]:
    """Return the turns up to the last answer; raise Unusable if they are no conversation.

    What nobody answers teaches nothing and is left out at the end.
    """
    roles = {PROMPT: USER, RESPONSE: ASSISTANT} if chat else {}
    turns = [Turn(roles.get(role, role), read_string(text, role)) for role, text in stated]
    while turns and turns[-1].role not in ANSWERED:
        turns.pop()
    if not turns:
        raise Unusable("no_answer", f"{len(stated)} turns, wanted one of the assistant's")
    speakers = [turn.role for turn in turns if turn.role != SYSTEM]
    if speakers[0] in ANSWERED or any(a == b for a, b in pairwise(speakers)):
        raise Unusable("turns_out_of_order", f"{speakers}, wanted user and assistant in turn"[:200])
    if any(turn.role == SYSTEM for turn in turns[1:]):
        raise Unusable("turns_out_of_order", "a system turn in the middle, wanted it first")
    return tuple(turns)


def _listed_turns(fields: Fields) -> Stated | None:
    for name in CONVERSATIONS:
        value = _rows(listed(fields.get(name)))
        if isinstance(value, list):
            return [_speaker(item) for item in value]
    return None


def _rows(value: Any) -> Any:
    """Return a list of objects for an object of lists, as some tables hold messages."""
    columns = list(value.values()) if isinstance(value, dict) else []
    sizes = {len(column) if isinstance(column, list) else -1 for column in columns}
    if len(sizes) != 1 or -1 in sizes:
        return value
    return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]


def _speaker(item: Any) -> tuple[str, Any]:
    role = next((name for name in SPEAKERS if isinstance(item, dict) and name in item), None)
    text = next((name for name in SAID if isinstance(item, dict) and name in item), None)
    if role is None or text is None:
        raise Unusable("bad_turn", f"found {item!r:.80}, wanted {{'role': ..., 'content': ...}}")
    if any(not _is_nothing(item.get(name)) for name in CALLS):
        raise Unusable("tool_call", f"found {item!r:.80}, wanted turns of text alone")
    known = ROLES.get(str(item[role]).lower())
    if known is None:
        raise Unusable("unknown_role", f"{item[role]!r:.80}, wanted one of {', '.join(ROLES)}")
    return known, item[text]


def _question_and_answer(fields: Fields, *, chat: bool) -> Stated | None:
    if not chat:
        if PROMPT in fields and RESPONSE in fields:
            return [(PROMPT, fields[PROMPT]), (RESPONSE, fields[RESPONSE])]
        if not {"instruction", "output"} <= fields.keys():
            return None
    return _pair(fields)


def _pair(fields: Fields) -> Stated | None:
    asked = next((name for name in ASKED if name in fields), None)
    answer = next((name for name in ANSWERS if name in fields), None)
    if asked is None or answer is None:
        return None
    more = [
        fields[name] for name in MORE_TO_READ if name != asked and not _is_nothing(fields.get(name))
    ]
    question = [*_side(fields[asked], USER)]
    if more:
        role, text = question[-1]
        texts = [read_string(one, asked) for one in (*([text] if text else []), *more)]
        question[-1] = (role, "\n\n".join(texts).strip())
    return [*question, *_side(fields[answer], ASSISTANT)]


def _side(value: Any, role: str) -> Stated:
    """Return one side's turns; either side may be a list of messages."""
    if isinstance(value, list) and value and all(_has_role(item) for item in value):
        return [_speaker(item) for item in value]
    return [(role, value)]


def _has_role(item: Any) -> bool:
    return isinstance(item, dict) and not {*SPEAKERS}.isdisjoint(item)


def _system(fields: Fields, said: Stated) -> Stated:
    """Return the system's turn that stands in a field of its own, unless it is said as well."""
    given = [fields[name] for name in SYSTEM_FIELDS if not _is_nothing(fields.get(name))]
    own = [text for _, text in said]
    texts = list(dict.fromkeys(read_string(one, SYSTEM) for one in [*given, *own]))
    if len(texts) > 1:
        raise Unusable("two_systems", f"{len(texts)} different system texts, wanted one")
    return [(SYSTEM, text) for text in texts if not own]


def _history(value: Any) -> Stated:
    """Return earlier turns: pairs of question and answer, or messages."""
    earlier = _rows(listed(value))
    if _is_nothing(earlier):
        return []
    if not isinstance(earlier, list):
        raise Unusable("bad_turn", f"'history' is {value!r:.80}, wanted pairs or messages")
    turns: Stated = []
    for item in earlier:
        pair = _pair(item) if isinstance(item, dict) and not _has_role(item) else None
        if isinstance(item, list | tuple) and len(item) == 2:
            pair = [(USER, item[0]), (ASSISTANT, item[1])]
        turns += [_speaker(item)] if pair is None else pair
    return turns


def _is_nothing(value: Any) -> bool:
    """Tell whether a field is there in name only: empty, blank, or an empty list as text."""
    found = listed(value)
    return found is None or found != found or (not found and found != 0) or _is_blank(found)


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()
