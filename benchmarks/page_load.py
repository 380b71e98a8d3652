"""How long a browser takes until a page can be used: headless Chromium, through chromedriver (W3C WebDriver)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
STARTED = re.compile(rb"started successfully on port (\d+)")
IDLE = "const done = arguments[0]; requestIdleCallback(() => done(performance.now()));"
"""Returns the milliseconds since the navigation began, once the page is loaded and nothing is left to do."""


@contextmanager
def running_driver() -> Iterator[str]:
    """Start chromedriver on a free port; yield its address, and end it."""
    assert DRIVER is not None
    with subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            port = next(int(found[1]) for line in process.stdout if (found := STARTED.search(line)))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def usable_after_s(file: Path, loads: int) -> list[float] | None:
    """Return the seconds until a page is loaded and idle, of each load in one browser; None without a browser."""
    if DRIVER is None or CHROMIUM is None:
        return None
    options = {"goog:chromeOptions": {"binary": CHROMIUM, "args": list(ARGUMENTS)}}
    with running_driver() as address:
        session = f"{address}/session/{_post(f'{address}/session', capabilities={'alwaysMatch': options})['sessionId']}"
        try:
            return [_load(session, file) for _ in range(loads)]
        finally:
            urllib.request.urlopen(urllib.request.Request(session, method="DELETE"), timeout=60).close()


def _load(session: str, file: Path) -> float:
    _post(f"{session}/url", url=file.absolute().as_uri())
    return float(_post(f"{session}/execute/async", script=IDLE, args=[])) / 1000


def _post(address: str, /, **body: Any) -> Any:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["value"]
