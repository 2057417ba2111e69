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
from pipeline.reading.cells import listed

CONVERSATION_FIELDS = ("messages", "conversations", "conversation", "dialogue", "dialog")
ROLE_FIELDS, CONTENT_FIELDS = ("role", "from", "speaker"), ("content", "value", "text")
# A question and its answer, the first of each that a record has; outside conversations such names
# belong to the tasks.
QUESTION_FIELDS = ("instruction", "prompt", "query", "question", "human", "user", "input")
ANSWER_FIELDS = ("output", "response", "completion", "answer", "assistant")
CONTEXT_FIELDS = ("input", "context")  # stand after the question
SYSTEM_FIELDS = ("system", "system_prompt")
HISTORY = "history"
UNREADABLE_FIELDS = ("tools", "functions", "images", "image", "audios", "audio", "videos", "video")
TOOL_CALL_FIELDS = ("tool_calls", "function_call")  # in a message
Stated = list[tuple[str, Any]]


def stated_turns(fields: Fields, *, chat: bool) -> Stated | None:
    """Return who says what in a record, unchecked; None if it states no turns.

    Outside `chat` only what cannot be meant otherwise is taken for turns. Raises Unusable.
    """
    turns = _listed_turns(fields)
    if turns is None:
        turns = _question_and_answer(fields, chat=chat)
    if turns is None:
        return None
    for name in UNREADABLE_FIELDS:
        if chat and not _is_nothing(fields.get(name)):
            raise Unusable("unread_field", f"{name!r} holds what no turn can; take it out first")
    own_system = [turn for turn in turns[:1] if turn[0] == SYSTEM]
    system = [*_system(fields, own_system), *own_system]
    return [*system, *_history(fields.get(HISTORY)), *turns[len(own_system) :]]


def states_question(fields: Fields) -> bool:
    """Tell whether a record has a question and an answer under any of their usual names."""
    return bool({*QUESTION_FIELDS} & fields.keys() and {*ANSWER_FIELDS} & fields.keys())


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
    for name in CONVERSATION_FIELDS:
        value = _rows(listed(fields.get(name)))
        if isinstance(value, list):
            return [_speaker(item) for item in value]
    return None


def answer_turns(value: Any) -> Stated | None:
    """Return the turns of an answer given as a message or several, None of one that is text."""
    messages = listed(value)
    messages = [messages] if _has_role(messages) else _rows(messages)
    if not (isinstance(messages, list) and messages and all(map(_has_role, messages))):
        return None
    return [_speaker(message) for message in messages]


def _rows(value: Any) -> Any:
    """Return a list of objects for an object of lists, as some tables hold messages."""
    columns = list(value.values()) if isinstance(value, dict) else []
    sizes = {len(column) if isinstance(column, list) else -1 for column in columns}
    if len(sizes) != 1 or -1 in sizes:
        return value
    return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]


def _speaker(item: Any) -> tuple[str, Any]:
    role = next((name for name in ROLE_FIELDS if isinstance(item, dict) and name in item), None)
    text = next((name for name in CONTENT_FIELDS if isinstance(item, dict) and name in item), None)
    if role is None or text is None:
        raise Unusable("bad_turn", f"found {item!r:.80}, wanted {{'role': ..., 'content': ...}}")
    if any(not _is_nothing(item.get(name)) for name in TOOL_CALL_FIELDS):
        raise Unusable("tool_call", f"found {item!r:.80}, wanted turns of text alone")
    canonical = ROLES.get(str(item[role]).lower())
    if canonical is None:
        raise Unusable("unknown_role", f"{item[role]!r:.80}, wanted one of {', '.join(ROLES)}")
    return canonical, item[text]


def _question_and_answer(fields: Fields, *, chat: bool) -> Stated | None:
    if not chat:
        if PROMPT in fields and RESPONSE in fields:
            return [(PROMPT, fields[PROMPT]), (RESPONSE, fields[RESPONSE])]
        if not {"instruction", "output"} <= fields.keys():
            return None
    return _pair(fields)


def _pair(fields: Fields) -> Stated | None:
    question = next((name for name in QUESTION_FIELDS if name in fields), None)
    answer = next((name for name in ANSWER_FIELDS if name in fields), None)
    if question is None or answer is None:
        return None
    contexts = [
        fields[name]
        for name in CONTEXT_FIELDS
        if name != question and not _is_nothing(fields.get(name))
    ]
    turns = [*_side(fields[question], USER)]
    if contexts:
        role, text = turns[-1]
        parts = [*([text] if text else []), *contexts]
        joined = "\n\n".join(read_string(part, question) for part in parts)
        turns[-1] = (role, joined.strip())
    return [*turns, *_side(fields[answer], ASSISTANT)]


def _side(value: Any, role: str) -> Stated:
    """Return one side's turns; either side may be a list of messages."""
    if isinstance(value, list) and value and all(_has_role(item) for item in value):
        return [_speaker(item) for item in value]
    return [(role, value)]


def _has_role(item: Any) -> bool:
    return isinstance(item, dict) and not {*ROLE_FIELDS}.isdisjoint(item)


def _system(fields: Fields, turns: Stated) -> Stated:
    """Return the system's turn of a field of its own, unless `turns` have it as well."""
    in_fields = [fields[name] for name in SYSTEM_FIELDS if not _is_nothing(fields.get(name))]
    in_turns = [text for _, text in turns]
    texts = list(dict.fromkeys(read_string(text, SYSTEM) for text in [*in_fields, *in_turns]))
    if len(texts) > 1:
        raise Unusable("two_systems", f"{len(texts)} different system texts, wanted one")
    return [(SYSTEM, text) for text in texts if not in_turns]


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
    value = listed(value)
    return value is None or value != value or (not value and value != 0) or _is_blank(value)


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()
