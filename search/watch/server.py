"""A watched study as pages of this machine: loopback alone, GET alone, one page and its news.

What other users of the machine, or pages of other sites in the same browser, could ask for is refused: the address
holds a word that only its reader knows (a home of studies is private, too), and a request must name this machine as its
host, which a site cannot whose name was made to point here (DNS rebinding).
"""

from __future__ import annotations

import errno
import hmac
import os
import re
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from search.errors import UsageError
from search.watch.study import WatchedStudy

LOOPBACK = "127.0.0.1"
HOSTS = {LOOPBACK, "localhost"}
"""The names under which it answers, at any port: one may be forwarded from another machine through ssh."""
HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")
"""What a request may call its host: a name, and a port or none."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class WatchServer(ThreadingHTTPServer):
    """Serves the page of one study until it is shut down.

    Args:
        study: what is shown.
        port: where; 0 for a free one.

    Raises:
        UsageError: another program listens there, or this one may not.

    Attributes:
        url: the page's address.
    """

    daemon_threads = True

    def __init__(self, study: WatchedStudy, port: int = 0) -> None:
        self.study = study
        self.word = secrets.token_urlsafe(12)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            used = error.errno == errno.EADDRINUSE
            why = "is in use by another program" if used else f"cannot be had: {os.strerror(error.errno or 0)}"
            raise UsageError(f"port {port} of {LOOPBACK} {why}; choose another --port, or leave it out") from None

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.word}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away before it had its answer; anything else is a defect of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: WatchServer
    timeout = 30.0
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        """Answer with the page, or with what of it changed since the version that was seen."""
        named = self.headers.get_all("Host", [])
        if len(named) != 1 or not HOST.fullmatch(named[0]) or named[0].lower().partition(":")[0] not in HOSTS:
            return self.send_error(HTTPStatus.FORBIDDEN, f"served as {' and '.join(sorted(HOSTS))} alone")
        word, _, rest = self.path.removeprefix("/").partition("/")
        if not hmac.compare_digest(word.encode(), self.server.word.encode()) or rest not in ("", "update"):
            return self.send_error(HTTPStatus.NOT_FOUND, "nothing here: open the address that search watch printed")
        shown = self.server.study.shown()
        tag = f'"{shown.version}"'
        if rest == "":
            self._send(HTTPStatus.OK, shown.page)
        elif self.headers.get("If-None-Match") == tag:
            self._send(HTTPStatus.NOT_MODIFIED, "", ETag=tag)
        else:
            self._send(HTTPStatus.OK, shown.contents, ETag=tag)

    def _send(self, status: HTTPStatus, text: str, **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if body:
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        """Send what every answer has, errors too."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        """Return what it calls itself, without versions."""
        return "lanewise"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""
