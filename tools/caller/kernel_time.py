"""When the kernel took in what is read from a socket: a late reader shifts no time (socket(7), Linux)."""

import socket
import struct
import time
from collections.abc import Sequence

# Not in the socket module.
SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@qq")
ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)


def stamp(source: socket.socket) -> None:
    """From now on `recvmsg` has the times of what it gives."""
    source.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def received_ns(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    """Of a datagram, or of the last segment of a stream's data; now, where the kernel does not say."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data[: _TIMESPEC.size])
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return time.time_ns()
