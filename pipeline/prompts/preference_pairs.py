"""A record of two answers to one prompt, one of them preferred.

`chosen` and `rejected` are texts, messages, or whole conversations that differ in their last answer
(the forms of TRL, LLaMA-Factory and UltraFeedback); the prompt is what a record of the task `chat`
has before its answer, or what both conversations have in common.
"""

from pipeline.prompts.stated_turns import (
    ANSWER_FIELDS,
    CONVERSATION_FIELDS,
    Stated,
    answer_turns,
    checked_turns,
    stated_turns,
)
from pipeline.prompts.turns import ASSISTANT, Fields, Turn, Unusable, field_names, read_string
from pipeline.reading.cells import listed

CHOSEN_FIELDS = ("chosen", "chosen_response", "response_chosen")
REJECTED_FIELDS = ("rejected", "rejected_response", "response_rejected")


def states_preference(fields: Fields) -> bool:
    """Tell whether a record has a chosen and a rejected answer."""
    return all(_name_in(fields, names) is not None for names in (CHOSEN_FIELDS, REJECTED_FIELDS))


def preference_pair(fields: Fields) -> tuple[tuple[Turn, ...], str]:
    """Return the conversation that ends with the chosen answer, and the rejected answer.

    Raises Unusable, also for two answers that are the same or follow different prompts.
    """
    before, chosen = _side(fields, CHOSEN_FIELDS)
    other, rejected = _side(fields, REJECTED_FIELDS)
    if chosen.strip() == rejected.strip():
        raise Unusable("same_answers", f"chosen and rejected are both {chosen!r:.80}")
    if before and other and before != other:
        raise Unusable(
            "different_prompts", "what stands before chosen and rejected is not the same"
        )
    stated = _prompt(fields, chosen) or [*(before or other), (ASSISTANT, chosen)]
    if len(stated) == 1:
        raise Unusable("no_prompt", f"fields {field_names(fields)}, wanted messages or a prompt")
    return checked_turns(stated, chat=True), rejected


def _name_in(fields: Fields, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if fields.get(name) is not None), None)


def _side(fields: Fields, names: tuple[str, ...]) -> tuple[Stated, str]:
    """Return the turns stated before an answer, and the answer."""
    name = _name_in(fields, names)
    if name is None:
        wanted = " or ".join(map(repr, names))
        raise Unusable("no_field", f"fields {field_names(fields)}, wanted {wanted}")
    turns = answer_turns(fields[name])
    if turns is None:
        return [], read_string(fields[name], name)
    if turns[-1][0] != ASSISTANT:
        raise Unusable("no_answer", f"{name!r} ends with a turn of {turns[-1][0]!r}")
    return turns[:-1], read_string(turns[-1][1], name)


def _prompt(fields: Fields, chosen: str) -> Stated | None:
    """Return the turns of a prompt of its own, with the chosen answer after them."""
    aside = {*CHOSEN_FIELDS, *REJECTED_FIELDS, *ANSWER_FIELDS}
    asked = {name: value for name, value in fields.items() if name not in aside}
    if any(isinstance(listed(asked.get(name)), dict | list) for name in CONVERSATION_FIELDS):
        turns = stated_turns(asked, chat=True) or []
        answered = bool(turns) and turns[-1][0] == ASSISTANT  # the record says the answer twice
        return [*(turns[:-1] if answered else turns), (ASSISTANT, chosen)]
    return stated_turns({**asked, ANSWER_FIELDS[0]: chosen}, chat=True)
