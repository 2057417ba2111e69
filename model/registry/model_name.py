"""What a registered model may be called: MLflow's rules and ours, in one place."""

import unicodedata

from pipeline.errors import ConfigError

CHARACTERS_MAX = 200  # MLflow keeps 256
PUNCTUATION = "_-. "  # '/', '@' and ':' are part of an address, models:/NAME@ALIAS


def check_model_name(name: str, key: str = "model name") -> None:
    """Raise ConfigError, naming `key`, unless the registry takes this name."""
    reason = _refusal(name)
    if reason is None:
        return
    suggested = model_name_of(name)[:40]
    example = f"{key}='{suggested}'" if " " in suggested else f"{key}={suggested}"
    if key.startswith("-"):
        example = example.replace("=", " ", 1)
    elif "." in key:
        example = f"--set {example}"
    raise ConfigError(
        f"{key}: {name[:CHARACTERS_MAX]!r} {reason}; use letters and digits of any script, "
        f"'-', '_', '.' and spaces, as in {example}"
    )


def _refusal(name: str) -> str | None:
    if not name.strip():
        return "is no name"
    wrong = sorted({character for character in name if not _allowed(character)})
    if wrong:
        return f"cannot name a model: it has {', '.join(map(repr, wrong[:8]))}"
    if name.strip() != name:
        return "begins or ends with a space"
    if name == "." or name.startswith(".."):
        return "is taken for a path by the registry"
    if len(name) > CHARACTERS_MAX:
        return f"has {len(name)} characters, at most {CHARACTERS_MAX} fit"
    return None


def _allowed(character: str) -> bool:
    # Marks too: vowels of Hindi, Thai or Arabic are no letters of their own.
    return character in PUNCTUATION or unicodedata.category(character)[0] in "LMN"


def model_name_of(text: str) -> str:
    """Return a name that the registry takes, as near to `text` as possible: 'a/b' gives 'a-b'."""
    text = unicodedata.normalize("NFC", text)
    kept = "".join(character if _allowed(character) else "-" for character in text)
    while "--" in kept:
        kept = kept.replace("--", "-")
    return kept[:CHARACTERS_MAX].strip("-. ") or "textmill"
