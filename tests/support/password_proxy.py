"""A reverse proxy that asks for a name and a password, as one in front of an MLflow server does."""

from __future__ import annotations

import base64
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PASSED_ON = ("Content-Type", "Accept")


@contextmanager
def password_proxy(target: str | None, user: str, password: str) -> Iterator[int]:
    """Yield the port of a proxy on loopback.

    Args:
        target: the address of the server behind it; None answers nobody, whatever the password.
        user, password: that it asks for; all else is answered with 401.
    """
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            if target is None or self.headers.get("Authorization") != expected:
                self.send_error(401)
                return
            headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
            request = urllib.request.Request(target + self.path, body, headers, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    self.reply(response.status, response.headers.get("Content-Type"), response.read())
            except urllib.error.HTTPError as error:
                self.reply(error.code, error.headers.get("Content-Type"), error.read())

        def reply(self, status: int, kind: str | None, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind or "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
