"""One thread that carries the messages of every phone behind Twilio, whatever the script's event loop does.

Each phone speaks every 20 ms by absolute deadlines; what the agent sends is taken in with the kernel's times.
"""

import itertools
import selectors
import threading
import time
from types import TracebackType

from tools.caller.stream_phone import StreamPhone
from tools.caller.stream_socket import StreamSocket
from tools.caller.trace import PTIME_MS

_PTIME_NS = PTIME_MS * 1_000_000
_NS_PER_S = 1_000_000_000
# How soon a new stream begins, and how soon `close` is noticed.
_IDLE_S = 0.005
# The kernel wakes up to a millisecond late from a wait for sockets; the rest is slept.
_COARSE_S = 0.001


class Stream:
    """One socket with the phone that uses it; `ended` once the agent has closed it, or we have."""

    def __init__(self, phone: StreamPhone, web_socket: StreamSocket) -> None:
        self.phone = phone
        self.web_socket = web_socket
        self.due_ns = 0
        self.ended = False


class StreamWire:
    """Moves the messages of streams, from `start` to `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._streams: list[Stream] = []
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._guarded, name="caller-streams", daemon=True)
        self._phases = itertools.count()

    def __enter__(self) -> "StreamWire":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        for stream in list(self._streams):
            self.close(stream)
        self._selector.close()
        if self._failure is not None and error is None:
            raise self._failure

    def open(self, phone: StreamPhone, web_socket: StreamSocket) -> Stream:
        """The phone, which has begun its stream, speaks on that socket from now on."""
        stream = Stream(phone, web_socket)
        with self._lock:
            # Calls that begin together do not all speak in the same millisecond.
            stream.due_ns = time.time_ns() + next(self._phases) * 7 % PTIME_MS * 1_000_000
            self._selector.register(web_socket.connection, selectors.EVENT_READ, stream)
            self._streams.append(stream)
            self._read(stream)
        return stream

    def close(self, stream: Stream) -> None:
        """Tells the agent that the stream is over, and closes its socket. Harmless when repeated."""
        with self._lock:
            self._end(stream)

    def _end(self, stream: Stream) -> None:
        if stream in self._streams:
            self._streams.remove(stream)
            self._selector.unregister(stream.web_socket.connection)
            if (stop := stream.phone.end(time.time_ns())) is not None:
                stream.web_socket.send(stop)
            stream.web_socket.close()
            stream.ended = True

    def _guarded(self) -> None:
        try:
            while not self._ending.is_set():
                self._once()
        except BaseException as error:
            self._failure = error
            with self._lock:
                for stream in list(self._streams):
                    self._end(stream)

    def _once(self) -> None:
        wait_s = self._wait_s()
        if wait_s > 0 and wait_s <= _COARSE_S:
            time.sleep(wait_s)
            wait_s = 0.0
        ready = self._selector.select(max(0.0, min(wait_s, _IDLE_S) - _COARSE_S))
        with self._lock:
            for key, _ in ready:
                stream: Stream = key.data
                if not stream.ended:
                    self._read(stream)
            now_ns = time.time_ns()
            for stream in list(self._streams):
                self._serve(stream, now_ns)

    def _wait_s(self) -> float:
        with self._lock:
            due = [stream.due_ns for stream in self._streams]
            due += [at for stream in self._streams if (at := stream.phone.next_due_ns) is not None]
        return min((min(due) - time.time_ns()) / _NS_PER_S if due else _IDLE_S, _IDLE_S)

    def _read(self, stream: Stream) -> None:
        texts, at_ns = stream.web_socket.read()
        for text in texts:
            stream.phone.receive(text, at_ns)
        if stream.web_socket.ended:
            self._end(stream)

    def _serve(self, stream: Stream, now_ns: int) -> None:
        phone, web_socket = stream.phone, stream.web_socket
        while stream.due_ns <= now_ns:
            phone.tick(now_ns)
            stream.due_ns += _PTIME_NS
        phone.advance(now_ns)
        for text in phone.outgoing(now_ns):
            web_socket.send(text)
        if web_socket.stuck:
            web_socket.flush()
        if web_socket.ended:
            self._end(stream)
