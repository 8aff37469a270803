"""A real Chromium, driven over its debugging pipe: nothing but the browser itself is needed."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.tools import tool

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One browser with one page, and everything that the page asked the network for."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.requests: list[str] = []
        """Addresses the page asked for since the last `open`, data: addresses left out."""
        self.messages: list[str] = []
        """What the page said on the console or as an error since the last `open`."""
        self._loaded = False
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer of the browser to one command."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(180)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _next(self, seconds: float) -> dict[str, Any]:
        give_up = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            assert time.monotonic() < give_up, "the browser does not answer"
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "the browser is gone"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                address = params["request"]["url"]
                if not address.startswith("data:"):
                    self.requests.append(address)
            case "Runtime.consoleAPICalled":
                self.messages.append(str(params["args"]))
            case "Runtime.exceptionThrown":
                self.messages.append(str(params["exceptionDetails"]))
            case "Log.entryAdded":
                self.messages.append(params["entry"]["text"])
            case "Page.javascriptDialogOpening":
                self.messages.append(f"dialog: {params['message']}")
            case "Page.loadEventFired":
                self._loaded = True

    def open(self, address: str | Path) -> None:
        """Load a page and wait until it has everything."""
        self.requests, self.messages, self._loaded = [], [], False
        url = address.resolve().as_uri() if isinstance(address, Path) else address
        self.send("Page.navigate", url=url)
        while not self._loaded:
            self._next(180)
        self.run("document.fonts.ready.then(() => true)")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, run outside the page's own policy."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, timeout=180_000
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def look(self, width: int, height: int, *, scheme: str = "light", media: str = "") -> None:
        """Set the size of the window, light or dark, screen or print."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", media=media, features=features)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """A picture of the page."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def print(self) -> bytes:
        """The page as a PDF on A4."""
        result = self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(result["data"])


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, gone at the end of the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        in_read, in_write = _pipe()
        out_read, out_write = _pipe()
        program = tool("chromium")
        process = os.posix_spawn(
            program,
            [program, *FLAGS, f"--user-data-dir={profile}"],
            os.environ,
            file_actions=[
                *((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)),
                (os.POSIX_SPAWN_DUP2, in_read, 3),  # the debugging pipe is spoken on 3 and 4
                (os.POSIX_SPAWN_DUP2, out_write, 4),
            ],
        )
        os.close(in_read)
        os.close(out_write)
        try:
            yield Browser(out_read, in_write)
        finally:
            os.close(in_write)  # the browser ends when its pipe does
            while os.read(out_read, 1 << 20):
                pass
            os.close(out_read)
            os.waitpid(process, 0)


def _pipe() -> tuple[int, int]:
    """A pipe on descriptors out of the way of those the browser uses."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
