"""A local S3 server that can be stopped and started again with its content."""

from __future__ import annotations

import socket

from moto.server import ThreadedMotoServer

SECRET = "canary/SecretKey+0123456789"


class S3Server:
    """A server of moto on a port of loopback."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._server: ThreadedMotoServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
