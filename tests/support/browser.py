"""Headless Chromium, driven through chromedriver (W3C WebDriver), with what it logged and asked the network for."""

import base64
import json
import urllib.request
from contextlib import contextmanager

from benchmarks.page_load import ARGUMENTS, CHROMIUM, running_driver
from benchmarks.page_load import DRIVER as DRIVER


class Browser:
    """One window."""

    def __init__(self, address):
        self._address = address
        options = {"binary": CHROMIUM, "args": [*ARGUMENTS, "--disable-component-update", "--disable-sync"]}
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": logs}}
        self._session = "session/" + self._post("session", capabilities=wanted)["sessionId"]

    def open(self, url, *, width=1280, height=800, dark=False, scripts=True):
        """Open a page in a window of so many CSS pixels."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ground(dark=dark)
        self.cdp("Emulation.setScriptExecutionDisabled", value=not scripts)
        self._post(f"{self._session}/url", url=url)

    def ground(self, *, dark):
        """Prefer dark colours, or light ones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, script, *arguments):
        """Run a function's body in the page and return what it returns."""
        return self._post(f"{self._session}/execute/sync", script=script, args=list(arguments))

    def wait(self, script):
        """Wait until a function's body returns what is true, at most half a minute; return it."""
        until = (
            "const done = arguments[0], end = Date.now() + 25000;"
            f"const look = () => {{ const found = (() => {{ {script} }})();"
            "if (found || Date.now() > end) done(found); else setTimeout(look, 20); }; look();"
        )
        return self._post(f"{self._session}/execute/async", script=until, args=[])

    def cdp(self, command, **parameters):
        """Send a command of Chrome's own protocol."""
        return self._post(f"{self._session}/goog/cdp/execute", cmd=command, params=parameters)

    def complaints(self):
        """Return what the console got since this was last asked, warnings and errors."""
        entries = self._post(f"{self._session}/se/log", type="browser")
        return [e["message"] for e in entries if e["level"] in ("WARNING", "SEVERE")]

    def requests(self):
        """Return the addresses that were asked for since this was last asked."""
        messages = [
            json.loads(e["message"])["message"] for e in self._post(f"{self._session}/se/log", type="performance")
        ]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def picture(self, *, whole=False):
        """Return a PNG of the window, or of the whole page."""
        return base64.b64decode(self.cdp("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def close(self):
        """Close the window."""
        self._send("DELETE", self._session)

    def _post(self, path, **body):
        return self._send("POST", path, json.dumps(body).encode())

    def _send(self, method, path, body=None):
        request = urllib.request.Request(
            f"{self._address}/{path}", body, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]


@contextmanager
def browser():
    """Start Chromium; yield its window, and end it."""
    with running_driver() as address:
        window = Browser(address)
        try:
            yield window
        finally:
            window.close()
