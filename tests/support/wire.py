"""A port on loopback that leads to a server, and can be cut and joined while the server is up."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

from tests.support.ray_head import free_ports


class Wire:
    """Cut at first: nobody listens at ``port``.

    Args:
        to_port: of the server.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        (self.port,) = free_ports(1)
        self.uri = f"http://127.0.0.1:{self.port}"
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []

    def join(self) -> Wire:
        """Let connections through."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def cut(self) -> None:
        """Refuse connections, and break those that there are, in the middle of whatever they carry."""
        if self._listener is not None:
            ended, self._listener = [self._listener, *self._open], None
            self._open = []
            for each in ended:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
                each.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to_port))
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_carry, args=(one, other), daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
