"""The words of a report in a language; names of stages, rules and figures stay as they are."""

import functools
import tomllib
from pathlib import Path

from flows.setting_types import REPORT_LANGUAGES
from pipeline.errors import ConfigError

FOLDER = Path(__file__).parent.with_name("words")  # en.toml, zh.toml


class ReportWords:
    """The words of one language; `words("documents")`, with what stands in braces as names."""

    def __init__(self, language: str):
        if language not in REPORT_LANGUAGES:
            raise ConfigError(
                f"--language {language!r}: wanted one of {', '.join(REPORT_LANGUAGES)}"
            )
        self.language = language
        self._words, self._reasons = _read(language)

    def __call__(self, key: str, **values: object) -> str:
        """Return the words under a key; raises KeyError for one that is not there."""
        text = self._words[key]
        return text.format(**values) if values else text

    def known(self, key: str, otherwise: str) -> str:
        """Return the words under a key, or `otherwise` where there are none."""
        return self._words.get(key, otherwise)

    def reason(self, text: str) -> str:
        """Return the reason or advice of a gate in this language; one of a recipe stays as is."""
        return self._reasons.get(text, text)


@functools.cache
def _read(language: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the words by key, and the gates' reasons by their English."""
    table = tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
    return table["words"], table.get("reasons", {})
