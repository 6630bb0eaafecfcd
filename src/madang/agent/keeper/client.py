"""The connection of one agent to the keeper: lines of JSON both ways, descriptors beside them."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Final

_LINE_LIMIT: Final = 1 << 20
_BACKLOG_LIMIT: Final = 4 << 20


class Connection:
    """Buffers both directions; nothing here blocks."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.follows: set[str] = set()
        self.execs: dict[str, int] = {}  # token -> pid
        self.outgoing = bytearray()
        self._incoming = bytearray()
        self._descriptors: list[int] = []

    def receive(self) -> Iterator[dict[str, object]]:
        """The requests that have arrived whole. Raises ConnectionError at the end or on a malformed line."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, 1 << 16, 8)
        except BlockingIOError:
            return
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors += descriptors
        if not data:
            raise ConnectionError("closed")
        self._incoming += data
        if len(self._incoming) > _LINE_LIMIT:
            raise ConnectionError("a request is too long")
        while (end := self._incoming.find(b"\n")) >= 0:
            line = bytes(self._incoming[:end])
            del self._incoming[: end + 1]
            try:
                request = json.loads(line)
            except ValueError:
                raise ConnectionError("not JSON") from None
            if isinstance(request, dict):
                yield request

    def take_descriptors(self, count: int) -> list[int]:
        """The next descriptors that came with the requests. Raises ConnectionError when they did not come."""
        if len(self._descriptors) < count:
            raise ConnectionError("descriptors are missing")
        taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return taken

    def send(self, message: dict[str, object]) -> None:
        """Queue a message and send what the socket takes. Raises ConnectionError when the reader is gone or stuck."""
        self.outgoing += json.dumps(message).encode() + b"\n"
        if len(self.outgoing) > _BACKLOG_LIMIT:
            raise ConnectionError("the agent does not read")
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes now."""
        try:
            while self.outgoing:
                del self.outgoing[: self.socket.send(self.outgoing)]
        except BlockingIOError:
            return
        except OSError as error:
            raise ConnectionError(str(error)) from None

    def close(self) -> None:
        """Close the socket and every descriptor nobody took."""
        self.socket.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
