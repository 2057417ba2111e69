"""What is known of a request while it is served and after: for metrics, limits and the log."""

import json
import logging
import sys
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

logger = logging.getLogger(__name__)
RECORD = "record"  # where the request's state holds it


class RequestLogging(StrEnum):
    """What is written to the log of each request."""

    NONE = "none"
    REQUESTS = "requests"  # when, who, what, how long; no texts
    TEXTS = "texts"  # also what was asked and answered


@dataclass
class RequestRecord:
    """One request; endpoints fill in what they alone know."""

    id: str
    method: str
    path: str  # of the route, not of the address: there are few
    client: str = ""
    key: str = ""  # the key's name
    model: str = ""
    version: str = ""
    status: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    keeps_texts: bool = False  # the log is to have them
    asked: str = ""
    answered: str = ""
    began: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    first_token_seconds: float | None = None

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens

    def saw_token(self) -> None:
        """Note when the first piece of text came."""
        if self.first_token_seconds is None:
            self.first_token_seconds = time.perf_counter() - self.began

    def saw_body(self, body: bytes) -> None:
        """Keep what was asked, if it is to be."""
        if self.keeps_texts:
            self.asked = body.decode("utf-8", "replace")

    def saw_answer(self, text: str) -> None:
        """Keep more of what was answered, if it is to be."""
        if self.keeps_texts:
            self.answered += text

    def line(self, level: RequestLogging) -> str:
        """Return the record as a line of JSON."""
        first = self.first_token_seconds
        values = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "id": self.id,
            "client": self.client,
            "key": self.key,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "model": self.model,
            "version": self.version,
            "seconds": round(self.seconds, 4),
            "first_token_seconds": None if first is None else round(first, 4),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }
        known = {name: value for name, value in values.items() if value not in ("", None)}
        if level is RequestLogging.TEXTS and self.asked:
            known |= {"asked": self.asked, "answered": self.answered}  # an empty answer is one
        return json.dumps(known)


def record_of(scope: Mapping[str, Any]) -> RequestRecord:
    """Return the record of the request that is being served."""
    record = scope["state"][RECORD]
    assert isinstance(record, RequestRecord)
    return record


def keep_record(scope: MutableMapping[str, Any], record: RequestRecord) -> None:
    """Put a record where `record_of` finds it."""
    scope.setdefault("state", {})[RECORD] = record


def show_request_log() -> None:
    """Write the log of requests to stderr, a line of JSON each; for entry points."""
    show_lines(logger)


def show_lines(of: logging.Logger) -> None:
    """Write what a logger is told to stderr, as it is and nowhere else."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    of.handlers = [handler]
    of.propagate = False
    of.setLevel(logging.INFO)
