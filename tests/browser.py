"""A real browser for tests: headless Chromium, spoken to over its debugging protocol."""

import base64
import itertools
import json
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip
START_SECONDS = 60


def executable() -> str:
    """Return the path of a browser; skip the test where there is none."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip(f"needs a browser: one of {', '.join(NAMES)}")


class Page:
    """One tab: go to an address, look at it, run scripts in it."""

    def __init__(self, address: str):
        self._socket = connect(address, max_size=None, open_timeout=START_SECONDS)
        self._numbers = itertools.count(1)
        self.errors: list[str] = []  # what the page threw or complained of
        self.requests: list[str] = []  # addresses asked for, the page's own among them
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters):
        """Send a command of the protocol and return its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=START_SECONDS))
            self._note(answer)
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _note(self, event: dict) -> None:
        method, told = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.errors.append(details.get("exception", details).get("description", str(details)))
        elif method == "Runtime.consoleAPICalled" and told["type"] == "error":
            self.errors.append(str(told["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")

    def press(self, key: str, **modifiers: bool) -> None:
        """Press a key as a person does: 'Enter', 'Escape', 'ArrowRight', or a letter with alt."""
        flags = {"alt": 1, "ctrl": 2, "meta": 4, "shift": 8}
        code = f"Key{key.upper()}" if len(key) == 1 else key
        held = sum(flags[name] for name, is_held in modifiers.items() if is_held)
        text = {"text": "\r"} if key == "Enter" else {}
        number = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}.get(
            key, ord(key[0])
        )
        common = {"key": key, "code": code, "modifiers": held, "windowsVirtualKeyCode": number}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def write(self, text: str) -> None:
        """Put text where the cursor is, as an input method does."""
        self.call("Input.insertText", text=text)

    def dark(self, is_dark: bool) -> None:
        """Prefer dark pages, or light ones."""
        wish = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[wish])

    def size(self, width: int, height: int = 900) -> None:
        """Make the window this large, in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip

    def open(self, address: str) -> None:
        """Go to an address and wait until its resources are there."""
        self.call("Page.navigate", url=address)
        self.until("document.readyState == 'complete'")

    def run(self, script: str):
        """Return what an expression is, awaited if it is a promise."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                           awaitPromise=True, userGesture=True)  # fmt: skip
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, script: str, seconds: float = 30):
        """Wait until an expression is true and return it."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"{script} never came true: {self.text()[:2000]}"
            time.sleep(0.2)
        return value

    def type(self, selector: str, text: str) -> None:
        """Type a text into a field, as soon as it is there."""
        field = f"document.querySelector({json.dumps(selector)})"
        self.until(f"!!{field}")
        self.run(f"{field}.focus()")
        self.call("Input.insertText", text=text)

    def press_enter(self) -> None:
        """Press the key that sends a form."""
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        self.call("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        self.call("Input.dispatchKeyEvent", type="keyUp", **key)

    def click(self, label: str) -> None:
        """Click the button with this label, as soon as it is there."""
        buttons = "[...document.querySelectorAll('button')]"
        button = f"{buttons}.find(b => b.innerText.trim() == {json.dumps(label)})"
        self.until(f"!!{button}")
        self.run(f"{button}.click()")

    def text(self) -> str:
        """Return what a person reads on the page."""
        return self.run("document.body ? document.body.innerText : ''")

    def picture(self, path: Path, whole: bool = True) -> None:
        """Save a picture of the page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def open_browser(folder: Path):
    """Run a browser with a profile of its own in `folder`; yield a page of it."""
    command = [executable(), *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    log = folder / "browser.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline, port = time.monotonic() + START_SECONDS, None
        while port is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            found = re.search(r"listening on ws://127\.0\.0\.1:(\d+)/", log.read_text())
            port = found and found.group(1)
            time.sleep(0.1)
        yield Page(_page_address(int(port)))
    finally:
        process.terminate()
        process.wait(20)


def _page_address(port: int) -> str:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as answer:
        pages = json.load(answer)
    return next(p["webSocketDebuggerUrl"] for p in pages if p["type"] == "page")
