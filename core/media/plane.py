"""All calls' media at once: ports, sockets, and the wheel that moves them."""

import asyncio
import contextlib
import errno
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random, SystemRandom

from core.errors import PortsExhausted
from core.media.datagram_socket import DatagramSocket, ReceiveBuffers
from core.media.handover import Handover
from core.media.interpreter import shorten_switch_interval
from core.media.ports import PortPool
from core.media.priority import LOOP_PRIORITY, lower_priority, raise_priority
from core.media.settings import MediaSettings
from core.media.stream import MediaStream
from core.media.wheel import Wheel
from core.media.wheel_thread import WheelThread

log = logging.getLogger(__name__)

# So many ports may turn out to be somebody else's before an offer is refused: the caller waits meanwhile.
_MOST_BIND_ATTEMPTS = 16


@dataclass(frozen=True, slots=True)
class PlaneStatistics:
    """How the plane fares.

    Attributes:
        ports_available: of those that are neither taken, nor resting, nor put aside.
        worst_lateness_ms: of any slot, since statistics were last asked for.
        periods_skipped: packet times in which nothing was sent because the machine stood still.
    """

    streams: int
    ports_taken: int
    ports_available: int
    worst_lateness_ms: float
    periods_skipped: int


class MediaPlane:
    """`open` a stream for each call; `start` before the first, `close` after the last.

    Its methods are used from event loops, any number of them.
    """

    def __init__(
        self,
        settings: MediaSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        random: Random | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._wall_clock = wall_clock
        self._random = random or SystemRandom()
        self.ports = PortPool(
            settings.rtp_min_port,
            settings.rtp_max_port,
            quarantine_s=settings.port_quarantine_s,
            bind_retry_s=settings.bind_retry_s,
            clock=clock,
            random=self._random,
        )
        self._buffers = ReceiveBuffers(clock)
        self.wheel = Wheel(clock, Handover())
        self._thread = WheelThread(self.wheel, realtime=settings.realtime != "off")
        self._raised_thread: int | None = None
        self._streams: set[MediaStream] = set()
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Begins to move packets. To be called on the thread of the calls' loop, which gets priority as well."""
        shorten_switch_interval()
        self._thread.start()
        if self._settings.realtime == "auto":
            self._raised_thread = threading.get_native_id()
            # Where it is not permitted, the wheel's thread says so.
            with contextlib.suppress(OSError):
                raise_priority(LOOP_PRIORITY)

    def open(self) -> MediaStream:
        """Binds a pair of ports for a call of the running loop; nothing moves before it is connected.

        Raises:
            PortsExhausted: no port is free, or none of those tried could be bound.
        """
        # Without a loop there is no stream, and nothing may stay bound for it.
        asyncio.get_running_loop()
        if self._closed:
            raise PortsExhausted("Media is shutting down")
        rtp, rtcp = self._bind_pair()
        stream = MediaStream(
            self._settings,
            rtp,
            rtcp,
            clock=self._clock,
            wall_clock=self._wall_clock,
            random=self._random,
            on_connect=self._connected,
            on_close=self._released,
        )
        with self._lock:
            self._streams.add(stream)
        return stream

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._streams)

    def statistics(self) -> PlaneStatistics:
        """As of now; the worst lateness begins anew."""
        worst_s, self.wheel.worst_lateness_s = self.wheel.worst_lateness_s, 0.0
        return PlaneStatistics(
            streams=len(self._streams),
            ports_taken=self.ports.taken,
            ports_available=self.ports.available,
            worst_lateness_ms=worst_s * 1000,
            periods_skipped=self.wheel.periods_skipped,
        )

    @property
    def running(self) -> bool:
        return self._thread.running

    def close(self) -> None:
        """Closes every stream, then ends the thread. Harmless if closed, or never started."""
        self._closed = True
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.close()
        self._thread.stop()
        if self._raised_thread is not None:
            lower_priority(self._raised_thread)
            self._raised_thread = None

    def _bind_pair(self) -> tuple[DatagramSocket, DatagramSocket]:
        for _ in range(_MOST_BIND_ATTEMPTS):
            port = self.ports.take()
            with contextlib.ExitStack() as opened:
                try:
                    rtp = DatagramSocket(self._settings.rtp_bind_ip, port, self._buffers)
                    opened.callback(rtp.close)
                    rtcp = DatagramSocket(self._settings.rtp_bind_ip, port + 1, self._buffers)
                except OSError as error:
                    self._give_back(port, error)
                    continue
                opened.pop_all()
                return rtp, rtcp
        raise PortsExhausted

    def _give_back(self, port: int, error: OSError) -> None:
        """Puts aside what somebody else has; any other error would be the next port's as well."""
        if error.errno == errno.EADDRINUSE:
            self.ports.put_aside(port)
            return
        self.ports.put_back(port)
        log.error("media socket cannot be opened", extra={"error": str(error), "bind_ip": self._settings.rtp_bind_ip})
        raise PortsExhausted("No media socket can be opened") from error

    def _connected(self, stream: MediaStream) -> None:
        self.wheel.add(stream.wire)
        self._thread.wake()

    def _released(self, stream: MediaStream) -> None:
        self.wheel.remove(stream.wire)
        with self._lock:
            self._streams.discard(stream)
        self.ports.release(stream.local_port)
