"""The words of a report in a language; names of stages, rules and figures stay as they are."""

import functools
import re
import tomllib
from pathlib import Path

from flows.setting_types import REPORT_LANGUAGES
from pipeline.errors import ConfigError

SENTENCES = ("because", "state", "taught", "bounds")  # in braces: sentences within a sentence
FOLDER = Path(__file__).parent.with_name("words")  # en.toml, zh.toml


class ReportWords:
    """The words of one language; `words("documents")`, with what stands in braces as names."""

    def __init__(self, language: str):
        if language not in REPORT_LANGUAGES:
            raise ConfigError(
                f"--language {language!r}: wanted one of {', '.join(REPORT_LANGUAGES)}"
            )
        self.language = language
        self._words, self._recorded = _read(language)

    def __call__(self, key: str, **values: object) -> str:
        """Return the words under a key; raises KeyError for one that is not there."""
        text = self._words[key]
        return text.format(**values) if values else text

    def known(self, key: str, otherwise: str) -> str:
        """Return the words under a key, or `otherwise` where there are none."""
        return self._words.get(key, otherwise)

    def recorded(self, text: str) -> str:
        """Return a sentence that a run recorded, in this language; one not known stays as it is."""
        return self._known_sentence(text) or self._joined(text)

    def _known_sentence(self, text: str) -> str | None:
        for pattern, sentence in self._recorded:
            if match := pattern.fullmatch(text):
                parts = match.groupdict()
                told = {k: self.recorded(v) if k in SENTENCES else v for k, v in parts.items()}
                return sentence.format(**told) if parts else sentence
        return None

    def _joined(self, text: str) -> str:
        """Return what gates said in one line, 'name: sentence; name: sentence'."""
        told = []
        for part in text.split("; "):
            known = self._known_sentence(part)
            for colon in re.finditer(": ", part) if known is None else ():  # names may have some
                name, after = part[: colon.start()], self._known_sentence(part[colon.end() :])
                if after:
                    known = f"{self._known_sentence(name) or name}: {after}"
                    break
            if known is None:
                return text
            told.append(known)
        return "；".join(told)


@functools.cache
def _read(language: str) -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    """Return the words by key, and patterns of recorded English sentences with what they say."""
    table = tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
    sentences = table.get("recorded", {}).items()
    return table["words"], [(_pattern(english), own) for english, own in sentences]


def _pattern(sentence: str) -> re.Pattern[str]:
    """Return what matches a sentence with anything for what stands in braces."""
    parts = re.split(r"{(\w+)}", sentence)
    for i, part in enumerate(parts):
        anything = ".+" if part in SENTENCES else "(?:(?!; ).)+?"  # "; " is between sentences
        parts[i] = f"(?P<{part}>{anything})" if i % 2 else re.escape(part)
    return re.compile("".join(parts))
