"""Files behind http and https, read as they arrive: nothing is stored, memory holds one chunk.

A broken connection goes on with a Range request where it ended (RFC 9110, section 14). Every answer
is compared with what the file was when it was listed, by size and by its ETag or date, so that a
file replaced half-way stops the run and never becomes a mixture of two.

Written by hand because fsspec's HTTP file system (2026.9) keeps none of these promises. In a trial
against a local server it gave one file of two halves when the file was replaced between two ranges,
refused to go back in a file of a server without ranges, followed a redirect to a private machine,
and put a login and a signature into the message of its error.
"""

import email.message
import http.client
import io
import logging
import re
import socket
import ssl
import time
import urllib.error
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import unquote, urlsplit

from pipeline.errors import SourceError
from pipeline.reading.addresses import WEB, without_secrets
from pipeline.reading.web import open_url, request

TIMEOUT_SECONDS = 60.0
TRIES = 6  # without a byte gained between them
HOPELESS_TRIES = 2  # where nobody listens or no such name exists
FIRST_WAIT_SECONDS = 0.5  # doubled after each try
BUFFER_BYTES = 256 << 10
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)$")
# Answers that say "not now"; any other refusal is final.
PASSING = (408, 425, 429, 500, 502, 503, 504)
_log = logging.getLogger(__name__)


def is_remote(path: str) -> bool:
    """Tell whether a source's path is an address."""
    return path.lower().startswith(WEB)


@dataclass(frozen=True, repr=False)
class RemoteFile:
    """A file at an address, as it was when it was listed; opened like a path."""

    url: str
    size: int  # bytes
    version: str  # its ETag, else its date, else ''

    @property
    def name(self) -> str:
        """Last part of the address' path."""
        return unquote(PurePosixPath(urlsplit(self.url).path).name)

    @property
    def suffix(self) -> str:
        """Suffix of the name."""
        return PurePosixPath(self.name).suffix

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Return its bytes; seeking costs a request. Raises SourceError where it cannot be had."""
        if mode != "rb":
            raise ValueError(f"{self} is opened with {mode!r}; addresses are read as 'rb'")
        return io.BufferedReader(_Reader(self), BUFFER_BYTES)

    def __str__(self) -> str:
        return without_secrets(self.url)

    def __repr__(self) -> str:
        return f"RemoteFile({str(self)!r}, {self.size}, {self.version!r})"


def byte_size(place: Path | RemoteFile) -> int:
    """Return the size of a file here or elsewhere."""
    return place.size if isinstance(place, RemoteFile) else place.stat().st_size


def look_up(url: str) -> RemoteFile:
    """Ask for a file's size and version. Raises SourceError if it is not there or says no size."""
    headers = _answer_headers(url)
    length = headers.get("Content-Length", "")
    if not length.isascii() or not length.isdigit():
        raise SourceError(
            f"{without_secrets(url)}: the server does not say how many bytes it has "
            f"(Content-Length {length!r}); download the file and name it as a source"
        )
    return RemoteFile(url, int(length), _version(headers))


def _answer_headers(url: str) -> email.message.Message:
    """Return the headers for the whole file, by HEAD or, where that is refused, by GET."""
    name = without_secrets(url)
    for number in range(1, TRIES + 1):
        hopeless = False
        for method in ("HEAD", "GET"):
            try:
                with open_url(request(url, method), TIMEOUT_SECONDS) as answer:
                    return answer.headers
            except urllib.error.HTTPError as error:
                error.close()
                problem = f"{error.code} {error.reason}"
                if error.code not in (403, 405, 501):
                    break
            except (OSError, http.client.HTTPException, ValueError) as error:
                problem, hopeless = _said(error), _is_hopeless(error)
                break
        if problem[:3].isdigit() and int(problem[:3]) not in PASSING:
            raise SourceError(f"{name}: the server answers {problem}; check the address")
        if hopeless and number >= HOPELESS_TRIES:
            raise SourceError(f"{name}: {problem}, {number} times; check the address")
        _wait(name, problem, number)
    raise SourceError(f"{name}: {problem}, {TRIES} times; check the network and run again")


def _version(headers: email.message.Message) -> str:
    return headers.get("ETag") or headers.get("Last-Modified") or ""


def _wait(name: str, problem: str, number: int) -> None:
    """Say what went wrong and wait before the next try; the last one has none."""
    if number == TRIES:
        return
    seconds = FIRST_WAIT_SECONDS * 2 ** (number - 1)
    _log.warning("%s: %s; try %d of %d in %.1f s", name, problem, number + 1, TRIES, seconds)
    time.sleep(seconds)


def _said(error: BaseException) -> str:
    reason = getattr(error, "reason", error)
    return without_secrets(f"{type(reason).__name__}: {reason}")


def _is_hopeless(error: BaseException) -> bool:
    """Tell whether the same will happen again: nobody listens there, no such name, bad address."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, socket.gaierror):
        return reason.errno != socket.EAI_AGAIN
    kinds = (
        ConnectionRefusedError,
        ssl.SSLCertVerificationError,
        http.client.InvalidURL,
        ValueError,
    )
    return isinstance(reason, kinds)


class _Reader(io.RawIOBase):
    """Bytes of a remote file from where `seek` put it; requests again where a connection ends."""

    def __init__(self, file: RemoteFile):
        self._file = file
        self._at = 0
        self._answer: http.client.HTTPResponse | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another byte; the next read asks for it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        if start + offset != self._at:
            self._hang_up()
            self._at = start + offset
        return self._at

    def close(self) -> None:
        """Hang up."""
        self._hang_up()
        super().close()

    def readinto(self, buffer) -> int:
        """Fill the buffer with what comes next; 0 at the end of the file."""
        wanted = min(len(buffer), self._file.size - self._at)
        if wanted <= 0:
            return 0
        problem = ""
        for number in range(1, TRIES + 1):
            try:
                self._answer = self._answer or self._ask()
                if got := self._answer.readinto(memoryview(buffer)[:wanted]):
                    self._at += got
                    return got
                problem = "the connection ended early"
            except urllib.error.HTTPError as error:
                error.close()
                problem = f"the server answers {error.code} {error.reason}"
                if error.code not in PASSING:
                    raise SourceError(self._stopped(problem)) from error
            except (OSError, http.client.HTTPException) as error:
                problem = _said(error)
            self._hang_up()
            _wait(str(self._file), problem, number)
        raise SourceError(self._stopped(f"{problem}, {TRIES} times"))

    def _ask(self) -> http.client.HTTPResponse:
        headers = {"Range": f"bytes={self._at}-"} if self._at else {}
        answer = open_url(request(self._file.url, headers=headers), TIMEOUT_SECONDS)
        whole = CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
        starts = int(whole[1]) if whole and answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        size = int(whole[3]) if whole else int(answer.headers.get("Content-Length", -1))
        if (size, _version(answer.headers)) != (self._file.size, self._file.version):
            answer.close()
            raise SourceError(
                f"{self._file}: changed while it was read ({self._file.size} bytes, version "
                f"{self._file.version!r} when listed, now {size}, {_version(answer.headers)!r}); "
                f"run again"
            )
        if starts != self._at and not _skip(answer, self._at - starts):
            raise OSError("the connection ended before the place to go on from")
        return answer

    def _stopped(self, problem: str) -> str:
        return (
            f"{self._file}: stopped at byte {self._at} of {self._file.size}: {problem}; "
            f"run the same command again, what is finished stays"
        )

    def _hang_up(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None


def _skip(answer: http.client.HTTPResponse, count: int) -> bool:
    """Read past `count` bytes, for a server that answers a Range request with the whole file."""
    while count > 0 and (chunk := answer.read(min(count, BUFFER_BYTES))):
        count -= len(chunk)
    return count == 0
