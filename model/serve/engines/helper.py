"""The process with llama.cpp: started, watched, started again when it ends, ended with us."""

import asyncio
import json
import logging
import secrets
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from model.serve.engines.interface import EngineFailed
from model.serve.engines.llama_process import READY
from pipeline.engine.process import child_environment

logger = logging.getLogger(__name__)

START_SECONDS = 120.0  # large models take long to read; a process that hangs is not waited for
RESTARTS_WAITED = 3  # failures in a row; from then on texts are refused until one succeeds
RESTART_PAUSE_SECONDS_MAX = 30.0  # between two tries
SOCKET = "engine.sock"
ERRORS = "errors.txt"
SHOWN = 2000  # bytes of what it last wrote to its standard error


@dataclass(frozen=True)
class HelperSettings:
    """What the process is to serve."""

    model: Path  # GGUF
    context: int
    slots: int
    threads: int


class LlamaHelper:
    """Keeps one process that answers on a socket file; `ready` is set while it does."""

    def __init__(self, settings: HelperSettings):
        self._settings = settings
        self.folder: Path | None = None
        self.key = secrets.token_urlsafe(32)
        self.ready = asyncio.Event()
        self.failed: EngineFailed | None = None  # why texts do not wait for it
        self.process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._in_folder(SOCKET)

    async def start(self) -> None:
        """Start it and wait until it answers; raises EngineFailed with its last words."""
        self.folder = Path(tempfile.mkdtemp(prefix="textmill-engine-"))  # only we may enter it
        try:
            await self._launch()
        except EngineFailed:
            self._remove_folder()
            raise
        self._watch = asyncio.create_task(self._keep())

    async def answering(self) -> None:
        """Wait until it answers; raises EngineFailed if starting it again fails and fails."""
        while not self.ready.is_set():
            if self._watch is None or self._closed:
                raise EngineFailed("llama.cpp is not running")
            if self.failed is not None:
                raise self.failed
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """End the process and remove what it left."""
        self._closed = True
        self.ready.clear()
        if self._watch is not None:
            self._watch.cancel()
        await self._end_process()
        self._remove_folder()

    async def _launch(self) -> None:
        self.socket.unlink(missing_ok=True)  # a dead process leaves it, and a new one refuses it
        with self._in_folder(ERRORS).open("wb") as errors:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "model.serve.engines.llama_process",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=child_environment(),
                start_new_session=True,  # Ctrl-C is for us: the texts it writes end in order
            )
        given = {
            "model": str(self._settings.model),
            "context": self._settings.context,
            "slots": self._settings.slots,
            "threads": self._settings.threads,
            "socket": str(self.socket),
            "key": self.key,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = b""
        try:
            self.process.stdin.write(json.dumps(given).encode() + b"\n")
            async with asyncio.timeout(START_SECONDS):
                while line.strip() != READY.encode():
                    line = await self.process.stdout.readline()
                    if not line:
                        break
        except (TimeoutError, OSError):
            line = b""
        if not line:
            await self._end_process()
            raise EngineFailed(f"llama.cpp did not start: {self._last_words()}")
        self.ready.set()

    async def _keep(self) -> None:
        """Start it again whenever it ends by itself, as often as it takes."""
        while not self._closed:
            assert self.process is not None
            code = await self.process.wait()
            self.ready.clear()
            logger.error("llama.cpp ended with %s and is started again", _words_of(code))
            failures = 0
            while not self.ready.is_set():
                try:
                    await self._launch()
                    self.failed = None
                except EngineFailed as error:
                    failures += 1
                    logger.warning("%s", error)
                    if failures >= RESTARTS_WAITED:
                        self.failed = error
                    await asyncio.sleep(min(failures, RESTART_PAUSE_SECONDS_MAX))

    async def _end_process(self) -> None:
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.kill()  # it keeps nothing that an orderly end would save
        await process.wait()

    def _last_words(self) -> str:
        code = self.process.returncode if self.process else None
        try:
            written = self._in_folder(ERRORS).read_bytes()[-SHOWN:].decode("utf-8", "replace")
        except OSError:
            written = ""
        last = [line for line in written.splitlines() if line.strip()][-1:]
        return " ".join([_words_of(code), *last])

    def _in_folder(self, name: str) -> Path:
        if self.folder is None:
            raise EngineFailed("llama.cpp is not running")
        return self.folder / name

    def _remove_folder(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _words_of(code: int | None) -> str:
    """Return how a process ended."""
    if code is None:
        return "no answer"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
