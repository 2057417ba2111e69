"""Logs as lines of JSON on stderr: one event a line, with what was at work."""

import io
import json
import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType

from pipeline.observing import in_workers, now_at_work
from pipeline.reading.addresses import without_secrets

OURS = ("pipeline", "model", "expectations", "flows")


class JsonLines(logging.Formatter):
    """Writes a record as an object: time, level, logger, event, run, stage, part, error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        event = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": without_secrets(record.getMessage()),
            **now_at_work(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            event["error"] = without_secrets("".join(traceback.format_exception(*record.exc_info)))
        return json.dumps(event, ensure_ascii=False)


class EventLines(io.TextIOBase):
    """A stderr whose lines become events: what is printed there stays readable to programs."""

    def __init__(self, tell: Callable[[str], None]):
        self._tell, self._begun = tell, ""

    def write(self, text: str) -> int:
        """Tell every line that is complete."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                self._tell(line.rstrip())
        return len(text)

    def writable(self) -> bool:
        """Tell that it is."""
        return True


def write_json_log(level: int) -> None:
    """Let all that is said on stderr be lines of JSON, by workers too; for entry points.

    Others' loggers are heard from warnings on, ours from `level` on.
    """
    write_here(level)
    in_workers(write_here, level)


def write_here(level: int) -> None:
    """Let all that this process says on stderr be lines of JSON."""
    stream = sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    printed = logging.getLogger("stderr")
    printed.setLevel(logging.INFO)
    sys.stderr = EventLines(printed.info)
    sys.excepthook = _tell_of_end


def _tell_of_end(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    logging.getLogger("python").critical(
        "%s: %s", kind.__name__, error, exc_info=(kind, error, where)
    )
