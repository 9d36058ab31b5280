"""Debian's headless Chromium, driven over its own pipe (Chrome DevTools Protocol)."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess

PROGRAM = shutil.which("chromium")


class Browser:
    """One page of one browser; `profile` is a folder of its own."""

    def __init__(self, profile):
        inward, self._send = os.pipe()
        self._receive, outward = os.pipe()
        words = (
            *(PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"),
            *("--disable-component-update", "--remote-debugging-pipe"),
            *(f"--user-data-dir={profile}", "about:blank"),
        )
        with open(f"{profile}.log", "wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", f'exec "$@" 3<&{inward} 4>&{outward}', "chromium", *words],
                pass_fds=(inward, outward),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(inward)
        os.close(outward)
        self._kept, self._number, self._session = b"", 0, None
        self.said = []  # what the browser told unasked

    def __enter__(self):
        found = self.ask("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in found if each["type"] == "page")
        self._session = self.ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")
        self.ask("Page.setLifecycleEventsEnabled", enabled=True)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._send)
        os.close(self._receive)

    def ask(self, method, **parameters):
        """A command's result; fails with what the browser has against it."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.said.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self):
        while b"\0" not in self._kept:
            more = os.read(self._receive, 1 << 20)
            assert more, "the browser has ended"
            self._kept += more
        line, _, self._kept = self._kept.partition(b"\0")
        return json.loads(line)

    def open(self, address, *, width, height=800, scheme="light"):
        """Load a page for a window of this width, in pixels; waits until it is loaded."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", features=features)
        self.said.clear()
        loader = self.ask("Page.navigate", url=address)["loaderId"]
        while not any(is_loaded(each, loader) for each in self.said):
            self.said.append(self._next())

    def requested(self):
        """The addresses asked for since the page was opened."""
        sent = (each for each in self.said if each.get("method") == "Network.requestWillBeSent")
        return [each["params"]["request"]["url"] for each in sent]

    def complaints(self):
        """What the browser had against the page since it was opened."""
        logged = (each for each in self.said if each.get("method") == "Log.entryAdded")
        return [each["params"]["entry"]["text"] for each in logged]

    def value(self, expression):
        """What a JavaScript expression gives; a page's own policy does not hold for it."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def shot(self):
        """The whole page as PNG."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        found = self.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(found["data"])


def is_loaded(said, loader):
    """Whether this tells that what that loader loads is there, and not the page before it."""
    told = said.get("params", {})
    of = (said.get("method"), told.get("name"), told.get("loaderId"))
    return of == ("Page.lifecycleEvent", "load", loader)
