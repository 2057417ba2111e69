"""How a record of a task becomes turns: what the model is shown, and what it is to answer.

`TASKS` at the foot is the one table of words: `examples` teaches in them, `generate --task` and
`evaluate --tasks` ask in them. A record of any task may state its turns itself (see
`pipeline.prompts.stated_turns`): `messages`, `conversations`, or `instruction` and `output`, all
written in the tokenizer's chat form; or `prompt` and `response`, which outside the task `chat`
stand one after the other as they are. To add a task: a line in TASKS, with a template in both
languages.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.prompts.preference_pairs import preference_pair, states_preference
from pipeline.prompts.stated_turns import (
    CONVERSATION_FIELDS,
    HISTORY,
    SYSTEM_FIELDS,
    checked_turns,
    stated_turns,
    states_question,
)
from pipeline.prompts.turns import (
    PROMPT,
    RESPONSE,
    SYSTEM,
    USER,
    Fields,
    Turn,
    Unusable,
    field_names,
    read_string,
)
from pipeline.reading.cells import listed

CHAT = "chat"  # the task whose records are conversations
PREFERENCE = "preference"  # whose records are conversations with two last answers
# One ideograph in ten characters is Chinese prose with names and code in it; English has none.
IDEOGRAPH_SHARE = 0.1
SENTIMENT_LABELS = ("pos", "neg", "neu", "positive", "negative", "neutral")
# Fields by which a task is known, the most telling first.
MARKS = (
    ("qa", {"question", "answers"}),
    ("qa", {"question", "context", "answer"}),
    ("qa", {"question", "text", "answer"}),
    ("summarisation", {"summary"}),
    ("translation", {"en", "zh"}),
    ("code", {"prompt", "canonical_solution"}),
    ("classification", {"text", "label"}),
)


@dataclass(frozen=True)
class Example:
    """Turns that end with an answer, and all answers that count as right.

    `soft` are the characters of the first turn that may be shortened, from their end, where a
    model's context is too small; `about` is the input by which an example is known. `rejected` is
    an answer worse than that of the turns.
    """

    turns: tuple[Turn, ...]
    references: tuple[str, ...]
    about: str
    soft: tuple[int, int] | None = None
    rejected: str | None = None


@dataclass(frozen=True)
class Template:
    """Words before and after the input, by language; `{question}` stands for that field."""

    input: tuple[str, ...]  # fields to look in, the first one present counts
    output: tuple[str, ...]
    words: Mapping[str, tuple[str, str]]
    output_decides: bool = False  # the language of the words is that of the answer

    @property
    def asks(self) -> bool:
        """Tell whether a question stands beside the input."""
        return "{question}" in self.words["en"][1]


def read_example(fields: Fields, task: str, given: tuple[str | None, str | None]) -> Example:
    """Return the example in a record; `given` names its input and output fields, else the usual.

    Raises Unusable with the reason.
    """
    if task == PREFERENCE or (task == CHAT and states_preference(fields)):
        turns, rejected = preference_pair(fields)
        return _answered(turns, rejected if task == PREFERENCE else None)
    stated = stated_turns(fields, chat=task == CHAT)
    if stated is not None:
        return _answered(checked_turns(stated, chat=task == CHAT))
    template = TASKS[task]
    if template is None:
        wanted = "messages, or a question and its answer (instruction and output, prompt and ...)"
        raise Unusable("no_turns", f"fields {field_names(fields)}, wanted {wanted}")
    for name in (HISTORY, *SYSTEM_FIELDS):
        if listed(fields.get(name)):
            raise Unusable("unread_field", f"{name!r} is not read by the task {task}; use chat")
    return _fill(template, fields, given)


def _fill(template: Template, fields: Fields, given: tuple[str | None, str | None]) -> Example:
    text = _text(fields, (given[0],) if given[0] else template.input)
    answers = _answers(fields, (given[1],) if given[1] else template.output)
    language = language_of(answers[0] if template.output_decides else text)
    question = _text(fields, ("question",)) if template.asks else ""
    before, after = _words(template, language, question)
    turns = (Turn(PROMPT, before + text + after), Turn(RESPONSE, answers[0]))
    return Example(turns, answers, text, (len(before), len(before) + len(text)))


def asked_turn(task: str, text: str, question: str | None = None) -> Turn:
    """Return what a model taught `task` is shown of a text: the turn that its answer follows.

    Raises ConfigError for an unknown task, and where `question` is missing or out of place.
    """
    check_task(task)
    template = TASKS[task]
    if (template is not None and template.asks) is not (question is not None):
        wanted = "one about the text, with --question" if question is None else "none, only qa has"
        raise ConfigError(f"task {task!r}: question {question!r}, wanted {wanted}")
    if template is None:
        return Turn(USER, text)
    language = language_of(text)
    if template.output_decides:  # a text is translated into the other language
        language = {"zh": "en", "en": "zh"}[language]
    before, after = _words(template, language, question or "")
    return Turn(PROMPT, before + text + after)


def _words(template: Template, language: str, question: str) -> tuple[str, str]:
    """Return what stands before and after the input."""
    before, after = template.words[language]
    return before, after.replace("{question}", question)


def language_of(text: str) -> str:
    """Return 'zh' for text with ideographs to speak of, else 'en': enough to choose a template."""
    ideographs = sum("\u4e00" <= character <= "\u9fff" for character in text[:1000])
    return "zh" if ideographs > IDEOGRAPH_SHARE * min(len(text), 1000) else "en"


def _answered(turns: tuple[Turn, ...], rejected: str | None = None) -> Example:
    about = next(turn.text for turn in turns if turn.role != SYSTEM)
    return Example(turns, (turns[-1].text,), about, rejected=rejected)


def _text(fields: Fields, names: tuple[str, ...]) -> str:
    for name in names:
        if name in fields:
            return read_string(fields[name], name)
    wanted = " or ".join(map(repr, names))
    raise Unusable("no_field", f"fields {field_names(fields)}, wanted {wanted}")


def _answers(fields: Fields, names: tuple[str, ...]) -> tuple[str, ...]:
    name = next((name for name in names if name in fields), names[0])
    value = listed(fields.get(name)) if name == "answers" else fields.get(name)
    if isinstance(value, bool | int):
        return (str(value),)  # class numbers
    if isinstance(value, dict):  # SQuAD's answers, beside the places where they begin
        value = value.get("text")
    if isinstance(value, list) and value:
        return tuple(dict.fromkeys(read_string(item, name) for item in value))
    return (_text(fields, names),)


def task_of(fields: Fields) -> str | None:
    """Return the task that a record's fields speak of, None if they speak of none."""
    if states_preference(fields):
        return PREFERENCE
    if not {*CONVERSATION_FIELDS, "instruction", "response"}.isdisjoint(fields):
        return CHAT
    if str(fields.get("label")).lower() in SENTIMENT_LABELS:
        return "sentiment"
    for task, needed in MARKS:
        if needed <= fields.keys():
            return task
    return CHAT if states_question(fields) else None


def check_task(task: str) -> None:
    """Raise ConfigError for a task that is not in the table."""
    if task not in TASKS:
        raise ConfigError(f"examples.task: {task!r}, wanted one of {', '.join(TASKS)}")


_LABELLED = {"zh": ("文本：", "\n类别："), "en": ("Text: ", "\nCategory: ")}
TASKS: dict[str, Template | None] = {
    CHAT: None,
    PREFERENCE: None,
    "classification": Template(("text",), ("label",), _LABELLED),
    "sentiment": Template(
        ("text",), ("label",), {"zh": ("评论：", "\n情感："), "en": ("Review: ", "\nSentiment: ")}
    ),
    "summarisation": Template(
        ("text", "document"), ("summary",), {"zh": ("", "\n摘要："), "en": ("", "\nSummary: ")}
    ),
    "translation": Template(
        ("en", "source_text"),  # `source` is the name of a collection
        ("zh", "target_text"),
        {"zh": ("", "\n中文："), "en": ("", "\nEnglish: ")},
        output_decides=True,
    ),
    "qa": Template(
        ("context", "text"),
        ("answers", "answer"),
        {"zh": ("", "\n问题：{question}\n答案："), "en": ("", "\nQuestion: {question}\nAnswer: ")},
    ),
    "arithmetic": Template(("question",), ("answer",), {"zh": ("", " = "), "en": ("", " = ")}),
    "code": Template(
        ("prompt",),
        ("canonical_solution", "completion", "code"),
        {"zh": ("", ""), "en": ("", "")},
    ),
}
