"""Whether a tokenizer.json has the parts that an import reads, each named where it has not."""

from typing import Any

from pipeline.errors import ArtifactError

WORDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
TOKENS = ("unk_token", "bos_token", "eos_token", "pad_token")
STEPS = ("normalizer", "pre_tokenizer", "decoder")
STEP_KEYS: dict[str, dict[str, type]] = {
    "Prepend": {"prepend": str},
    "Replace": {"pattern": dict, "content": str},
}
SHOWN = 60  # characters of what was found instead


def check_form(content: Any) -> None:
    """Raise ArtifactError with place, found and wanted for the first part that is not usable.

    Models other than BPE and unigram are not looked into.
    """
    model = _part(_as(content, dict, "the file"), "model", dict, "")
    kind = model.get("type")
    if kind == "BPE":
        for name, token_id in _part(model, "vocab", dict, "model.").items():
            _as(token_id, int, f"model.vocab[{name!r}]")
        for i, merge in enumerate(_part(model, "merges", list, "model.")):
            pair = merge.split(" ") if isinstance(merge, str) else merge
            _pair(pair, (str, str), f"model.merges[{i}]", "two pieces")
    elif kind == "Unigram":
        for i, entry in enumerate(_part(model, "vocab", list, "model.")):
            _pair(entry, (str, float), f"model.vocab[{i}]", "a piece and its score")
    for i, token in enumerate(_as(content.get("added_tokens", []), list, "added_tokens")):
        location = f"added_tokens[{i}]"
        for key, wanted in {"id": int, "content": str, "special": bool}.items():
            _part(_as(token, dict, location), key, wanted, f"{location}.")
    for part in STEPS:
        if content.get(part) is not None:
            _check_step(content[part], part)


def check_config(content: Any) -> None:
    """Raise ArtifactError for a tokenizer_config.json whose special tokens are not named."""
    for key, token in _as(content, dict, "the file").items():
        if key in TOKENS and isinstance(token, dict):
            _part(token, "content", str, f"{key}.")
        elif key in TOKENS and token is not None:
            _as(token, str, key)


def _check_step(step: Any, location: str) -> None:
    kind = _part(_as(step, dict, location), "type", str, f"{location}.")
    for key, wanted in STEP_KEYS.get(kind, {}).items():
        _part(step, key, wanted, f"{location}.")
    if kind == "Sequence":
        lists = {key: value for key, value in step.items() if isinstance(value, list)}
        if len(lists) != 1:
            raise ArtifactError(f"{location}: {len(lists)} lists of steps in a Sequence, wanted 1")
        for key, inner in lists.items():
            for i, step_in_sequence in enumerate(inner):
                _check_step(step_in_sequence, f"{location}.{key}[{i}]")


def _part(holder: dict[str, Any], key: str, wanted: type, location: str) -> Any:
    if key not in holder:
        there = ", ".join(map(str, list(holder)[:8])) or "nothing"
        raise ArtifactError(f"{location}{key} is absent, wanted {WORDS[wanted]}; there is {there}")
    return _as(holder[key], wanted, location + key)


def _as(value: Any, wanted: type, location: str) -> Any:
    kinds = (int, float) if wanted is float else wanted
    if not isinstance(value, kinds) or (isinstance(value, bool) and wanted is not bool):
        raise ArtifactError(f"{location} is {_shown(value)}, wanted {WORDS[wanted]}")
    return value


def _pair(value: Any, kinds: tuple[type, type], location: str, wanted: str) -> None:
    if not isinstance(value, list) or len(value) != len(kinds):
        raise ArtifactError(f"{location} is {_shown(value)}, wanted {wanted}")
    for i, kind in enumerate(kinds):
        _as(value[i], kind, f"{location}[{i}]")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
