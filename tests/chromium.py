"""Drive Chromium through its debugging pipe: the DevTools protocol over two file descriptors, no driver to install."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Leaving(AssertionError):
    """A question was asked of a page that is being left for another."""


class Page:
    """One page: go somewhere, ask it something, press and click, and hear what it complained about."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back, self._buffer, self._number, self._session = to, back, b"", 0, ""
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, url: str, ready: str = "document.body?.dataset.ready") -> None:
        """Load a page and wait until it says that it is ready."""
        self._call("Page.navigate", url=url)
        self.wait(ready)

    def at_start(self, script: str) -> None:
        """Run a script in every page that is opened from now on, before its own."""
        self._call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self._holds(expression):
            if time.monotonic() > end:
                raise AssertionError(f"never true: {expression}; errors: {self.errors}")
            time.sleep(0.05)

    def _holds(self, expression: str) -> bool:
        """Whether an expression holds; not while the page is being left for another."""
        try:
            return bool(self.ask(f"Boolean({expression})"))
        except Leaving:
            return False

    def click(self, selector: str) -> None:
        """Click the middle of the first element that fits, where it is on the screen."""
        place = self.ask(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect();"
            f" return [r.x + r.width / 2, r.y + r.height / 2] }})(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def drag(self, selector: str, path: list[tuple[float, float]]) -> None:
        """Draw over an element with the button held: x and y as shares of its width and height."""
        left, top, width, height = self.ask(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect();"
            f" return [r.x, r.y, r.width, r.height] }})(document.querySelector({json.dumps(selector)}))"
        )
        points = [{"x": left + x * width, "y": top + y * height} for x, y in path]
        button = {"button": "left", "clickCount": 1}
        self._call("Input.dispatchMouseEvent", type="mousePressed", **points[0], **button)
        for point in points[1:]:
            self._call("Input.dispatchMouseEvent", type="mouseMoved", **point, button="left", buttons=1)
        self._call("Input.dispatchMouseEvent", type="mouseReleased", **points[-1], **button)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self._call("Input.insertText", text=text)

    def press(self, key: str, code: int) -> None:
        """Press a key, such as ``press("Tab", 9)``."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def look(self, width: int, height: int = 900, dark: bool = False, ratio: int = 1) -> None:
        """Set the size of the window and the colour scheme."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=ratio,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Save what the window shows as a PNG."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._read()
            if reply.get("id") == self._number:
                if "error" in reply:
                    left = "navigated" in str(reply["error"])
                    raise (Leaving if left else AssertionError)(f"{method}: {reply['error']}")
                return reply.get("result", {})
            self._hear(reply)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._back], [], [], 60)[0]:
                raise AssertionError("Chromium does not answer")
            chunk = os.read(self._back, 1 << 20)
            if not chunk:
                raise AssertionError("Chromium ended")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def _hear(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])


@contextlib.contextmanager
def chromium() -> Iterator[Page]:
    """Start Chromium with a new profile; end it, and remove the profile, when the block ends."""
    assert PROGRAM
    theirs_in, to = _pipe()
    back, theirs_out = _pipe()
    profile = tempfile.mkdtemp()
    arguments = [PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        actions = [
            (os.POSIX_SPAWN_DUP2, nothing.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, nothing.fileno(), 2),
            (os.POSIX_SPAWN_DUP2, theirs_in, 3),
            (os.POSIX_SPAWN_DUP2, theirs_out, 4),
        ]
        process = os.posix_spawn(PROGRAM, arguments, os.environ, file_actions=actions, setpgroup=0)
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(to, back)
    finally:
        os.close(to)
        os.close(back)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        shutil.rmtree(profile, ignore_errors=True)


def _pipe() -> tuple[int, int]:
    """Return a pipe whose ends are above 10, clear of the numbers that Chromium is given."""
    ends = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
