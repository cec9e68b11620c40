"""UDP sockets for the wheel: many datagrams a system call, stamped by the kernel, the interpreter lock kept.

The socket module releases the interpreter lock around every call; while other threads compute, each release can
cost a whole switch interval before the next packet. `ctypes.PyDLL` keeps it, for calls that never block.
Source: recvmmsg(2), sendto(2), socket(7), ip(7).
"""

import ctypes
import mmap
import socket
import struct
import time
from collections.abc import Callable
from typing import NamedTuple

# Longer than any RTP packet of speech; what does not fit is cut off, and counted as oversized.
MAX_DATAGRAM_BYTES = 2048
MAX_BATCH = 16
_SOCKADDR = struct.Struct("=H2s4s8x")
_SOCKADDR_BYTES = 16
_CONTROL_BYTES = 64
# struct cmsghdr (length, level, type), then struct timespec.
_TIMESTAMP_CONTROL = struct.Struct("=QiiQQ")
# struct msghdr, msg_len and padding; every pointer and size_t is 8 bytes on the machines this runs on.
_MMSGHDR = struct.Struct("=QIxxxxQQQQixxxxIxxxx")
_IOVEC = struct.Struct("=QQ")
# Places of msg_controllen and msg_len within an mmsghdr, in units of their own size.
_CONTROL_LENGTH_QUAD = 5
_LENGTH_WORD = 14
_SO_TIMESTAMPNS = 35
_IP_TOS_EF = 46 << 2
_NS_PER_S = 1e-9

_libc = ctypes.PyDLL(None, use_errno=True)
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
_sendto = _libc.sendto
_sendto.argtypes = (
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_uint,
)
_sendto.restype = ctypes.c_ssize_t


class Datagram(NamedTuple):
    """Attributes:
    data: as received, at most `MAX_DATAGRAM_BYTES`.
    source: as `encode_address` writes it.
    arrived_at_s: monotonic time at which the kernel took it in.
    """

    data: bytes
    source: bytes
    arrived_at_s: float


def encode_address(address: tuple[str, int]) -> bytes:
    """An IPv4 literal and a port as the kernel compares and takes them: a sockaddr_in.

    Raises:
        OSError: it is no IPv4 literal.
    """
    host, port = address
    return _SOCKADDR.pack(socket.AF_INET, port.to_bytes(2, "big"), socket.inet_aton(host))


def decode_address(source: bytes) -> tuple[str, int]:
    _, port, host = _SOCKADDR.unpack(source)
    return socket.inet_ntoa(host), int.from_bytes(port, "big")


class ReceiveBuffers:
    """What recvmmsg writes into: one set for all sockets of a thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        per_message = MAX_DATAGRAM_BYTES + _SOCKADDR_BYTES + _CONTROL_BYTES + _IOVEC.size + _MMSGHDR.size
        # Slices of a memory map are bytes at once, without a view in between.
        self._memory = mmap.mmap(-1, per_message * MAX_BATCH)
        self._pin = ctypes.c_char.from_buffer(self._memory)
        base = ctypes.addressof(self._pin)
        self._sources = MAX_DATAGRAM_BYTES * MAX_BATCH
        self._controls = self._sources + _SOCKADDR_BYTES * MAX_BATCH
        iovecs = self._controls + _CONTROL_BYTES * MAX_BATCH
        self._headers = iovecs + _IOVEC.size * MAX_BATCH
        for n in range(MAX_BATCH):
            iovec = iovecs + n * _IOVEC.size
            _IOVEC.pack_into(self._memory, iovec, base + n * MAX_DATAGRAM_BYTES, MAX_DATAGRAM_BYTES)
            _MMSGHDR.pack_into(
                self._memory,
                self._headers + n * _MMSGHDR.size,
                base + self._sources + n * _SOCKADDR_BYTES,
                _SOCKADDR_BYTES,
                base + iovec,
                1,
                base + self._controls + n * _CONTROL_BYTES,
                _CONTROL_BYTES,
                0,
                0,
            )
        view = memoryview(self._memory)[self._headers :]
        self._lengths = view.cast("I")
        self._control_lengths = view.cast("Q")
        self._headers_address = base + self._headers

    def receive(self, descriptor: int) -> list[Datagram]:
        """Everything the socket holds, up to one batch; never blocks."""
        count = _recvmmsg(descriptor, self._headers_address, MAX_BATCH, socket.MSG_DONTWAIT, None)
        if count <= 0:
            return []
        memory = self._memory
        since_epoch = time.time() - self._clock()
        datagrams = []
        for n in range(count):
            start = n * MAX_DATAGRAM_BYTES
            source = self._sources + n * _SOCKADDR_BYTES
            control = self._controls + n * _CONTROL_BYTES
            quad = n * _MMSGHDR.size // 8 + _CONTROL_LENGTH_QUAD
            if self._control_lengths[quad]:
                _, _, _, seconds, nanoseconds = _TIMESTAMP_CONTROL.unpack_from(memory, control)
                arrived_at_s = seconds + nanoseconds * _NS_PER_S - since_epoch
            else:
                arrived_at_s = self._clock()
            # The kernel wrote how much it used; it takes the same field as how much there is.
            self._control_lengths[quad] = _CONTROL_BYTES
            length = self._lengths[n * _MMSGHDR.size // 4 + _LENGTH_WORD]
            datagrams.append(
                Datagram(memory[start : start + length], memory[source : source + _SOCKADDR_BYTES], arrived_at_s)
            )
        return datagrams


class DatagramSocket:
    """One bound UDP socket, marked for expedited forwarding (RFC 3246) as far as the system lets it."""

    def __init__(self, host: str, port: int, buffers: ReceiveBuffers) -> None:
        """Binds at once.

        Raises:
            OSError: the address is taken or not ours.
        """
        self._buffers = buffers
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind((host, port))
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _IP_TOS_EF)
        except OSError:
            self._socket.close()
            raise
        self._descriptor = self._socket.fileno()
        self.port: int = self._socket.getsockname()[1]

    def send(self, data: bytes, destination: bytes) -> bool:
        """Whether the kernel took it; never blocks."""
        sent: int = _sendto(self._descriptor, data, len(data), 0, destination, _SOCKADDR_BYTES)
        return sent >= 0

    def receive(self) -> list[Datagram]:
        return self._buffers.receive(self._descriptor)

    def close(self) -> None:
        """Afterwards nothing is sent or received. Harmless if closed."""
        self._descriptor = -1
        self._socket.close()
