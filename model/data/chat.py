"""Turns to token ids: which are shown, which are to be answered.

With the symbols of `ROLE_SYMBOLS` in the vocabulary a conversation is `<|bos|>`, then each turn
after its role's symbol, an answer closed by `<|eos|>`. Without them roles are spelled out
(`ROLE_WORDS`), and a text that spells one itself is refused. A prompt and its response outside a
conversation are `<|bos|>` prompt response `<|eos|>`, so that plain completion asks the same way.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.prompts.turns import (
    ANSWERED,
    ASSISTANT,
    PROMPT,
    RESPONSE,
    ROLE_SYMBOLS,
    SYSTEM,
    USER,
    Turn,
)
from pipeline.tokenizer import CONTROLS, Tokenizer

ROLE_WORDS = {SYSTEM: "System: ", USER: "User: ", ASSISTANT: "Assistant: "}
BETWEEN = "\n\n"  # after a turn that is not answered by the model, where roles are words
TOO_LONG, FORGED = "too_long", "spells_a_role"
CHAT_TEMPLATE = """
{%- set symbols = ROLES -%}
{{- bos_token -}}
{%- for message in messages -%}
{%- set role = 'system' if message['role'] == 'developer' else message['role'] -%}
{%- if role not in symbols -%}
{{- raise_exception('role ' ~ role ~ ': wanted system, user or assistant') -}}
{%- endif -%}
{%- for name in NAMES if name in message['content'] -%}
{{- raise_exception('a message spells ' ~ name ~ '; leave it out') -}}
{%- endfor -%}
{{- symbols[role] ~ message['content'] -}}
{%- if role == 'assistant' -%}{{- eos_token -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- symbols['assistant'] -}}{%- endif -%}
""".strip()
CUTS = 12  # tries to shorten a prompt: each takes off at least what is over, so a few suffice


@dataclass(frozen=True)
class EncodedExample:
    """An example as ids (T,), True where they are to be predicted; `answer` begins the last run.

    `truncated` tells that the prompt was shortened to fit.
    """

    ids: np.ndarray
    loss_mask: np.ndarray
    answer: int
    truncated: bool = False


FitsContext = Callable[[int, int], bool]  # (tokens, tokens before the last answer) -> they fit


def encode_example(
    turns: Sequence[Turn],
    truncatable: tuple[int, int] | None,
    tokenizer: Tokenizer,
    fits_context: FitsContext,
) -> EncodedExample | str:
    """Return the example's ids, shortened if it must be, or the name of why it cannot be used.

    A prompt is cut at the end of its `truncatable` characters; of a conversation the oldest
    questions go with their answers.
    """
    if spells_a_role(turns, tokenizer):
        return FORGED
    encoded = encode_turns(turns, tokenizer)
    if fits_context(len(encoded.ids), encoded.answer):
        return encoded
    shorter = _without_oldest if truncatable is None else _with_shorter_prompt
    shortened = shorter(turns, truncatable or (0, 0), tokenizer, fits_context)
    return TOO_LONG if shortened is None else replace(shortened, truncated=True)


def encode_turns(turns: Sequence[Turn], tokenizer: Tokenizer) -> EncodedExample:
    """Return the ids of turns, however many; the last one is an answer."""
    ids, loss_mask, answer = [tokenizer.bos_id], [False], 1
    shown: list[Turn] = []
    for turn in turns:
        if turn.role not in ANSWERED:
            shown.append(turn)
            continue
        ids += _shown_ids(shown, turn.role, tokenizer)
        answer, shown = len(ids), []
        loss_mask += [False] * (answer - len(loss_mask))
        ids += [*tokenizer.encode(turn.text), tokenizer.eos_id]
        loss_mask += [True] * (len(ids) - answer)
    return EncodedExample(np.array(ids, np.int64), np.array(loss_mask, bool), answer)


def encode_prompt(turns: Sequence[Turn], tokenizer: Tokenizer) -> list[int]:
    """Return the ids after which the next answer of a conversation, or a response, is written."""
    role = RESPONSE if turns[-1].role == PROMPT else ASSISTANT
    encoded = encode_turns([*turns, Turn(role, "")], tokenizer)
    return encoded.ids[: encoded.answer].tolist()


def role_ids(tokenizer: Tokenizer) -> dict[str, int] | None:
    """Return the ids of the role symbols, None unless the vocabulary has all of them."""
    ids = {role: tokenizer.symbol_id(name) for role, name in ROLE_SYMBOLS.items()}
    present = {role: token_id for role, token_id in ids.items() if token_id is not None}
    return present if len(present) == len(ids) else None


def chat_template(tokenizer: Tokenizer) -> str | None:
    """Return how transformers writes a conversation (Jinja), so that its ids are `encode_turns`'s.

    None where roles are words: those are encoded with the text beside them, in pieces of turns. A
    message that spells a control is refused: in a whole text nothing tells it from one.
    """
    if role_ids(tokenizer) is None:
        return None
    names = json.dumps([*CONTROLS, *ROLE_SYMBOLS.values()])
    return CHAT_TEMPLATE.replace("NAMES", names).replace("ROLES", json.dumps(ROLE_SYMBOLS))


def spells_a_role(turns: Sequence[Turn], tokenizer: Tokenizer) -> bool:
    """Tell whether a turn's text would be read as the beginning of another turn."""
    texts = [turn.text for turn in turns if turn.role not in (PROMPT, RESPONSE)]
    symbols = role_ids(tokenizer)
    if symbols is None:
        return any(BETWEEN + word in text for text in texts for word in ROLE_WORDS.values())
    suspects = [text for text in texts if any(name in text for name in ROLE_SYMBOLS.values())]
    return any(not set(symbols.values()).isdisjoint(tokenizer.encode(t)) for t in suspects)


def _shown_ids(shown: Sequence[Turn], role: str, tokenizer: Tokenizer) -> list[int]:
    """Return the ids of turns that are shown, and of what announces an answer of `role`."""
    symbols = role_ids(tokenizer)
    if role == RESPONSE:
        return tokenizer.encode("".join(turn.text for turn in shown))
    if symbols is None:
        text = "".join(ROLE_WORDS[turn.role] + turn.text + BETWEEN for turn in shown)
        return tokenizer.encode(text + ROLE_WORDS[role])
    turn_ids = [[symbols[turn.role], *tokenizer.encode(turn.text)] for turn in shown]
    return [*(token for ids in turn_ids for token in ids), symbols[role]]


def _without_oldest(
    turns: Sequence[Turn], _: tuple[int, int], tokenizer: Tokenizer, fits_context: FitsContext
) -> EncodedExample | None:
    first = [turn for turn in turns[:1] if turn.role == SYSTEM]
    rest = turns[len(first) :]
    for begin, turn in enumerate(rest[:-1]):
        if begin and turn.role == USER:  # a question, with what has been said since
            encoded = encode_turns([*first, *rest[begin:]], tokenizer)
            if fits_context(len(encoded.ids), encoded.answer):
                return encoded
    return None


def _with_shorter_prompt(
    turns: Sequence[Turn],
    truncatable: tuple[int, int],
    tokenizer: Tokenizer,
    fits_context: FitsContext,
) -> EncodedExample | None:
    """Keep as much of the truncatable characters as fits, by halving what is uncertain."""
    prompt, (begin, end) = turns[0], truncatable
    best, least, most = None, 0, end - begin
    for _ in range(CUTS):
        kept = (least + most) // 2
        text = prompt.text[: begin + kept] + prompt.text[end:]
        encoded = encode_turns([Turn(prompt.role, text), *turns[1:]], tokenizer)
        if fits_context(len(encoded.ids), encoded.answer):
            best, least = encoded, kept
        else:
            most = kept
        if most - least <= 1:
            break
    return best
