"""Frames between the processes of one build: a kind and a pickled value over a stream socket.

Both ends are our own processes with the same code; what target code can write never gets here.
"""

from __future__ import annotations

import pickle
import socket
import struct

_HEADER = struct.Struct("<cQ")
"""Offset 0: kind, one byte. Offset 1: length of the pickle in bytes, little endian."""


class Channel:
    """One end of a stream socket that carries frames."""

    def __init__(self, connection: socket.socket):
        self._socket = connection

    def send(self, kind: bytes, value: object = None) -> None:
        """Send one frame. Raises `OSError` (a broken pipe) when the other end has gone."""
        body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        self._socket.sendall(_HEADER.pack(kind, len(body)))
        self._socket.sendall(body)

    def receive_raw(self) -> tuple[bytes, bytes] | None:
        """The next frame with its value still pickled; None at the end of the stream."""
        header = self._exactly(_HEADER.size)
        if header is None:
            return None
        kind, length = _HEADER.unpack(header)
        body = self._exactly(length)
        return None if body is None else (kind, body)

    def receive(self) -> tuple[bytes, object] | None:
        """The next frame; None at the end of the stream, also in the middle of a frame."""
        frame = self.receive_raw()
        # The sender is our own process on a socket pair that nobody else can open.
        return None if frame is None else (frame[0], pickle.loads(frame[1]))  # noqa: S301

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _exactly(self, size: int) -> bytes | None:
        buffer = bytearray(size)
        view = memoryview(buffer)
        while view:
            try:
                count = self._socket.recv_into(view)
            except ConnectionResetError:
                return None
            if count == 0:
                return None
            view = view[count:]
        return bytes(buffer)
